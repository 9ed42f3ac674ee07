"""What a fuzz target is, and the kinds of inputs that several have in common.

Each kind of inputs is made in two ways: by Hypothesis, of typical pieces, and of any bytes, which a fuzzer mutates by
what they reach in the code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any, NamedTuple

from hypothesis import strategies as st

MOST_PIECES = 40
#: Between the parts of an input that has several.
SEPARATOR = b"\n--\n"
SAMPLE_PIECES = 8


class Inputs(NamedTuple):
    """Values as Hypothesis makes them, and as bytes are `read`; of these, typical `pieces`, and whole `samples`."""

    examples: st.SearchStrategy[Any]
    read: Callable[[bytes], Any]
    pieces: tuple[bytes, ...] = ()
    samples: tuple[bytes, ...] = (b"",)


class Target(NamedTuple):
    """What inputs look like, and what must hold for each: an exception is a find."""

    inputs: Inputs
    holds: Callable[[Any], object]


def check_told(error: Exception) -> None:
    """Check that a refusal says why."""
    assert str(error)


def bytes_of(*pieces: bytes) -> Inputs:
    """Make bytes of known pieces, with some others between them, and now and then damaged."""
    piece = st.one_of(*[st.sampled_from(pieces)] * 4, st.binary(max_size=4))
    whole = st.lists(piece, max_size=MOST_PIECES).map(b"".join)
    return Inputs(st.one_of(whole, whole, damaged(whole)), bytes, pieces, _samples(pieces))


def text_of(*pieces: str) -> Inputs:
    """Make text of known pieces, with some others between them."""
    piece = st.one_of(*[st.sampled_from(pieces)] * 4, st.text(max_size=3))
    encoded = tuple(each.encode("utf-8", "surrogatepass") for each in pieces)
    return Inputs(st.lists(piece, max_size=MOST_PIECES).map("".join), as_text, encoded, _samples(encoded))


def any_of(options: Sequence[Any]) -> Inputs:
    """Choose one of some values, by the first byte."""
    return Inputs(
        st.sampled_from(options),
        lambda data: options[(data[0] if data else 0) % len(options)],
        samples=tuple(bytes([index]) for index in range(min(len(options), SAMPLE_PIECES))),
    )


def numbers(most: int) -> Inputs:
    """Make numbers from 0 to a largest one."""
    return Inputs(st.integers(0, most), lambda data: int.from_bytes(data[:4]) % (most + 1), samples=(b"", b"\x07"))


def together(*parts: Inputs) -> Inputs:
    """Make tuples with one value of each."""

    def read(data: bytes) -> tuple[Any, ...]:
        given = data.split(SEPARATOR, len(parts) - 1)
        given += [b""] * (len(parts) - len(given))
        return tuple(part.read(each) for part, each in zip(parts, given, strict=True))

    number = max(len(part.samples) for part in parts)
    samples = zip(*(islice(cycle(part.samples), number) for part in parts), strict=True)
    pieces = dict.fromkeys(piece for part in parts for piece in part.pieces)
    return Inputs(
        st.tuples(*(part.examples for part in parts)),
        read,
        (*pieces, SEPARATOR),
        tuple(SEPARATOR.join(each) for each in samples),
    )


def as_text(data: bytes) -> str:
    """Return bytes as text: half surrogate pairs, too."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape")


def damaged(whole: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Flip a bit of bytes, cut them, take a part out, or repeat one."""
    return st.builds(_damaged, whole, st.integers(0, 2**16), st.integers(0, 2**6), st.integers(0, 4))


def _damaged(data: bytes, place: int, size: int, kind: int) -> bytes:
    at = place % (len(data) + 1)
    if kind == 0 and at < len(data):
        return data[:at] + bytes([data[at] ^ (1 << size % 8)]) + data[at + 1 :]
    if kind == 1:
        return data[:at]
    if kind == 2:
        return data[:at] + data[at + size :]
    return data[:at] + data[at : at + size] * 3 + data[at + size :]


def _samples(pieces: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(b"".join(pieces[start : start + SAMPLE_PIECES]) for start in range(0, len(pieces), SAMPLE_PIECES // 2))
