"""Ranges of numbers and lengths of names in messages, as types: `decode` refuses what lies outside, and NaN.

A range has room for all that an honest process sends, and lets nothing in that a rule or a store cannot work with.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

#: The largest number that every store keeps as an integer.
MOST = 2**63 - 1
#: The largest number of such that need not be exact: less than `MOST`, which is no float.
MOST_AMOUNT = 9.0e18
#: The longest duration: dates of servers may lie in the year 9999.
MOST_S = 10.0**12

#: A number that something is called by, such as a lease, or a cursor.
Number = Annotated[int, Meta(ge=0, le=MOST)]
#: Any number that fits into 64 bits with a sign.
Int = Annotated[int, Meta(ge=-(2**63), le=MOST)]
#: How often something happened, or at which place it is.
Count = Annotated[int, Meta(ge=0, le=2**53)]
#: How many tasks a session asks for, or a lease may run at once.
Share = Annotated[int, Meta(ge=0, le=1_000_000)]
#: How far something is from a seed: pages that no seed leads to have 2^31.
Depth = Annotated[int, Meta(ge=0, le=2**32)]
#: A size in bytes.
Size = Annotated[int, Meta(ge=0, le=2**50)]
#: A status of HTTP; 0 if there is none.
Status = Annotated[int, Meta(ge=0, le=999)]
#: A version of the protocol.
Version = Annotated[int, Meta(ge=0, le=2**31)]
#: A duration in seconds.
Seconds = Annotated[float, Meta(ge=0, le=MOST_S)]
#: A moment in seconds since 1970.
Moment = Annotated[int, Meta(ge=-(10**12), le=10**12)]
#: How much of something there is, in its own unit.
Amount = Annotated[float, Meta(ge=0, le=MOST_AMOUNT)]
#: A part of a whole.
Part = Annotated[float, Meta(ge=0, le=1)]
#: A port that something listens at.
Port = Annotated[int, Meta(ge=1, le=65_535)]
#: How early a page is fetched.
Priority = Annotated[int, Meta(ge=-(2**31), le=2**31)]

#: The longest id of a session, name of a worker, and name of an object, in characters.
MAX_SESSION_CHARS = 64
MAX_WORKER_CHARS = 400
MAX_NAME_CHARS = 1_000
#: So many addresses the coordinators of one crawl may have.
MOST_ADDRESSES = 64

#: The id of a session.
SessionId = Annotated[str, Meta(min_length=1, max_length=MAX_SESSION_CHARS)]
#: The id of a session, or nothing.
OtherSession = Annotated[str, Meta(max_length=MAX_SESSION_CHARS)]
#: What a worker is called: its host, its process, its number.
WorkerName = Annotated[str, Meta(max_length=MAX_WORKER_CHARS)]
#: The name of an object.
ObjectName = Annotated[str, Meta(max_length=MAX_NAME_CHARS)]
#: The host of a coordinator: a name, or an IP address without brackets.
HostName = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"\A[^\s\x00-\x1f\x7f-\x9f]+\Z")]
#: Where coordinators of one crawl answer: hosts and ports.
Addresses = Annotated[tuple[tuple[HostName, Port], ...], Meta(max_length=MOST_ADDRESSES)]
#: A kind of objects, or a method.
Word = Annotated[str, Meta(max_length=64)]


def shown(name: str) -> str:
    """Return a name as texts and logs have it: quoted, and cut if it is long."""
    return repr(name if len(name) <= 60 else f"{name[:57]}...")


def total(one: int, other: int) -> int:
    """Return a sum, or `MOST` if it is larger: a store keeps it in any case."""
    both = one + other
    return both if both <= MOST else MOST
