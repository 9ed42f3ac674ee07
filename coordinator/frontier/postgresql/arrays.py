"""Arrays as PostgreSQL reads them in its binary protocol, one for each column of what is written.

psycopg would adapt each value of a list; here a column is packed in one call. The types are those of `pg_type`, whose
numbers never change.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain
from struct import Struct, pack

BOOL, BYTEA, INT8, INT4, TEXT, FLOAT8, UUID = 16, 17, 20, 23, 25, 701, 2950
UUID_BYTES = 16

_LENGTH = Struct(">i").pack
_UUID_LENGTH = _LENGTH(UUID_BYTES)
_INT8, _FLOAT8 = Struct(">q"), Struct(">d")

# Types of values of one size: that size, and the letter by which they are packed.
_PLAIN = {BOOL: (1, "?"), INT4: (4, "i"), INT8: (8, "q"), FLOAT8: (8, "d")}


def int8(value: int) -> bytes:
    """Return a number as a parameter."""
    return _INT8.pack(value)


def float8(value: float) -> bytes:
    """Return a number as a parameter."""
    return _FLOAT8.pack(value)


def int4_in(data: bytes) -> int:
    """Return the number that a result has."""
    return int.from_bytes(data, signed=True)


def int8_in(data: bytes) -> int:
    """Return the number that a result has."""
    found: int = _INT8.unpack(data)[0]
    return found


def float8_in(data: bytes) -> float:
    """Return the number that a result has."""
    found: float = _FLOAT8.unpack(data)[0]
    return found


def plain(oid: int, values: Sequence[float]) -> bytes:
    """Return an array of numbers, or of truth values, of a type."""
    size, letter = _PLAIN[oid]
    number = len(values)
    packed: list[float] = [size] * (2 * number)
    packed[1::2] = values
    return _head(oid, number) + pack(f">{f'i{letter}' * number}", *packed)


def uuids(values: Collection[bytes]) -> bytes:
    """Return an array of values of 16 bytes each."""
    if not values:
        return _head(UUID, 0)
    return b"".join((_head(UUID, len(values)), _UUID_LENGTH, _UUID_LENGTH.join(values)))


def byteas(values: Sequence[bytes], oid: int = BYTEA) -> bytes:
    """Return an array of bytes."""
    lengths = map(_LENGTH, map(len, values))
    return b"".join((_head(oid, len(values)), *chain.from_iterable(zip(lengths, values, strict=True))))


def texts(values: Sequence[str]) -> bytes:
    """Return an array of texts."""
    return byteas([value.encode() for value in values], TEXT)


def _head(oid: int, number: int) -> bytes:
    """Return the head of an array of one dimension without nulls; an empty one has no dimension."""
    return pack(">iiiii", 1, 0, oid, number, 1) if number else pack(">iii", 0, 0, oid)
