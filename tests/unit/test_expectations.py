"""What a job expects: as it is written, what is wrong with it, and what of it does not hold at the end of a crawl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.conduct.tallies import MOST_FIELDS
from crawlfleet.coordinator.expecting import unmet
from crawlfleet.coordinator.findings import since_last_run
from crawlfleet.coordinator.job.expect import ALL, Expectations
from crawlfleet.coordinator.job.job import load
from crawlfleet.coordinator.summary import Summary
from crawlfleet.screen.console import Console
from crawlfleet.screen.tables import show_end
from crawlfleet.shared.errors import JobError
from crawlfleet.shared.status import ItemCount, Numbers

ITEMS = "items: [{name: book, fields: {price: b, title: h1}}]\n"


def expect(text: str, folder: Path, more: str = ITEMS) -> Expectations:
    path = folder / "job.yaml"
    path.write_text(f"name: t\nseeds: [https://e.org/]\n{more}expect: {text}\n", encoding="utf-8")
    return load(path).expect


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", {}),
        ("{rows: 100}", {"rows": {ALL: 100}}),
        ("{rows: {book: 5}}", {"rows": {"book": 5}}),
        ("{filled: {book.price: 95%, book.title: 99.5 %}}", {"filled": {"book.price": 0.95, "book.title": 0.995}}),
        ("{failed: 1%}", {"failed": 0.01}),
        ("{failed: 0%}", {"failed": 0.0}),
    ],
)
def test_expectations_are_read(text: str, expected: dict[str, Any], tmp_path: Path) -> None:
    found = expect(text, tmp_path)
    assert {key: value for key, value in found.model_dump().items() if value not in (None, {})} == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{rows: -1}", "4:16: expect.rows: -1 is out of range"),
        ("{rows: many}", "4:16: expect.rows: wants a whole number, not 'many'"),
        ("{rows: true}", "expect.rows: wants a whole number, not true"),
        ("{rows: }", "expect.rows: is empty"),
        ("{rows: {bok: 5}}", "4:17: expect.rows.bok: is no name of the rules of this job: did you mean 'book'?"),
        ("{rows: {zzz: 5}}", "known are book"),
        ("{rows: {book: x}}", "4:23: expect.rows.book: wants a whole number"),
        ("{filled: {book.prize: 5%}}", "4:19: expect.filled.book.prize: is no name of the rules of this job: did you"),
        ("{filled: {price: 5%}}", "4:19: expect.filled.price: names no field of an item: write both"),
        ("{filled: {book.price: 0.95}}", "4:31: expect.filled.book.price: wants a share from 0% to 100%"),
        ("{filled: {book.price: 101%}}", "wants a share from 0% to 100%: write one such as 95%"),
        ("{failed: 1}", "4:18: expect.failed: wants a share"),
        ("{faild: 1%}", "expect.faild: is not a known key: did you mean 'failed'?"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught:
        expect(text, tmp_path)
    assert said in caught.value.problems[0]


def test_a_job_without_rules_expects_pages_and_a_hook_may_name_anything(tmp_path: Path) -> None:
    expect("{rows: {page: 1}, filled: {page.title: 50%}}", tmp_path, "")
    (tmp_path / "hook.py").write_text("def parse(page):\n    yield {}\n")
    expect("{rows: {thing: 1}, filled: {thing.any.field: 50%}}", tmp_path, "hooks: hook.py\n")


BOOK = ItemCount(name="book", rows=200, pages=9, empty={"price": 10, "title": 11})


@pytest.mark.parametrize(
    ("text", "numbers", "sentences"),
    [
        ("{rows: 200}", {"rows": 200}, []),
        ("{rows: 1000}", {"rows": 999}, ["Expected at least 1,000 rows: there are 999."]),
        ("{rows: {book: 200}}", {"rows": 200}, []),
        ("{rows: {book: 201}}", {"rows": 300}, ["Expected at least 201 rows of 'book': there are 200."]),
        ("{filled: {book.price: 95%}}", {}, []),
        (
            "{filled: {book.title: 95%, book.price: 95.5%}}",
            {},
            [
                "Expected book.title to be filled in at least 95% of rows: it is in 94.5%, 189 of 200.",
                "Expected book.price to be filled in at least 95.5% of rows: it is in 95%, 190 of 200.",
            ],
        ),
        (
            "{filled: {book.price: 0%}}",
            {"items": ()},
            ["Expected book.price to be filled in at least 0% of rows: there are none."],
        ),
        ("{rows: {book: 1}}", {"items": ()}, ["Expected at least 1 rows of 'book': there are 0."]),
        ("{failed: 1%}", {"failed": 1, "done": 99}, []),
        ("{failed: 1%}", {"failed": 2, "done": 98}, ["Expected at most 1% of pages to fail: 2% did, 2 of 100."]),
        ("{failed: 0%}", {"failed": 1, "done": 2}, ["Expected at most 0% of pages to fail: 33.33% did, 1 of 3."]),
        ("{failed: 0%}", {}, []),
        ("{failed: 7%}", {"failed": 7, "done": 93}, []),
        (
            "{filled: {book.price: 7%}}",
            {"items": (ItemCount(name="book", rows=100, pages=1, empty={"price": 93}),)},
            [],
        ),
    ],
)
def test_what_does_not_hold_is_told_in_a_sentence(
    text: str, numbers: dict[str, Any], sentences: list[str], tmp_path: Path
) -> None:
    assert list(unmet(expect(text, tmp_path), Numbers(job="t", **{"items": (BOOK,), **numbers}))) == sentences


def test_a_field_that_could_not_be_counted_is_not_taken_for_filled(tmp_path: Path) -> None:
    empty = {f"f{number}": 1 for number in range(MOST_FIELDS)}
    numbers = Numbers(job="t", items=(ItemCount(name="book", rows=5, pages=1, empty=empty),))
    (said,) = unmet(expect("{filled: {book.price: 95%}}", tmp_path), numbers)
    assert said.endswith(f"it was not counted, since {MOST_FIELDS} other fields were empty before.")


def test_a_quiet_crawl_says_what_is_not_as_expected(capsys: pytest.CaptureFixture[str]) -> None:
    end: dict[str, Any] = {"ended": "finished", "started_at": "", "fetched_before": 0, "sinks": (), "exit_code": 3}
    show_end(Summary(job="n", **end, resumable=True, unmet=("A.", "B.")), Console(quiet=True), as_json=False)
    assert capsys.readouterr() == ("", "crawlfleet: A.\ncrawlfleet: B.\n")


def test_a_changed_expectation_fetches_nothing_and_is_not_told_as_if_it_did() -> None:
    assert since_last_run(("expect",), 9) == ()
    assert "(items)" in since_last_run(("expect", "items"), 9)[0]
