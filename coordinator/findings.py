"""What the numbers of a crawl that has finished say about its job, in sentences: pure.

Zero rows look like success in numbers alone, and so does a rule that never matched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from crawlfleet.coordinator.job.job import Job
from crawlfleet.coordinator.sinks.rejected_sink import REJECTED
from crawlfleet.shared.messages import PAGE_ITEM
from crawlfleet.shared.paths import shown
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.status import Numbers

# What is judged at the end of each run.
EXPECT = "expect"


def since_last_run(keys: Sequence[str], ended: int) -> tuple[str, ...]:
    """Return that these keys of the job have changed, if any pages have `ended` before, as they did."""
    keys = [key for key in keys if key != EXPECT]
    if not keys or not ended:
        return ()
    they_are = "it is" if ended == 1 else "they are"
    return (
        f"The job has changed since the last run ({', '.join(keys)}): {_pages(ended)} fetched or failed before, "
        f"and {they_are} not fetched again. To crawl all by the new job, start again with --fresh, which keeps the "
        "earlier run aside.",
    )


def findings(job: Job, numbers: Numbers, seeds_fetched: int) -> tuple[str, ...]:
    """Return why a crawl has no rows: the first cause that applies; else which rules and fields never gave anything."""
    if not numbers.fetched or not seeds_fetched:
        return ()
    if not numbers.rows:
        return (f"No rows: {_why_none(job, numbers, seeds_fetched)}",)
    return tuple(_useless(job, numbers))


def rejected(rows: int, folder: Path) -> tuple[str, ...]:
    """Return a sentence if rows of the crawl in a folder were rejected."""
    if not rows:
        return ()
    were = "row was" if rows == 1 else "rows were"
    return (f"{rows:,} {were} rejected, and set aside with the reason: {shown(folder / REJECTED)}",)


def _why_none(job: Job, numbers: Numbers, seeds_fetched: int) -> str:
    pages = _pages(numbers.fetched)
    refused = numbers.reasons.get(Reason.ROBOTS, 0) + numbers.reasons.get(Reason.ROBOTS_UNREACHABLE, 0)
    if numbers.reasons.get(Reason.NOINDEX) == numbers.fetched:
        return f"{pages} fetched, and all ask not to be indexed; links: {{noindex: ignore}} would not obey that."
    if numbers.fetched == seeds_fetched and refused:
        return f"only seeds were fetched; robots.txt refused {_pages(refused)} to which they lead."
    if numbers.fetched == seeds_fetched and not numbers.failed and job.scope.depth != 0:
        return (
            f"only seeds were fetched ({pages}), and no rule matched there; "
            "scope lets none of their links through, or they have none."
        )
    rejected = [item for item in numbers.items if item.rejected]
    if rejected:
        rows = sum(item.rejected for item in rejected)
        all_of = "the only row was" if rows == 1 else f"all {rows:,} rows were"
        return f"{all_of} rejected, such as because {rejected[0].rejected_for}: see {REJECTED}."
    rules = ", ".join(f"{rule.name!r} ({rule.each or 'the whole page'})" for rule in job.items)
    what = f"no rule matched: {rules}" if rules else "the hook gave none"
    return f"{pages} fetched, but {what}."


def _useless(job: Job, numbers: Numbers) -> Iterator[str]:
    selectors = {rule.name: f"its selector, {str(rule.each)!r}" for rule in job.items if rule.each}
    # An earlier version of a rule may have had other fields.
    fields_of = {rule.name: set(rule.fields) for rule in job.items if job.hooks is None}
    for item in numbers.items:
        if not item.pages:
            yield (
                f"The rule {item.name!r} matched on none of {_pages(numbers.fetched)}: "
                f"check {selectors.get(item.name, 'its urls, when and fields')}."
            )
        elif item.name != PAGE_ITEM:
            known = fields_of.get(item.name, item.empty)
            never = [field for field, number in item.empty.items() if number == item.rows and field in known]
            for field in [field for field in never if item.unconverted.get(field) == item.rows]:
                never.remove(field)
                yield (
                    f"The field {field!r} of {item.name!r} could not be converted in any of {item.rows:,} rows, "
                    f"such as {item.samples.get(field, '')!r:.80}: check its selector, and its type."
                )
            if never:
                fields = f"The field {never[0]!r}" if len(never) == 1 else f"The fields {', '.join(map(repr, never))}"
                was = "was" if len(never) == 1 else "were"
                yield f"{fields} of {item.name!r} {was} empty in all {item.rows:,} rows: check the selector."


def _pages(number: int) -> str:
    return "1 page" if number == 1 else f"{number:,} pages"
