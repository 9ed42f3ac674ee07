"""Calls of objects that make no sense are refused: none of them ends the coordinator, or leaves a row behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import msgspec
import pytest

from crawlfleet.coordinator.core.objects.registry import OBJECTS
from crawlfleet.shared.objects import OPEN
from crawlfleet.shared.wire import values
from tests.unit.object_fleet import Failed, ObjectFleet, ProgramThread

CALLS = 150
TRIES = 25
INTS = (0, 1, 2, 3, 7, 64, 100, -1, -(2**63), 2**63 - 1, 2**63, 2**64 - 1, 2**40)
LONG = (10**5_000).to_bytes(2_100, signed=True)
FLOATS = (0.5, -3.0, float("inf"), float("nan"))
TEXTS = ("", "a", *"bcdiu?", "Lock", "RLock", "x" * 50)
BYTES = (b"", b"\x00", b"\xff\xff", LONG, *map(values.encode, (1, "a", None, [1], {"a": 1}, 2.5, (1, 2), float("nan"))))
UNDONE = sorted({method for kind in OBJECTS.values() for method in kind.undone})
ENTRY = (b"key", values.encode("key"), values.encode(1))


def nonsense(random: Random) -> Any:
    """Return something that a message can hold."""
    makers: list[Callable[[], Any]] = [
        lambda: random.choice(INTS),
        lambda: random.choice(FLOATS),
        lambda: random.choice(TEXTS),
        lambda: random.choice(BYTES),
        lambda: random.choice((None, True, False)),
        lambda: [nonsense(random) for _ in range(random.randrange(4))],
        lambda: [random.choice(BYTES) for _ in range(random.randrange(4))],
        lambda: [ENTRY] * random.randrange(3),
    ]
    return random.choice(makers)()


def arguments(random: Random, types: Any) -> tuple[Any, ...]:
    """Return arguments that mostly have the right types, and no sense otherwise."""
    count = len(types.__args__) if types != tuple[()] else 0
    for _ in range(TRIES):
        found = tuple(nonsense(random) for _ in range(count))
        with suppress(msgspec.ValidationError):
            msgspec.convert(found, types)
            break
    return found


def call(random: Random, thread: ProgramThread, name: str) -> None:
    """Make a call of a kind of objects: one that opens the object of that kind, or any other."""
    kind = OBJECTS[name]
    method = random.choice((OPEN, *kind.methods, *kind.methods))
    types = kind.options if method == OPEN else kind.methods[method].arguments
    thread.send(name, "it", method, arguments(random, types), random.choice((0.0, 1.0, None)))


@pytest.mark.parametrize("kind", OBJECTS)
def test_nonsense_is_refused_and_ends_nothing(kind: str) -> None:
    for seed in range(12):
        random, fleet = Random(seed), ObjectFleet()
        threads = [fleet.thread(session) for session in "aabc"]
        for _ in range(CALLS):
            thread = random.choice(threads)
            with suppress(Failed):
                match random.randrange(20):
                    case 0:
                        fleet.lose(random.choice("abc"), keep_answers=random.random() < 0.5)
                    case 1:
                        fleet.advance(random.random() * 3)
                    case 2 if thread.last is not None:
                        thread.withdraw()
                    case 3 if thread.last is not None:
                        other = random.choice((kind, "Lock", "Sock"))
                        thread.withdraw(as_kind=other, as_method=random.choice((OPEN, *UNDONE, nonsense(random))))
                    case _:
                        call(random, thread, random.choice((kind, kind, kind, "Lock")))
