"""Messages that a program with the token may send and no honest one does: each field has what its type allows, or more.

A field is mostly filled with what fits its name (a lease that is open, a session that is there, a method that exists),
so that messages come far; else with the ends of its range, with other values of its type, or with something else.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
from msgspec import inspect

from crawlfleet.coordinator.core.objects.registry import OBJECTS
from crawlfleet.shared.message import Message
from crawlfleet.shared.messages import PROTOCOL_MAJOR, ExchangeRequest, Hello, Outcome, Row
from crawlfleet.shared.objects import OPEN, WITHDRAW, ObjectCall
from crawlfleet.shared.parts import Bulk, split
from crawlfleet.shared.pools import AskRequest, CancelRequest
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.links import pack

REQUESTS: dict[str, type[Message]] = {
    "Queue.hello": Hello,
    "Queue.exchange": ExchangeRequest,
    "Objects.call": ObjectCall,
    "Pools.ask": AskRequest,
    "Pools.cancel": CancelRequest,
}
OTHERS = {
    "Queue.goodbye": ("session",),
    "Queue.put": ("url",),
    "Queue.size": (),
    "dict.get": ("url",),
    "dict.contains": ("url",),
    "dict.size": (),
    "dict.page": ("number", "number"),
    "Objects.collect": ("session", "number", "now"),
    "Pools.close": ("session", "number"),
    "Pools.collect": ("session", "number", "now"),
    "Control.status": (),
}
CALLS = (*REQUESTS, *OTHERS)

_TYPES = {name: inspect.type_info(kind) for name, kind in REQUESTS.items()}
METHODS = sorted({method for kind in OBJECTS.values() for method in kind.methods})
NUMBERS = (0, 1, 2, 3, 7, 64, 2**31, 2**53, 2**63 - 1, -1, -(2**63), 2**64 - 1)
FLOATS = (0.0, 0.5, 1e-9, 1e12, 1e300, -1.0, float("inf"), float("nan"))
TEXTS = (
    "",
    "a",
    "s",
    "\x1b]0;x\x07",
    "a\nb",
    "\u202e",
    "x" * 64,
    "x" * 65,
    "x" * 1_001,
    "\x00",
    "=1+1",
    "'); DROP TABLE tasks;--",
)
BULK = Bulk(rows=(Row(item="page", index=0, fields={"a": 1}),), links=pack(["http://a.test/part"]))
BYTES = (
    b"",
    b"\x00",
    b"\xff" * 15,
    b"r" * 16,
    b"r" * 33,
    zlib.compress(b"\n" * 100_000),
    pack(["http://a.test/x"]),
    *split(BULK),
)
PLAIN: tuple[Any, ...] = (
    None,
    True,
    1,
    2**64 - 1,
    float("nan"),
    "text",
    b"bytes",
    [],
    [1, [2]],
    {"a": {"b": 1}},
    {"": None},
)
ODD_IN = 25
MANY_IN = 40


@dataclass(slots=True)
class Known:
    """What a program knows of the crawl, by the names of the fields in which it is used."""

    sessions: Sequence[str] = ("honest", "a", "b")
    urls: Sequence[str] = (
        "http://a.test/",
        "http://b.test/",
        "http://a.test/sitemap.xml",
        *(f"http://{host}.test/p/{number}" for host in "ab" for number in range(10)),
    )
    #: Tasks under open leases: lease and fingerprint.
    open: list[tuple[int, bytes]] = field(default_factory=list)


def call(random: Random, name: str, known: Known) -> tuple[str, str, list[Any]]:
    """Return a call of one of `CALLS`: type, method, arguments."""
    typeid, _, method = name.partition(".")
    if name in REQUESTS:
        return typeid, method, [msgspec.msgpack.encode(_value(random, _TYPES[name], "", known))]
    arguments = [0.0 if each == "now" else _argument(random, each, known) for each in OTHERS[name]]
    return typeid, method, arguments


def _argument(random: Random, name: str, known: Known) -> Any:
    if not random.randrange(ODD_IN):
        return random.choice(PLAIN)
    return random.choice((0, 0, 1, *NUMBERS)) if name == "number" else _text(random, name, known)


def _value(random: Random, kind: inspect.Type, name: str, known: Known) -> Any:
    """Return a plain value for a field of this name and type."""
    maker = _MAKERS.get(type(kind))
    if maker is None or not random.randrange(10 * ODD_IN):
        return random.choice(PLAIN)
    return maker(random, kind, name, known)


def _struct(random: Random, kind: inspect.StructType, _name: str, known: Known) -> Any:
    if kind.array_like:
        return [_value(random, each.type, each.encode_name, known) for each in kind.fields]
    filled = {
        each.encode_name: _value(random, each.type, each.encode_name, known)
        for each in kind.fields
        if each.required or random.random() < 0.4
    }
    if "outcome" in filled and random.random() < 0.9:
        filled["lease"], filled["ref"] = _key(random, known)
        filled["outcome"] = random.choice((Outcome.FETCHED, Outcome.REDIRECTED, random.choice(list(Outcome)))).value
    if not random.randrange(4 * ODD_IN):
        filled[random.choice(("unknown", *filled))] = random.choice(PLAIN)
    return filled


def _key(random: Random, known: Known) -> tuple[int, bytes]:
    """Return a lease and a fingerprint, mostly of an open task."""
    if known.open and random.random() < 0.9:
        lease, ref = random.choice(known.open)
        return (lease, ref) if random.random() < 0.9 else (random.choice(known.open)[0], ref)
    return random.choice((1, 2, 3)), random.choice(BYTES)


def _several(random: Random, kind: inspect.VarTupleType, name: str, known: Known) -> list[Any]:
    number = random.randrange(4) if random.randrange(MANY_IN) else random.randrange(40)
    some = [_value(random, kind.item_type, name, known) for _ in range(min(number, 4))]
    return [random.choice(some) for _ in range(number)] if some else []


def _number(random: Random, kind: inspect.IntType, name: str, known: Known) -> int:
    if name == "protocol_major" and random.randrange(ODD_IN):
        return PROTOCOL_MAJOR
    if name in ("lease", "holding", "released") and known.open and random.random() < 0.8:
        return random.choice(known.open)[0]
    if not random.randrange(4 * ODD_IN):
        return random.choice(NUMBERS)
    ends = [end for end in (kind.ge, kind.le) if end is not None]
    return int(random.choice((0, 1, 1, 2, 3, 200, 301, *ends)))


def _float(random: Random, kind: inspect.FloatType, _name: str, _known: Known) -> Any:
    return random.choice((0.0, 0.5, kind.ge, kind.le) if random.randrange(4 * ODD_IN) else FLOATS)


_FITTING: dict[str, Callable[[Known], Sequence[str]]] = {
    "session": lambda known: known.sessions,
    "replaces": lambda known: (*known.sessions, "", ""),
    "url": lambda known: known.urls,
    "location": lambda known: known.urls,
    "outlinks": lambda known: (*known.urls, "http://a.test/?new", "http://c.test/"),
    "sitemaps": lambda known: known.urls,
    "kind": lambda _known: tuple(OBJECTS),
    "method": lambda _known: (OPEN, OPEN, WITHDRAW, *METHODS),
    "name": lambda _known: ("it", "that"),
    "reason": lambda _known: ("", "timeout_total", "http_500", "content_type", *(each.value for each in Reason)),
    "address": lambda _known: ("", "192.0.2.1", "192.0.2.2", "::1"),
}


def _text(random: Random, name: str, known: Known) -> str:
    fitting = _FITTING.get(name)
    if fitting is not None and random.randrange(4 * ODD_IN):
        return random.choice(fitting(known))
    return random.choice(TEXTS)


def _bytes(random: Random, name: str, known: Known) -> bytes:
    if name == "known" and known.open:
        return b"".join(ref for _, ref in known.open)
    if name == "body" and random.random() < 0.8:
        return random.choice(
            (b"User-agent: *\nDisallow: /1\n", b"Sitemap: http://a.test/sitemap.xml\n" * 9, b"\x00\xff" * 99)
        )
    return random.choice(BYTES)


_MAKERS: dict[type[inspect.Type], Callable[[Random, Any, str, Known], Any]] = {
    inspect.StructType: _struct,
    inspect.NamedTupleType: lambda random, _kind, _name, known: list(_key(random, known)),
    inspect.VarTupleType: _several,
    inspect.UnionType: lambda random, kind, name, known: _value(random, random.choice(kind.types), name, known),
    inspect.DictType: lambda random, _kind, _name, _known: dict.fromkeys(
        "ab"[: random.randrange(3)], random.choice(PLAIN)
    ),
    inspect.EnumType: lambda random, kind, _name, _known: random.choice(list(kind.cls)).value,
    inspect.IntType: _number,
    inspect.FloatType: _float,
    inspect.StrType: lambda random, _kind, name, known: _text(random, name, known),
    inspect.BytesType: lambda random, _kind, name, known: _bytes(random, name, known),
    inspect.BoolType: lambda random, _kind, _name, _known: random.random() < 0.5,
    inspect.NoneType: lambda _random, _kind, _name, _known: None,
}
