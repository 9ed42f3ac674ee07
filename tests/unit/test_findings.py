"""A crawl that has finished without rows says why, and a rule that never matched is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.findings import findings, since_last_run
from crawlfleet.coordinator.job.job import Job, load
from crawlfleet.coordinator.summary import Summary
from crawlfleet.screen.console import Console
from crawlfleet.screen.tables import show_summary
from crawlfleet.shared.status import ItemCount, Numbers

JOB = """\
name: n
seeds: [http://a.test/]
items:
  - {name: quote, each: div.quote, fields: {text: span, by: small}}
  - {name: other, each: div.other, fields: {text: span}}
sinks: [items.jsonl]
"""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "job.yaml").write_text(JOB)
    return load(tmp_path / "job.yaml")


def numbers(**values: Any) -> Numbers:
    return Numbers(job="n", **values)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"reasons": {"noindex": 9}, "fetched": 9},
            "all ask not to be indexed; links: {noindex: ignore} would not obey that.",
        ),
        ({"reasons": {"robots": 3}, "fetched": 1}, "robots.txt refused 3 pages"),
        ({"fetched": 1}, "scope lets none of their links through, or they have none"),
        ({"fetched": 1, "failed": 5}, "1 page fetched, but no rule matched: 'quote' (div.quote), 'other' (div.other)."),
        ({"reasons": {"robots": 3}, "fetched": 9}, "9 pages fetched, but no rule matched"),
    ],
)
def test_without_rows_the_first_cause_that_applies_is_told(job: Job, values: dict[str, Any], text: str) -> None:
    (told,) = findings(job, numbers(**values), 1)
    assert told.startswith("No rows: ")
    assert text in told


def test_what_no_seed_answered_is_told_elsewhere(job: Job) -> None:
    assert findings(job, numbers(fetched=0), 0) == ()


def test_rules_and_fields_that_gave_nothing_are_named(job: Job) -> None:
    items = (ItemCount(name="quote", rows=4, pages=2, empty={"by": 4, "gone": 4, "text": 1}), ItemCount(name="other"))
    assert findings(job, numbers(fetched=7, rows=4, items=items), 1) == (
        "The field 'by' of 'quote' was empty in all 4 rows: check the selector.",
        "The rule 'other' matched on none of 7 pages: check its selector, 'div.other'.",
    )


def test_a_field_that_could_never_be_converted_and_rows_that_were_all_rejected_are_named(job: Job) -> None:
    other = ItemCount(name="other", rows=1, pages=1)
    quote = ItemCount(
        name="quote", rows=4, pages=2, empty={"by": 4, "text": 4}, unconverted={"by": 4, "text": 1}, samples={"by": "x"}
    )
    assert findings(job, numbers(fetched=7, rows=5, items=(quote, other)), 1) == (
        "The field 'by' of 'quote' could not be converted in any of 4 rows, such as 'x': "
        "check its selector, and its type.",
        "The field 'text' of 'quote' was empty in all 4 rows: check the selector.",
    )
    for number, they in ((1, "the only row was"), (3, "all 3 rows were")):
        none = ItemCount(name="quote", pages=2, rejected=number, rejected_for="by is required, and empty")
        (told,) = findings(job, numbers(fetched=7, items=(none,)), 1)
        assert told == f"No rows: {they} rejected, such as because by is required, and empty: see rejected.jsonl."


def test_the_rows_of_pages_as_such_have_no_fields_to_check(job: Job) -> None:
    items = (ItemCount(name="page", rows=4, pages=4, empty={"canonical": 4}),)
    assert findings(job, numbers(fetched=4, rows=4, items=items), 1) == ()


def test_the_summary_shows_rows_by_rule_and_what_to_look_at() -> None:
    items = (ItemCount(name="quote", rows=4, pages=1, empty={"by": 1}), ItemCount(name="other"))
    end: dict[str, Any] = {"ended": "finished", "started_at": "", "fetched_before": 0, "sinks": (), "exit_code": 0}
    summary = Summary(job="n", rows=4, items=items, **end, resumable=True, warnings=("Look.",))
    console = Console(width=200)
    with console.capture() as captured:
        show_summary(summary, console)
    lines = captured.get().splitlines()
    at = lines.index("rows:")
    assert lines[at + 1 : at + 4] == ["  4 quote, on 1 page; empty: by 25%", "  0 other, on 0 pages", "Look."]


def test_the_summary_shows_what_could_not_be_converted_and_what_was_rejected() -> None:
    unconverted = {f"f{number}": number for number in range(1, 13)}
    item = ItemCount(
        name="quote",
        rows=4,
        pages=1,
        unconverted=unconverted,
        samples={"f12": "x" * 99, "f11": "[b]sold out"},
        rejected=2,
        rejected_for="a is required, and empty",
    )
    end: dict[str, Any] = {"ended": "finished", "started_at": "", "fetched_before": 0, "sinks": (), "exit_code": 0}
    console = Console(width=200)
    with console.capture() as captured:
        show_summary(Summary(job="n", rows=4, items=(item,), **end, resumable=True), console)
    lines = captured.get().splitlines()
    at = lines.index("rows:")
    assert lines[at + 2 : at + 4] == [
        f"    f12: 12 values not converted, such as '{'x' * 60}...'",
        "    f11: 11 values not converted, such as '[b]sold out'",
    ]
    assert lines[at + 12 :] == ["    and 2 fields more", "    2 rows rejected: a is required, and empty"]


def test_sitemaps_that_were_read_in_part_are_named_or_counted() -> None:
    end: dict[str, Any] = {"ended": "finished", "started_at": "", "fetched_before": 0, "sinks": (), "exit_code": 0}
    for number, named, told in (
        (
            3,
            ("m.xml (cut)",),
            ["of this sitemap not all was used: m.xml (cut)", "of 2 sitemaps more not all was used: see the log"],
        ),
        (1, (), ["of 1 sitemap not all was used: see the log"]),
    ):
        console = Console(width=200)
        with console.capture() as captured:
            show_summary(
                Summary(job="n", **end, resumable=True, sitemaps_short=number, sitemaps_short_named=named), console
            )
        assert captured.get().splitlines()[-len(told) :] == told


def test_how_to_go_on_is_right_for_a_run_that_started_again() -> None:
    end: dict[str, Any] = {"ended": "interrupted", "started_at": "", "fetched_before": 0, "sinks": (), "exit_code": 130}
    for fresh, command in ((True, "the same command without --fresh"), (False, "the same command")):
        console = Console(width=200)
        with console.capture() as captured:
            show_summary(Summary(job="n", **end, resumable=True, fresh=fresh), console)
        assert captured.get().splitlines()[-1] == f"Nothing is lost: {command} resumes the crawl."


def test_what_has_changed_matters_if_pages_were_fetched_before() -> None:
    assert since_last_run(("items",), 0) == since_last_run((), 9) == ()
    assert "(items): 9 pages fetched or failed before, and they are not" in since_last_run(("items",), 9)[0]
    assert "(items): 1 page fetched or failed before, and it is not" in since_last_run(("items",), 1)[0]
