"""How a command ends: the error message for its user, and its exit code. The only place that prints errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from crawlfleet.shared.errors import CrawlfleetError, JobError

INTERRUPTED = 130


def exit_code_of(command: Callable[[], int]) -> int:
    """Run a command; print its error as one sentence (a job's problems as one line each); return its exit code.

    If the code is 0, everything that the command printed has been written.
    """
    code = _code_of(command)
    try:
        if sys.stdout is not None:  # None if a shell has closed it
            sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            print(f"crawlfleet: cannot write to the standard output: {error.strerror}", file=sys.stderr)
        _let_go_of_output()
        return code or 1
    return code


def _code_of(command: Callable[[], int]) -> int:
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
        _let_go_of_output()
        return 1


def _let_go_of_output() -> None:
    """The reader of the output is gone, or its disk is full; what Python has buffered must not fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
