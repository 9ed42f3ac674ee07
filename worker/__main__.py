"""`python -m crawlfleet.worker`: the `worker` command as a program of its own."""

import multiprocessing
import sys

from crawlfleet.commands.registry import run_alone

if __name__ == "__main__":
    multiprocessing.freeze_support()
    sys.exit(run_alone("worker"))
