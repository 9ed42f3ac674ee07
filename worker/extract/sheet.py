"""What the rules of a job share about one page: what they have parsed of it, and what went wrong. Pure."""

from __future__ import annotations

from typing import Any

from crawlfleet.shared.messages import MAX_SAMPLE_CHARS, MOST_UNCONVERTED, Unconverted
from crawlfleet.worker.extract.page import Page


class Sheet:
    """A page under the rules.

    `lacking` says in sentences which required fields the row in work does not have, `refused` how many values could not
    be converted so far.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.lacking: list[str] = []
        self.refused = 0
        self._unconverted: dict[tuple[str, str], list[Any]] = {}

    @property
    def unconverted(self) -> tuple[Unconverted, ...]:
        """The fields with values that could not be converted: how many, and the first of them."""
        return tuple(
            Unconverted(item=item, field=field, number=number, sample=sample)
            for (item, field), (number, sample) in self._unconverted.items()
        )

    def refuse(self, item: str, field: str, value: Any) -> None:
        """Note a value that cannot be converted."""
        self.refused += 1
        found = self._unconverted.get((item, field))
        if found is not None:
            found[0] += 1
        elif len(self._unconverted) < MOST_UNCONVERTED:
            self._unconverted[item, field] = [1, sample_of(value)]


def sample_of(value: Any) -> str:
    """Return the beginning of a value as a text that can be sent."""
    text = value if isinstance(value, str) else repr(value)
    return text[:MAX_SAMPLE_CHARS].encode(errors="backslashreplace").decode()[:MAX_SAMPLE_CHARS]
