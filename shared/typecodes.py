"""Which numbers a Value or an Array holds by its typecode, and how they travel.

Typecodes are those of `multiprocessing`, with sizes that are the same on all machines. A character is the number that
stands for it: a byte for `c`, a code point for `u`. No typecode (the empty one) is a number of any kind and size; an
int that msgpack cannot express is packed into bytes.
"""

from __future__ import annotations

import struct

Number = int | float
#: A number as messages and rows have it.
Plain = int | float | bytes

FORMATS = {
    "b": "b",
    "B": "B",
    "h": "h",
    "H": "H",
    "i": "i",
    "I": "I",
    "l": "q",
    "L": "Q",
    "q": "q",
    "Q": "Q",
    "f": "f",
    "d": "d",
    "c": "B",
    "u": "I",
    "?": "B",
}
SIZES = {code: struct.calcsize(f"<{form}") for code, form in FORMATS.items()}
#: The typecodes of numbers that can be added to.
NUMERIC = frozenset("bBhHiIlLqQfd")

#: A longer int is not shown in an error: Python refuses to turn a very long one into text.
SHOWN_BITS = 256

_HIGHEST = {"c": 0xFF, "u": 0x10FFFF, "?": 1}


def fitted(code: str, number: Number) -> Number:
    """Return a number as the typecode holds it; raise `TypeError` or `OverflowError` if it cannot."""
    if not code:
        return number
    if code in "fd":
        return float(struct.unpack(f"<{code}", struct.pack(f"<{code}", float(number)))[0])
    if not isinstance(number, int):
        raise TypeError(f"typecode {code!r} holds an int, not {type(number).__name__}")
    low, high = _range(code)
    if not low <= number <= high:
        shown = str(number) if number.bit_length() <= SHOWN_BITS else f"an int of {number.bit_length()} bits"
        raise OverflowError(f"{shown} does not fit typecode {code!r}, which holds {low} to {high}")
    return number


def pack(code: str, numbers: list[Number]) -> bytes:
    """Pack numbers that fit the typecode."""
    return struct.pack(f"<{len(numbers)}{FORMATS[code]}", *numbers)


def unpack(code: str, data: bytes) -> tuple[Number, ...]:
    """Return packed numbers; raise `ValueError` if the bytes are none of this typecode."""
    count, rest = divmod(len(data), SIZES[code])
    if rest:
        raise ValueError(f"{len(data)} bytes are no numbers of typecode {code!r}")
    numbers: tuple[Number, ...] = struct.unpack(f"<{count}{FORMATS[code]}", data)
    if code in _HIGHEST and any(number > _HIGHEST[code] for number in numbers):
        raise ValueError(f"a number does not fit typecode {code!r}")
    return numbers


def to_plain(number: Number) -> Plain:
    """Return a number as it travels."""
    if isinstance(number, float) or -(2**63) <= number < 2**64:
        return number
    return number.to_bytes(number.bit_length() // 8 + 1, signed=True)


def from_plain(plain: Plain) -> Number:
    """Return a number that travelled."""
    return int.from_bytes(plain, signed=True) if isinstance(plain, bytes) else plain


def _range(code: str) -> tuple[int, int]:
    """Return the lowest and the highest int of a typecode."""
    if code in _HIGHEST:
        return 0, _HIGHEST[code]
    bits = 8 * SIZES[code]
    return (0, 2**bits - 1) if code.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
