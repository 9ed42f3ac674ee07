"""A line of a seeds file, as the crawl keeps it."""

from __future__ import annotations

import msgspec

#: The names under which rows have what a line says: no field may have them in a crawl with such seeds.
RESERVED = REQUESTED, SEED = "requested", "seed"


class SeedLine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The address as it was given, and the other columns of its line: texts by their names."""

    requested: str
    columns: dict[str, str] = {}
