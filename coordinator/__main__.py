"""`python -m crawlfleet.coordinator`: the `coordinator` command as a program of its own."""

import sys

from crawlfleet.commands.registry import run_alone

if __name__ == "__main__":
    sys.exit(run_alone("coordinator"))
