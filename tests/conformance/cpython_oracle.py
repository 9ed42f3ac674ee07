"""CPython's own tests of what `multiprocessing` shares, run with named objects of a fleet.

Nothing of them is copied: they are imported from the interpreter in use, or from its distribution's package. Each case
runs in a process group of its own, which a case that hangs does not outlive. Processes that a case starts are forked,
and have a session of their own.

`python -m tests.conformance.cpython_oracle TOKEN` runs the cases that are named on its standard input.
"""

from __future__ import annotations

import faulthandler
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import traceback
import unittest
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from operator import index
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Self, SupportsIndex
from unittest import mock

from crawlfleet import Fleet, connect

PROCESSES = multiprocessing.get_context("fork")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
#: Where a distribution has this Python; Debian's package `libpython3.11-testsuite` adds the tests to it.
DISTRIBUTED = Path("/usr/lib") / f"python{PYTHON}"
LONGEST_BYTES = 4 * 1024 * 1024
ENDING_S = 5.0
WRITING_S = 0.5

GROUPS = (
    *("_TestLock", "_TestSemaphore", "_TestCondition", "_TestEvent", "_TestBarrier", "_TestQueue", "_TestValue"),
    *("_TestArray", "_TestContainers", "_TestConnection"),
)
#: What the tests make by `self.…`.
KINDS = (
    *("Array", "Barrier", "BoundedSemaphore", "Condition", "Event", "JoinableQueue", "Lock", "Namespace", "Queue"),
    *("RLock", "RawArray", "RawValue", "Semaphore", "Value", "dict", "list"),
)


class NoTests(Exception):
    """There are no tests of CPython for this interpreter."""


class Case(NamedTuple):
    """A test method of CPython."""

    group: str
    method: str

    def __str__(self) -> str:
        return f"{self.group.removeprefix('_Test')}.{self.method}"


class Outcome(NamedTuple):
    """What came of a case: it `passed`, or why not."""

    passed: bool
    why_not: str = ""


# What the tests are, and what they get


def find_tests() -> ModuleType:
    """Import CPython's tests of `multiprocessing`."""
    for folder in ("", str(DISTRIBUTED)):
        if folder:
            sys.path.append(folder)
            sys.modules.pop("test", None)
        with suppress(ModuleNotFoundError):
            return import_module("test._test_multiprocessing")
    if DISTRIBUTED.is_dir():
        raise NoTests(f"CPython's own tests are not installed: apt-get install libpython{PYTHON}-testsuite")
    raise NoTests(f"no Python {PYTHON} is packaged here with its tests, and {sys.executable} has none")


def cases_of(tests: ModuleType) -> list[Case]:
    """Return all cases that this interpreter's tests have."""
    names = unittest.TestLoader().getTestCaseNames
    return [Case(group, method) for group in GROUPS for method in names(getattr(tests, group))]


def _opening(kind: str) -> Callable[..., Any]:
    def open_object(self: OracleCase, *args: Any, **options: Any) -> Any:
        return getattr(self.fleet, kind)(self.fresh_name(), *args, **options)

    return open_object


class _Bytes(bytes):
    """Bytes that do not grow beyond a message of a fleet, as the longest of the tests does."""

    def __mul__(self, times: SupportsIndex) -> bytes:
        return bytes(self) * min(index(times), LONGEST_BYTES // len(self))


def _latin(text: str) -> bytes:
    return _Bytes(text.encode("latin"))


class OracleCase(unittest.TestCase):
    """What a case of CPython runs upon: each object that it makes is one of the fleet, of a name of its own."""

    fleet: Any
    names: itertools.count[int]
    processes: list[Any]

    @property
    def manager(self) -> Self:
        return self

    def fresh_name(self) -> str:
        return f"{self.id()}-{os.getpid()}-{next(self.names)}"

    def Pipe(self, *args: Any, **options: Any) -> tuple[Any, Any]:
        name = self.fresh_name()
        ends = self.fleet.Pipe(name, *args, **options), self.fleet.Pipe(name, *args, **options)
        for end in ends:
            end.fileno = lambda: -1  # there is none, but a case that asks for it goes on to other things
        return ends

    def Process(self, **options: Any) -> Any:
        process = PROCESSES.Process(**options)
        self.processes.append(process)
        return process


for _kind in KINDS:
    setattr(OracleCase, _kind, _opening(_kind))


def make_case(tests: ModuleType, case: Case, like: str, fleet: Fleet) -> OracleCase:
    """Put a test of CPython upon the fleet; `like` says whose branches it takes: those of a manager, or processes."""
    bases = (OracleCase, getattr(tests, case.group), tests.ProcessesMixin, unittest.TestCase)
    own = {"TYPE": like, "fleet": fleet, "names": itertools.count(1), "processes": []}
    made: OracleCase = type(case.group, bases, own)(case.method)
    return made


# Running them


def run_case(tests: ModuleType, case: Case, like: str, fleet: Fleet) -> Outcome:
    """Run a case; also the processes and threads that it starts must end without an error."""
    made, result = make_case(tests, case, like, fleet), unittest.TestResult()
    errors: list[str] = []

    def note(args: threading.ExceptHookArgs) -> None:
        errors.extend(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback))

    # Some cases make queues of multiprocessing itself, whatever they are to test.
    queues = {"Queue": made.Queue, "JoinableQueue": made.JoinableQueue}  # type: ignore[attr-defined]  # see KINDS
    with (
        mock.patch.multiple(multiprocessing, **queues),
        mock.patch.multiple(tests, latin=_latin),
        mock.patch.object(threading, "excepthook", note),
    ):
        made.run(result)
        for process in made.processes:
            process.join(ENDING_S)
            if process.exitcode != 0:
                errors.append(f"a process of the case has exit code {process.exitcode}")
    errors += [text for _, text in result.failures + result.errors]
    errors += [f"skipped: {reason}" for _, reason in result.skipped]
    return Outcome(not errors, "\n".join(errors))


def _run_in_child(sender: Connection, token: str, tests: ModuleType, case: Case, like: str) -> None:
    os.setsid()
    faulthandler.register(signal.SIGUSR1)
    # Cases interrupt themselves; a job in the background of a shell has inherited that this is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with connect(token) as fleet:
        outcome = run_case(tests, case, like, fleet)
    sender.send(outcome)


def run_apart(token: str, tests: ModuleType, case: Case, like: str, limit_s: float) -> Outcome:
    """Run a case in a child process, for so long at most."""
    receiver, sender = PROCESSES.Pipe(duplex=False)
    child = PROCESSES.Process(target=_run_in_child, args=(sender, token, tests, case, like))
    child.start()
    sender.close()
    assert child.pid is not None
    if receiver.poll(limit_s):
        try:
            outcome: Outcome = receiver.recv()
        except EOFError:
            outcome = Outcome(False, "the process of the case died")
        child.join(ENDING_S)
    else:
        outcome = Outcome(False, f"it hung: not over after {limit_s:g} s")
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGUSR1)  # each process writes where its threads are
        child.join(WRITING_S)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.join()
    return outcome


class Oracle:
    """A process that runs cases, each in a fork of it: it has imported all that they need, and has no threads."""

    def __init__(self, token: str) -> None:
        command = [sys.executable, "-m", "tests.conformance.cpython_oracle", token]
        self._runner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.communicate()

    def ask(self, case: Case, like: str, limit_s: float) -> Outcome:
        """Run a case upon the fleet."""
        assert self._runner.stdin is not None
        assert self._runner.stdout is not None
        print(json.dumps([*case, like, limit_s]), file=self._runner.stdin, flush=True)
        answer = self._runner.stdout.readline()
        assert answer, "the oracle has died: its standard error says why"
        return Outcome(*json.loads(answer))


def main() -> None:
    """Run the cases that standard input names; write what came of them."""
    token = sys.argv[1]
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)  # what a case prints is no answer
        tests = find_tests()
        for line in sys.stdin:
            group, method, like, limit_s = json.loads(line)
            print(json.dumps(run_apart(token, tests, Case(group, method), like, limit_s)), file=answers, flush=True)


if __name__ == "__main__":
    main()
