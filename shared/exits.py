"""How a command ends: the error message for its user, and its exit code. The only place that prints errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from crawlfleet.shared import core_files
from crawlfleet.shared.errors import CrawlfleetError, JobError
from crawlfleet.shared.inert import inert_lines
from crawlfleet.shared.streams import Output, lead_nowhere, make_ready

#: A crawl has finished, and is not what its job expects.
UNMET = 3
INTERRUPTED = 130


class Verdict(int):
    """An exit code that stands even if what was printed could not be written: the command has done more than print."""


def exit_code_of(command: Callable[[], int]) -> int:
    """Run a command; print its error as one sentence (a job's problems as one line each); return its exit code.

    If the code is 0 and no `Verdict`, everything that the command printed has been written.
    """
    code = _code_of(command)
    try:
        if sys.stdout is not None:  # None if a shell has closed it
            sys.stdout.flush()
        failure = sys.stdout.take_failure() if isinstance(sys.stdout, Output) else None
    except OSError as error:
        lead_nowhere(sys.stdout.fileno())
        failure = error
    if failure is not None:
        is_told = code and not isinstance(code, Verdict)
        if not is_told and not isinstance(failure, BrokenPipeError):
            print(f"crawlfleet: cannot write to the standard output: {failure.strerror}", file=sys.stderr)
        return code if isinstance(code, Verdict) else code or 1
    return code


def run_and_exit(command: Callable[[], int]) -> NoReturn:
    """Run a command and end the process at once, because an orderly interpreter shutdown takes time."""
    make_ready()
    core_files.forbid()
    try:
        code = exit_code_of(command)
    except SystemExit as end:  # of the parser of a command line, which has printed something
        told = end.code if isinstance(end.code, int) else 0
        raise SystemExit(exit_code_of(lambda: told)) from end
    sys.stderr.flush()
    os._exit(code)


def _code_of(command: Callable[[], int]) -> int:
    try:
        return command()
    except JobError as error:
        print(inert_lines(str(error)), file=sys.stderr)
        return error.exit_code
    except CrawlfleetError as error:
        print(inert_lines(f"crawlfleet: {error}"), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        lead_nowhere(sys.stdout.fileno())
        return 1
