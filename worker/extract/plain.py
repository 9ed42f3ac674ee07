"""Makes values of a user's code plain: what is a kind of str, number, list or dict becomes just that.

Libraries give such kinds (BeautifulSoup's strings, for one), and neither wire nor disk knows them. What is nothing of
the sort is left as it is: whether a value may travel is judged by who sends it.
"""

from __future__ import annotations

from typing import Any

DEPTH_LIMIT = 64
_AS_THEY_ARE = frozenset({str, int, float, bool, bytes, type(None)})


def plain(value: Any, depth: int = DEPTH_LIMIT) -> Any:
    """Return a value with its subclasses of plain types made plain, as a copy if it is a list, a tuple or a dict.

    Raise `ValueError` if it is nested deeper than 64 levels.
    """
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, (dict, list, tuple)):
        if depth == 0:
            raise ValueError(f"a value nested deeper than {DEPTH_LIMIT} levels cannot travel")
        if isinstance(value, dict):
            return {plain(key): plain(part, depth - 1) for key, part in value.items()}
        return [plain(part, depth - 1) for part in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    """Call the plain type's own method: what a subclass overrides need not give its value."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return bytes(memoryview(value)) if isinstance(value, bytes) else value
