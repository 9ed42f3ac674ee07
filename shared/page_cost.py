"""What a page costs a worker, as one figure: hosts share what there is by it."""

from __future__ import annotations

# Bytes are received and unpacked in the thread that fetches, and not counted as CPU time of the page.
BYTE_S = 3e-9


def page_cost_s(cpu_s: float, size_bytes: int) -> float:
    """Return what pages cost that took so much CPU time to read, in seconds of one core."""
    return cpu_s + size_bytes * BYTE_S
