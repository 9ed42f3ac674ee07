"""What has come of a report in parts, as the row of its lease names it: see `parts`."""

from __future__ import annotations

import msgspec


class KeptParts(msgspec.Struct, frozen=True, array_like=True):
    """What has come so far of a task's report: the keys of its `KeptPartRow`s, in order, and the size of all."""

    ref: bytes
    orders: tuple[int, ...] = ()
    size_bytes: int = 0
