"""Makes values of a user's code plain: instances of subclasses of str, numbers, list or dict become the plain type.

Libraries return such subclasses (BeautifulSoup's strings, for example), which cannot be sent or stored. Values of other
types are left unchanged: the sender judges whether they can be sent.
"""

from __future__ import annotations

from typing import Any

DEPTH_LIMIT = 64
_AS_THEY_ARE = frozenset({str, int, float, bool, bytes, type(None)})


def plain(value: Any, depth: int = DEPTH_LIMIT) -> Any:
    """Return a plain value; copy lists, tuples and dicts. Raise `ValueError` if it is nested deeper than 64 levels."""
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, (dict, list, tuple)):
        if depth == 0:
            raise ValueError(f"a value nested deeper than {DEPTH_LIMIT} levels cannot be sent")
        if isinstance(value, dict):
            return {_key(key): plain(part, depth - 1) for key, part in value.items()}
        return [plain(part, depth - 1) for part in value]
    return _scalar(value)


def _key(key: Any) -> Any:
    """Return a key that is a str as a plain one, any other as it is: the sender refuses it."""
    return str.__str__(key) if isinstance(key, str) else key


def _scalar(value: Any) -> Any:
    """Convert a scalar by the plain type's own method: a method of the subclass may not return its value."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return bytes(memoryview(value)) if isinstance(value, bytes) else value
