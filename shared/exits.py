"""How a command ends: what its user is told, and its exit code. The one place that prints errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from shared.errors import CrawlfleetError, JobError

INTERRUPTED = 130


def exit_code_of(command: Callable[[], int]) -> int:
    """Run a command; tell its error in one sentence (a job's problems in a line each); return its exit code."""
    try:
        return command()
    except JobError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except CrawlfleetError as error:
        print(f"crawlfleet: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; what Python still has for it must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
