"""What a page gives: rows that know where they are from, and errors that say why there are none."""

from __future__ import annotations

import copy
import pickle

import pytest

from crawlfleet.errors import CrawlfleetError, PageFailed, PageRefused
from crawlfleet.fleet.pool.results import Rows, cancelled, outcome_of
from crawlfleet.shared.pools import Settled


def test_rows_are_a_list_that_knows_its_page() -> None:
    rows = outcome_of(Settled(ticket=1, url="http://b/", status=200, rows=({"n": 1}, {"n": 2})), "http://a/")
    assert isinstance(rows, Rows)
    assert rows == [{"n": 1}, {"n": 2}]
    assert (rows.url, rows.final_url, rows.status) == ("http://a/", "http://b/", 200)
    assert repr(rows) == "Rows([{'n': 1}, {'n': 2}], url='http://a/')"


@pytest.mark.parametrize("twin_of", [lambda rows: pickle.loads(pickle.dumps(rows)), copy.copy, copy.deepcopy])
def test_a_copy_of_rows_knows_as_much(twin_of: object) -> None:
    assert callable(twin_of)
    twin = twin_of(Rows([{"n": 1}], "http://a/", "http://b/", 203))
    assert type(twin) is Rows
    assert (twin, twin.url, twin.final_url, twin.status) == ([{"n": 1}], "http://a/", "http://b/", 203)


def test_a_page_that_asks_not_to_be_indexed_has_no_rows_but_did_not_fail() -> None:
    rows = outcome_of(Settled(ticket=1, url="http://a/", status=200, reason="noindex"), "http://a/")
    assert rows == []
    assert isinstance(rows, Rows)
    assert rows.status == 200


@pytest.mark.parametrize(
    ("settled", "kind", "text"),
    [
        (
            Settled(ticket=1, url="http://b/", status=404, failed=True, reason="http_404"),
            PageFailed,
            "http://a/ failed: http_404. The server answered with status 404 (Not Found).",
        ),
        (
            Settled(ticket=1, url="http://a/", failed=True, reason="dns_failed", detail="no such host"),
            PageFailed,
            "http://a/ failed: dns_failed. The host name has no address. (no such host)",
        ),
        (
            Settled(ticket=1, url="http://a/", failed=True, reason="sold out"),
            PageFailed,
            "http://a/ failed: sold out. A worker of your own gave this reason.",
        ),
        (
            Settled(ticket=1, url="http://a/", failed=True, refused=True, reason="robots"),
            PageRefused,
            "http://a/ was refused: robots. The robots.txt of the site forbids it.",
        ),
    ],
)
def test_an_error_says_in_a_sentence_why_there_are_no_rows(settled: Settled, kind: type, text: str) -> None:
    error = outcome_of(settled, "http://a/")
    assert type(error) is kind
    assert str(error) == text


def test_an_error_travels_with_all_that_it_knows() -> None:
    for error in (PageFailed("http://a/", "http_500", 500, "late"), PageRefused("http://a/", "depth", 0, "")):
        twin = pickle.loads(pickle.dumps(error))
        assert type(twin) is type(error)
        assert vars(twin) == vars(error)
        assert str(twin) == str(error)
        assert isinstance(twin, CrawlfleetError)


def test_the_rule_of_a_refusal_is_its_reason() -> None:
    assert cancelled("http://a/").rule == "cancelled"
    assert str(cancelled("http://a/")) == (
        "http://a/ was refused: cancelled. Whoever asked for the page took that back, and nothing else led to it."
    )
