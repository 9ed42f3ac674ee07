"""Packed outlinks: what is packed comes back, and damaged or endless data does no harm."""

from __future__ import annotations

import tracemalloc
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlfleet.shared.messages import Kind, Outcome, Report, Task
from crawlfleet.shared.web import links
from crawlfleet.shared.web.links import RUN, Packed, in_runs, pack, unpack
from crawlfleet.shared.web.urls import LONGEST_URL_CHARS
from crawlfleet.worker.fitting import fit
from crawlfleet.worker.lanes import Attempt

URLS = ("http://a.test/1", "http://a.test/2")


def _attempt(leads_on: bool) -> Attempt:
    task = Task(ref=b"r", kind=Kind.PAGE, url="http://a.test/", depth=0, leads_on=leads_on)
    return Attempt(lease_id=1, host="a.test", task=task, started_at=0.0)


MANY = tuple(f"http://a.test/{number}" for number in range(1_000))


@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1)))
def test_what_is_packed_comes_back_in_order(urls: list[str]) -> None:
    assert unpack(pack(urls), len(urls)) == urls


def test_many_urls_are_compressed() -> None:
    assert unpack(pack(MANY), len(MANY)) == list(MANY)
    assert len(pack(MANY)) < sum(map(len, MANY)) / 3


@pytest.mark.parametrize("urls", [URLS, MANY], ids=["plain", "compressed"])
def test_no_more_is_unpacked_than_is_asked_for(urls: tuple[str, ...]) -> None:
    assert unpack(pack(urls), 1) == [urls[0]]


@pytest.mark.parametrize("data", [b"", b"nonsense", pack(MANY)[2:]])
def test_what_cannot_be_unpacked_is_nothing(data: bytes) -> None:
    assert unpack(data, 9) == []


@pytest.mark.parametrize("urls", [URLS, MANY], ids=["plain", "compressed"])
def test_of_data_that_was_cut_the_whole_lines_are_read(urls: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_BYTES", len(urls[0]) + 5)
    assert unpack(pack(urls), 9) == [urls[0]]


def test_a_bomb_is_not_unpacked_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MAX_BYTES", 1_000)
    assert unpack(zlib.compress(b"x" * 10_000_000), 9) == []


def test_a_run_of_one_is_no_longer_than_one_url() -> None:
    longest = "http://a.test/" + "x" * (LONGEST_URL_CHARS - 14)
    assert unpack(pack([longest]), 1) == [longest]
    assert unpack(zlib.compress(b"x" * LONGEST_URL_CHARS), 1) == ["x" * LONGEST_URL_CHARS]
    assert unpack(zlib.compress(b"x" * (LONGEST_URL_CHARS + 2)), 1) == []
    assert unpack(b"\n" + b"x" * (LONGEST_URL_CHARS + 2), 1) == []
    assert unpack(pack(URLS), 0) == []


def test_more_runs_than_any_page_has_are_none() -> None:
    runs = [(1, b"\nx")] * (links.MAX_RUNS + 1)
    assert Packed(b"\0" + msgspec.msgpack.encode(runs[1:]), 10**7).number == links.MAX_RUNS
    assert Packed(b"\0" + msgspec.msgpack.encode(runs), 10**7).number == 0


@pytest.mark.parametrize("leads_on", [True, False])
def test_the_outlinks_of_a_page_that_does_not_lead_on_are_sent_packed(leads_on: bool) -> None:
    attempt = _attempt(leads_on)
    report = Report(lease=1, ref=b"r", outcome=Outcome.FETCHED, outlinks=URLS)
    sent = fit(attempt, report, 1_000).report
    assert (sent.outlinks, unpack(sent.kept, 9)) == ((URLS, []) if leads_on else ((), list(URLS)))


def test_a_report_that_is_too_large_keeps_no_outlinks() -> None:
    report = Report(lease=1, ref=b"r", outcome=Outcome.FETCHED, outlinks=tuple(f"http://a.test/{n}" for n in range(99)))
    sent = fit(_attempt(leads_on=False), report, 100).report
    assert (sent.outcome, sent.kept) == (Outcome.REPORT_TOO_LARGE, b"")


def test_lines_without_end_take_no_memory() -> None:
    bomb = zlib.compress(b"\n" * links.MAX_BYTES)
    tracemalloc.start()
    try:
        assert unpack(bomb, 2) == ["", ""]
        assert tracemalloc.get_traced_memory()[1] < 5 * links.MAX_BYTES
    finally:
        tracemalloc.stop()


# Very many

RUNS = tuple(f"http://a.test/{number}" for number in range(2 * RUN + 5))


def test_very_many_urls_are_packed_in_runs_and_read_in_portions() -> None:
    packed = Packed(pack(RUNS), 10**6)
    assert (in_runs(pack(RUNS)), in_runs(pack(RUNS[:RUN])), packed.number) == (True, False, len(RUNS))
    for first, most in ((0, 3), (RUN - 1, 3), (RUN, RUN), (RUN - 2, RUN + 9), (len(RUNS) - 2, 9), (len(RUNS), 9)):
        assert packed.some(first, most) == list(RUNS[first : first + most])


def test_long_urls_end_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "RUN_CHARS", len(URLS[0]))
    assert in_runs(pack(URLS))
    assert Packed(pack(URLS), 9).some(0, 9) == list(URLS)


def test_of_very_many_urls_no_more_count_than_are_asked_for() -> None:
    packed = Packed(pack(RUNS), RUN + 1)
    assert (packed.number, packed.some(RUN - 1, 9)) == (RUN + 1, list(RUNS[RUN - 1 : RUN + 1]))


def test_few_urls_are_read_in_portions_too() -> None:
    packed = Packed(pack(MANY), 500)
    assert (packed.number, packed.some(2, 3), packed.some(499, 9)) == (500, list(MANY[2:5]), [MANY[499]])


@pytest.mark.parametrize("data", [b"\0nonsense", b"\0", pack(RUNS)[:-9]])
def test_damaged_runs_have_no_urls(data: bytes) -> None:
    assert (Packed(data, 10**6).number, Packed(data, 10**6).some(0, 9)) == (0, [])


def test_a_page_with_very_many_links_sends_them_packed() -> None:
    report = Report(lease=1, ref=b"r", outcome=Outcome.FETCHED, outlinks=RUNS)
    delivery = fit(_attempt(leads_on=True), report, 10**7)
    assert (delivery.ahead, delivery.report.outlinks) == ((), ())
    assert Packed(delivery.report.kept, 10**6).number == len(RUNS)
