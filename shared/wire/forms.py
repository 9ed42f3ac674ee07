"""How values are expressed in msgpack: a table of types, and refusals that name the place of what cannot be expressed.

It must not know which types there are, nor how one is expressed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

DEPTH_LIMIT = 64

_KEY_CHARS = 40
_KEY_BITS = 128
_TYPE_CHARS = 100
_PLACE_CHARS = 160


class RefusedError(Exception):
    """A part that cannot be shared, and what it is; its place is completed on the way out."""

    def __init__(self, kind: type[Exception], what: str) -> None:
        super().__init__(what)
        self._kind = kind
        self._what = what
        self._steps: list[str] = []

    def within(self, step: str) -> None:
        """Add the step that leads from the surrounding value to this place."""
        self._steps.append(step)

    def as_seen_by_user(self) -> Exception:
        """Return the error of the kind given, with the whole place."""
        place = _shortened("value" + "".join(reversed(self._steps)), _PLACE_CHARS)
        return self._kind(f"{place}: {self._what} cannot be shared")


class Form(NamedTuple):
    """A way to express values: for each type a function; that of a nest is told how many levels are left below it."""

    leaves: dict[type, Callable[[Any], object]]
    nests: dict[type, Callable[[Any, int], object]]

    def whole(self, value: object) -> object:
        """Express a value; raise `TypeError` or `ValueError`, with the place of the part that cannot be shared."""
        try:
            return self.part(value, DEPTH_LIMIT)
        except RefusedError as refused:
            raise refused.as_seen_by_user() from None

    def part(self, value: object, depth: int) -> object:
        """Express a part of a value; raise `RefusedError` if it cannot be shared."""
        kind = type(value)
        leaf = self.leaves.get(kind)
        if leaf is not None:
            return leaf(value)
        nest = self.nests.get(kind)
        if nest is None:
            raise refused_type(value)
        if depth == 0:
            raise RefusedError(ValueError, f"a value nested deeper than {DEPTH_LIMIT} levels, or in itself,")
        return nest(value, depth - 1)

    def parts(self, values: Iterable[object], depth: int, step: Callable[[int], str]) -> list[Any]:
        """Express each of the values; `step` gives the step of a place that leads to the one of an index."""
        done: list[object] = []
        try:
            for value in values:
                done.append(self.part(value, depth))
        except RefusedError as refused:
            refused.within(step(len(done)))
            raise
        return done


def refused_type(value: object) -> RefusedError:
    """Return the refusal of a value for its type."""
    kind = type(value)
    return RefusedError(
        TypeError, f"a value of type {_shortened(f'{kind.__module__}.{kind.__qualname__}', _TYPE_CHARS)}"
    )


def plain_str(value: str) -> str:
    """Return a str as it is; raise `RefusedError` if UTF-8 cannot express it."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        what = f"a str with half a surrogate pair (at index {error.start}), which UTF-8 cannot express,"
        raise RefusedError(ValueError, what) from None
    return value


def at_index(index: int) -> str:
    """Return the step to an item of a sequence."""
    return f"[{index}]"


def at_key(key: object) -> str:
    """Return the step to the value of a key, whatever the key is and however large."""
    if isinstance(key, str | bytes) and len(key) > _KEY_CHARS:
        return f"[{key[:_KEY_CHARS]!r}...]"
    if isinstance(key, int) and key.bit_length() > _KEY_BITS:
        return f"[<int of {key.bit_length()} bits>]"
    if isinstance(key, str | bytes | int | float | None):
        return f"[{key!r}]"
    return f"[<{type(key).__qualname__}>]"


def _shortened(text: str, limit: int) -> str:
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}...{text[-half:]}"
