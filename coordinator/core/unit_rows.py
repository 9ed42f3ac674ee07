"""The rows of units: see `units`."""

from __future__ import annotations

from crawlfleet.coordinator.core.rows import ResidentRow


class AskedDelayRow(ResidentRow, frozen=True, kw_only=True):
    """How many robots.txt files of the hosts that joined a unit ask for the same delay. There is none for no delay.

    The last of a unit's has the longest delay. Those of the unit's own name are not counted: its row names its origins.
    """

    unit: str
    delay_s: float
    #: At least 1.
    files: int

    @property
    def key(self) -> str:
        return key_of(self.unit, self.delay_s)

    @property
    def family(self) -> str:
        return self.unit

    @property
    def place(self) -> float:
        return self.delay_s


def key_of(unit: str, delay_s: float) -> str:
    """Return the key of the row of a unit and a delay."""
    return f"{unit} {float(delay_s)!r}"
