"""Whether the numbers of a finished crawl are what its job expects: pure."""

from __future__ import annotations

from collections.abc import Iterator

from crawlfleet.coordinator.conduct.tallies import MAX_NAME_CHARS, MOST_FIELDS
from crawlfleet.coordinator.core.judging import line
from crawlfleet.coordinator.job.expect import ALL, Expectations
from crawlfleet.shared.status import ItemCount, Numbers

# Shares are no exact numbers.
_ROUNDING = 1e-6


def unmet(expect: Expectations, numbers: Numbers) -> tuple[str, ...]:
    """Return a sentence for each expectation that does not hold."""
    items = {item.name: item for item in numbers.items}
    return (*_of_rows(expect, numbers, items), *_of_fields(expect, items), *_of_pages(expect, numbers))


def _of_rows(expect: Expectations, numbers: Numbers, items: dict[str, ItemCount]) -> Iterator[str]:
    for name, least in expect.rows.items():
        found = numbers.rows if name == ALL else _of(items, name).rows
        if found < least:
            what = "rows" if name == ALL else f"rows of {name!r}"
            yield f"Expected at least {least:,} {what}: there are {found:,}."


def _of_fields(expect: Expectations, items: dict[str, ItemCount]) -> Iterator[str]:
    for name, least in expect.filled.items():
        item_name, _, field = name.partition(".")
        item, field = _of(items, item_name), line(field, MAX_NAME_CHARS)
        expected = f"Expected {name} to be filled in at least {_percent(least)} of rows"
        filled = item.rows - item.empty.get(field, 0)
        if not item.rows:
            yield f"{expected}: there are none."
        elif field not in item.empty and len(item.empty) >= MOST_FIELDS:
            yield f"{expected}: it was not counted, since {MOST_FIELDS} other fields were empty before."
        elif filled + _ROUNDING < least * item.rows:
            yield f"{expected}: it is in {_percent(filled / item.rows)}, {filled:,} of {item.rows:,}."


def _of_pages(expect: Expectations, numbers: Numbers) -> Iterator[str]:
    ended = numbers.done + numbers.failed
    if expect.failed is not None and numbers.failed > expect.failed * ended + _ROUNDING:
        share = _percent(numbers.failed / ended)
        yield (
            f"Expected at most {_percent(expect.failed)} of pages to fail: {share} did, "
            f"{numbers.failed:,} of {ended:,}."
        )


def _of(items: dict[str, ItemCount], name: str) -> ItemCount:
    name = line(name, MAX_NAME_CHARS)
    return items.get(name, ItemCount(name=name))


def _percent(share: float) -> str:
    return f"{share * 100:.2f}".rstrip("0").rstrip(".") + "%"
