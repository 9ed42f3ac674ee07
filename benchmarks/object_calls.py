"""The calls of shared objects that are measured, and a process that makes them.

    python -m benchmarks.object_calls fleet|manager|dask ADDRESS [--echo NAME]

reads commands from its standard input, one a line in JSON, and answers each by a line: see `Commands`. With `--echo` it
sends back what it receives through a pipe of that name.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from benchmarks.object_sources import SOURCES, Source

WARM_UP = 20
# Contents of containers while they are measured.
ITEMS = 100


def cpu_clock_s(pid: int) -> float:
    """Return the CPU time that a process has taken so far: see clock_getcpuclockid(3)."""
    return time.clock_gettime(~pid << 3 | 2)


class Operation(NamedTuple):
    """What is called again and again, and what is called at the end of a turn; `helper` takes part in it."""

    run: Callable[[], object]
    clean: Callable[[], object] = lambda: None
    helper: subprocess.Popen[bytes] | None = None


Prepare: TypeAlias = Callable[[Source, str], Operation]


def acquiring(kind: str, *options: Any) -> Prepare:
    """Acquire and release an object that nobody else wants."""

    def prepare(source: Source, name: str) -> Operation:
        lock = source(kind, name, *options)

        def run() -> None:
            lock.acquire()
            lock.release()

        return Operation(run)

    return prepare


def notifying(source: Source, name: str) -> Operation:
    """Notify nobody."""
    condition = source("Condition", name)

    def run() -> None:
        with condition:
            condition.notify()

    return Operation(run)


def setting_event(source: Source, name: str) -> Operation:
    """Set an event, and clear it."""
    event = source("Event", name)

    def run() -> None:
        event.set()
        event.clear()

    return Operation(run)


def calling(kind: str, method: str, *arguments: Any, options: tuple[Any, ...] = ()) -> Prepare:
    """Call one method with the same arguments."""

    def prepare(source: Source, name: str) -> Operation:
        called = getattr(source(kind, name, *options), method)
        return Operation(lambda: called(*arguments))

    return prepare


def adding_to_value(source: Source, name: str) -> Operation:
    """Add to a number, in one step for all others: who has no `add` needs a lock."""
    value = source("Value", name)
    if hasattr(value, "add"):
        return Operation(lambda: value.add(1))
    lock = source("Lock", f"{name} of the value")

    def run() -> None:
        with lock:
            value.set(value.get() + 1)

    return Operation(run)


def filling(kind: str, method: str, empty: Callable[[Any], object]) -> Prepare:
    """Add one item after another; `empty` makes room at the end of a turn."""

    def prepare(source: Source, name: str) -> Operation:
        container = source(kind, name)
        add, count = getattr(container, method), iter(range(sys.maxsize))
        return Operation(lambda: add(next(count)), lambda: empty(container))

    return prepare


def setting_entries(source: Source, name: str) -> Operation:
    """Set entries of a dict of some size."""
    entries, count = source("dict", name), iter(range(sys.maxsize))
    return Operation(lambda: entries.__setitem__(next(count) % ITEMS, "a value"))


def getting_entry(source: Source, name: str) -> Operation:
    """Get an entry of a dict of some size."""
    entries = source("dict", name)
    entries.update(dict.fromkeys(range(ITEMS), "a value"))
    return Operation(lambda: entries[ITEMS // 2])


def setting_attribute(source: Source, name: str) -> Operation:
    """Set an attribute."""
    namespace, count = source("Namespace", name), iter(range(sys.maxsize))
    return Operation(lambda: setattr(namespace, "figure", next(count)))


def getting_attribute(source: Source, name: str) -> Operation:
    """Get an attribute."""
    namespace = source("Namespace", name)
    namespace.figure = 5
    return Operation(lambda: namespace.figure)


def queueing(kind: str, *, joinable: bool = False) -> Prepare:
    """Put an item and take it."""

    def prepare(source: Source, name: str) -> Operation:
        queue = source(kind, name)

        def run() -> None:
            queue.put("an item")
            queue.get()
            if joinable:
                queue.task_done()

        return Operation(run)

    return prepare


def piping(source: Source, name: str) -> Operation:
    """Send a message to another process and get it back."""
    send, receive = pipe_end(source, name, first=True)
    command = [sys.executable, "-m", "benchmarks.object_calls", *sys.argv[1:3], "--echo", name]
    helper = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def run() -> None:
        send("a message")
        receive()

    return Operation(run, helper=helper)


def pipe_end(source: Source, name: str, *, first: bool) -> tuple[Callable[[Any], object], Callable[[], Any]]:
    """Open an end of a pipe; return how to send and how to receive. Who has no pipes has two queues."""
    try:
        end = source("Pipe", name)
    except AttributeError:
        there, back = source("Queue", f"{name} there"), source("Queue", f"{name} back")
        return (there.put, back.get) if first else (back.put, there.get)
    return end.send, end.recv


def echo(source: Source, name: str) -> None:
    """Send back what comes, until the other end is gone."""
    send, receive = pipe_end(source, name, first=False)
    while True:
        try:
            send(receive())
        except (EOFError, OSError):
            return


OPERATIONS: dict[str, Prepare] = {
    "Lock: acquire + release": acquiring("Lock"),
    "RLock: acquire + release": acquiring("RLock"),
    "Semaphore: acquire + release": acquiring("Semaphore", 1),
    "BoundedSemaphore: acquire + release": acquiring("BoundedSemaphore", 1),
    "Condition: acquire + notify + release": notifying,
    "Event: is_set": calling("Event", "is_set"),
    "Event: set + clear": setting_event,
    "Barrier: wait, of one party": calling("Barrier", "wait", options=(1,)),
    "Value: get": calling("Value", "get"),
    "Value: set": calling("Value", "set", 5),
    "Value: add": adding_to_value,
    "Array: get": calling("Array", "__getitem__", 5, options=("i", range(ITEMS))),
    "Array: set": calling("Array", "__setitem__", 5, 7, options=("i", range(ITEMS))),
    "list: get": calling("list", "__getitem__", 5, options=(range(ITEMS),)),
    "list: append": filling("list", "append", lambda items: items.__delitem__(slice(None))),
    "dict: get": getting_entry,
    "dict: set": setting_entries,
    "set: add": filling("set", "add", lambda members: members.clear()),
    "Namespace: get": getting_attribute,
    "Namespace: set": setting_attribute,
    "Queue: put + get": queueing("Queue"),
    "JoinableQueue: put + get + task_done": queueing("JoinableQueue", joinable=True),
    "Pipe: send, and back from another process": piping,
}


class Commands:
    """What the process does at a command. Objects are its own, except the lock that is handed on."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._prepared: dict[str, Operation] = {}

    def start(self) -> None:
        """Do nothing: whoever answers has started."""

    def prepare(self, operation: str) -> bool:
        """Open what an operation needs, and warm it up; False if the source does not have such objects."""
        if operation not in self._prepared:
            try:
                prepared = OPERATIONS[operation](self._source, f"{operation} {os.getpid()}")
            except AttributeError:
                return False
            self._prepared[operation] = prepared
            for _ in range(WARM_UP):
                prepared.run()
        return True

    def run(self, operation: str, seconds: float) -> tuple[int, float, float]:
        """Return how often it was done, and the seconds of wall and of CPU time, with those of its helper."""
        run, helper = self._prepared[operation].run, self._prepared[operation].helper
        count, cpu_s, began = 0, _cpu_s(helper), time.perf_counter()
        until = began + seconds
        while (now := time.perf_counter()) < until:
            run()
            count += 1
        return count, now - began, _cpu_s(helper) - cpu_s

    def clean(self, operation: str) -> None:
        """Empty what an operation has filled."""
        self._prepared[operation].clean()

    def hand(self, name: str, threads: int, seconds: float) -> list[tuple[float, float, int]]:
        """Acquire and release a lock in several threads; return when it was acquired, when its release began, by whom.

        The times are seconds of the machine's monotonic clock; a thread is named by its number.
        """
        lock = self._source("Lock", name)
        until = time.monotonic() + seconds
        held: list[tuple[float, float, int]] = []

        def work(number: int) -> None:
            while time.monotonic() < until:
                lock.acquire()
                acquired = time.monotonic()
                held.append((acquired, time.monotonic(), number))
                lock.release()

        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return held

    def close(self) -> None:
        """End the helpers."""
        for operation in self._prepared.values():
            if operation.helper is not None:
                operation.helper.kill()
                operation.helper.wait()


def _cpu_s(helper: subprocess.Popen[bytes] | None) -> float:
    return time.process_time() + (cpu_clock_s(helper.pid) if helper is not None else 0.0)


def main() -> None:
    """Do what is commanded until the end of the input."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.object_calls", description="Call shared objects.")
    parser.add_argument("source", choices=SOURCES)
    parser.add_argument("address")
    parser.add_argument("--echo")
    options = parser.parse_args()
    source = SOURCES[options.source](options.address)
    if options.echo is not None:
        echo(source, options.echo)
        return
    commands = Commands(source)
    try:
        for line in sys.stdin:
            method, *arguments = json.loads(line)
            print(json.dumps(getattr(commands, method)(*arguments)), flush=True)
    finally:
        commands.close()


if __name__ == "__main__":
    main()
