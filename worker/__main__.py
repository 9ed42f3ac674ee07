"""`python -m crawlfleet.worker`: the `worker` command as a program of its own."""

import multiprocessing

from crawlfleet.commands.registry import run_alone
from crawlfleet.shared.exits import run_and_exit

if __name__ == "__main__":
    multiprocessing.freeze_support()
    run_and_exit(lambda: run_alone("worker"))
