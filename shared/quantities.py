"""Durations and sizes as a job writes them: `250ms`, `1.5s`, `10MiB`.

Pure; an invalid value raises a `ValueError` with one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_AMOUNT = r"[0-9]{1,12}(?:\.[0-9]{1,9})?"
_QUANTITY = re.compile(rf"({_AMOUNT})([A-Za-z]+)\Z")

#: Patterns of what is read here, for the schema of jobs (ECMA 262): any duration, any size.
DURATION = rf"^{_AMOUNT}({'|'.join(_SECONDS)})$"
SIZE = rf"^{_AMOUNT}({'|'.join(_BYTES)})$"


def seconds(value: object, low: str, high: str) -> float:
    """Return a duration in seconds; 0 needs no unit. Raise `ValueError` if it is not from low to high."""
    text = "0s" if value == 0 and not isinstance(value, bool) else value
    return _within(text, low, high, _SECONDS, "a duration such as 250ms, 1.5s or 2m")


def duration_text(duration_s: float) -> str:
    """Return a duration as it is written in a job: `1h`, `90s`, `250ms`."""
    unit = next((unit for unit in ("h", "m", "s") if duration_s % _SECONDS[unit] == 0), "ms")
    return f"{duration_s / _SECONDS[unit]:g}{unit}" if duration_s else "0s"


def size_bytes(value: object, low: str, high: str) -> int:
    """Return a size in bytes. Raise `ValueError` if it is invalid, or not from low to high."""
    return int(_within(value, low, high, _BYTES, "a size such as 500KB or 10MiB"))


def size_text(size: int) -> str:
    """Return a size in bytes as it is written in a job: `256MiB`, `1500B`."""
    unit = next((unit for unit in ("GiB", "MiB", "KiB") if size % _BYTES[unit] == 0), "B")
    return f"{size // int(_BYTES[unit])}{unit}"


def _within(value: object, low: str, high: str, units: Mapping[str, float], wanted: str) -> float:
    found = _amount(value, units)
    if found is None:
        raise ValueError(_unit_fault(value, units, wanted))
    if not (_amount(low, units) or 0.0) <= found <= (_amount(high, units) or 0.0):
        raise ValueError(f"{value} is out of range: write from {low} to {high}")
    return found


def _amount(value: object, units: Mapping[str, float]) -> float | None:
    match = _QUANTITY.match(value) if isinstance(value, str) else None
    return float(match[1]) * units[match[2]] if match is not None and match[2] in units else None


def _unit_fault(value: object, units: Iterable[str], wanted: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value} has no unit ({', '.join(units)}): write {wanted}"
    shown = repr(value[:40]) if isinstance(value, str) else "this value"
    return f"{shown} has no number with a unit ({', '.join(units)}): write {wanted}"
