"""What rows and values of programs may consist of, so that every store, sink and message can hold them.

None, bool, int of 64 bits, finite float, str of Unicode, bytes, and lists and dicts (keys: str) of these. A refusal
names the place of the first part that is anything else, as a path.
"""

from __future__ import annotations

import math
from typing import Any

#: How deep a value may be nested. It is sent as a part of other values: see `wire.payload.DEPTH_LIMIT`.
VALUE_DEPTH = 62
#: The same of a field of a row, which is a dict in a list.
FIELD_DEPTH = 60
MAX_PLACE_CHARS = 200

_SIMPLE = frozenset({bool, bytes, type(None)})
_INTS = range(-(2**63), 2**64)


def refuse_odd_parts(value: object, name: str, depth: int) -> None:
    """Raise `TypeError` or `ValueError` with the place if a part of a value is not plain.

    The place is a path from `name`, such as `value['x'][3]`.
    """
    try:
        _walk(value, depth)
    except _Odd as odd:
        path = f"{name}{''.join(reversed(odd.steps))}"
        place = path if len(path) <= MAX_PLACE_CHARS else f"{path[:MAX_PLACE_CHARS]}..."
        raise odd.kind(f"{place} {odd.text}") from None


class _Odd(Exception):
    """A part is not plain. `steps` are those to it, the last one first."""

    def __init__(self, kind: type[TypeError | ValueError], text: str) -> None:
        super().__init__(text)
        self.kind = kind
        self.text = text
        self.steps: list[str] = []


def _walk(value: Any, depth: int) -> None:
    kind = type(value)
    if kind is str or kind is int or kind is float:
        _check_scalar(value)
    elif kind is list or kind is dict:
        if depth == 0:
            raise _Odd(ValueError, "is nested deeper than can be kept")
        _walk_parts(value, depth - 1)
    elif kind not in _SIMPLE:
        raise _Odd(TypeError, f"is of type {kind.__module__}.{kind.__qualname__}, which cannot be kept")


def _walk_parts(value: list[Any] | dict[Any, Any], depth: int) -> None:
    step: object = None
    parts = enumerate(value) if isinstance(value, list) else value.items()
    try:
        for step, part in parts:
            if type(step) is str:
                _check_scalar(step)
            elif isinstance(value, dict):
                raise _Odd(TypeError, f"is under a key of type {type(step).__qualname__}: keys are str")
            _walk(part, depth)
    except _Odd as odd:
        odd.steps.append(f"[{_shown(step)}]")
        raise


def _check_scalar(value: str | float) -> None:
    if isinstance(value, str):
        if not value.isascii() and not _is_unicode(value):
            raise _Odd(ValueError, "has half a surrogate pair")
    elif isinstance(value, int):
        if value not in _INTS:
            raise _Odd(ValueError, "is an int of more than 64 bits")
    elif not math.isfinite(value):
        raise _Odd(ValueError, f"is {value}: a number must be finite")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(step: object) -> str:
    text = repr(step)
    return text if len(text) <= 60 else f"{text[:57]}..."
