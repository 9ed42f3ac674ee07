"""`python -m crawlfleet.coordinator`: the `coordinator` command as a program of its own."""

from crawlfleet.commands.registry import run_alone
from crawlfleet.shared.exits import run_and_exit

if __name__ == "__main__":
    run_and_exit(lambda: run_alone("coordinator"))
