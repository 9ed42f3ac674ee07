"""A program of a torture of named objects: it uses them in turn, and logs what it tries and what it was answered.

The log is one line for each step, written at once: what is not in it did not happen, or was killed.
"""

from __future__ import annotations

import os
import queue
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from crawlfleet import Fleet, connect
from crawlfleet.shared import log as shared_log

PATIENCE_S = 60.0
GET_S = 0.2
SECTION = "section"
UNITS = 2
LONGEST_STAY_S = 0.1


def run(folder: Path, token: Path, name: str, rounds: int) -> None:
    """Be a program until all rounds are done; the process ends with 1 if anything was not as it should be."""
    shared_log.configure(level="error")
    log = Log(folder / f"{name}.log")
    try:
        with connect(token, PATIENCE_S) as fleet:
            program = Program(fleet, folder, name, log)
            for _ in range(rounds):
                program.go_on()
        log.add("end")
    except BaseException:  # noqa: BLE001  # the top of a process: the log says why it ends
        log.add("error", traceback.format_exc().replace("\n", " | "))
        sys.exit(1)


class Log:
    """Lines of words, each written at once."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def add(self, *words: object) -> None:
        """Add a line."""
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


class Program:
    """What one program does with the objects of the fleet."""

    def __init__(self, fleet: Fleet, folder: Path, name: str, log: Log) -> None:
        self._name = name
        self._log = log
        self._section = folder / SECTION
        self._rng = Random(name)
        self._number = 0
        self._lock = fleet.Lock("door")
        self._units = fleet.BoundedSemaphore("units", UNITS)
        self._sum = fleet.Value("sum")
        self._tasks = fleet.JoinableQueue("tasks")
        self._mail = fleet.Queue("mail", 5)
        self._done = fleet.dict("done")
        self._list = fleet.list("list")
        self._own = fleet.dict("own")

    def go_on(self) -> None:
        """Do one of the things that programs do."""
        steps: tuple[Callable[[], None], ...] = (
            *(self._enter, self._enter, self._add, self._work, self._work, self._put, self._put),
            *(self._append, self._set, self._send, self._receive, self._borrow),
        )
        self._rng.choice(steps)()

    def _enter(self) -> None:
        """Be in the section that only one may be in."""
        fence = self._lock.acquire()
        self._log.add("entered", fence)
        before = self._section.read_text() if self._section.exists() else ""
        if before:
            self._log.add("met", before, fence)
        self._section.write_text(str(fence))
        time.sleep(self._rng.uniform(0.0, LONGEST_STAY_S))
        if self._section.read_text() != str(fence):
            self._log.add("disturbed", fence)
        with suppress(FileNotFoundError):
            self._section.unlink()
        try:
            self._lock.release()
        except ValueError:
            self._log.add("lost", fence)
        else:
            self._log.add("left", fence)

    def _add(self) -> None:
        self._log.add("try-add")
        self._sum.add(1)
        self._log.add("added")

    def _put(self) -> None:
        item = self._next()
        self._log.add("try-put", item)
        self._tasks.put(item)
        self._log.add("put", item)

    def _work(self) -> None:
        try:
            item = self._tasks.get(timeout=GET_S)
        except queue.Empty:
            return
        self._done.setdefault(item, self._name)
        with suppress(ValueError):  # this program was silent for too long: somebody else does it again
            self._tasks.task_done()

    def _append(self) -> None:
        item = self._next()
        self._log.add("try-append", item)
        self._list.append(item)
        self._log.add("appended", item)

    def _set(self) -> None:
        item = self._next()
        self._log.add("try-set", item)
        self._own[self._name] = item
        self._log.add("set", item)

    def _send(self) -> None:
        item = self._next()
        self._log.add("try-send", item)
        with suppress(queue.Full):
            self._mail.put(item, timeout=GET_S)
            self._log.add("sent", item)

    def _receive(self) -> None:
        self._log.add("try-receive")
        try:
            self._log.add("received", self._mail.get(timeout=GET_S))
        except queue.Empty:
            self._log.add("received-nothing")

    def _borrow(self) -> None:
        if self._units.acquire(timeout=GET_S):
            with suppress(ValueError):  # the unit came back already: this program was silent for too long
                self._units.release()

    def _next(self) -> str:
        self._number += 1
        return f"{self._name}-{self._number}"
