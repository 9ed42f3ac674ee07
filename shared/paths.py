"""Names of files in text: a name may hold bytes that are no UTF-8."""

from __future__ import annotations

from pathlib import Path


def shown(path: Path | str) -> str:
    """Return the name of a file, or a sentence that has one, as text that can be encoded: other bytes are escaped."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
