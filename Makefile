# `make run` and `make test` do all the set-up themselves; see README.md.
