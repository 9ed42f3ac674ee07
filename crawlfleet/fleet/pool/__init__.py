"""Pools: a program asks for pages as it would call a function on `multiprocessing.Pool` or on an executor.

`asker` has the threads that talk to the coordinator; `pool` and `futures` have what a program calls.
"""
