"""The ranges of the numbers in messages, as types: `decode` refuses what lies outside, and NaN.

A range has room for all that an honest process sends, and lets no number in that a rule or a store cannot work with.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

#: The largest number that every store keeps as an integer.
MOST = 2**63 - 1
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
#: How early a page is fetched.
Priority = Annotated[int, Meta(ge=-(2**31), le=2**31)]


def total(*parts: int) -> int:
    """Return a sum, or `MOST` if it is larger: a store keeps it in any case."""
    return min(MOST, sum(parts))
