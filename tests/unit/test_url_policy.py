"""Which addresses a job takes for one and the same, and that nobody speaks of any other."""

from __future__ import annotations

import pytest

from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.shared.brief import UrlSpec
from crawlfleet.shared.messages import AckState, Outcome
from crawlfleet.shared.web.url_policy import TRACKING, UrlPolicy
from tests.unit.core_crawl import CoreCrawl, all_of

HOST = "http://h.test"
SESSIONS = UrlSpec(strip_session_ids=True)
UNTRACKED = UrlSpec(drop_query=TRACKING)
HEX = "0123456789abcdef" * 2


def form(path: str, spec: UrlSpec) -> str:
    url = UrlPolicy(spec).canonicalize(HOST + path)
    assert url is not None
    return url.removeprefix(HOST)


@pytest.mark.parametrize("path", ["/?b=1&a=2", "/a;jsessionid=1?PHPSESSID=2&utm_source=x", "/index.html", "/?", "/?&&"])
def test_nothing_is_changed_unless_asked_for(path: str) -> None:
    assert form(path, UrlSpec()) == path


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/?ref=1&a=2&REF=3", "/?a=2"),
        ("/?utm_source=x&utm_medium=y", "/"),
        ("/a?x_utm_y=1", "/a?x_utm_y=1"),
        ("/?utm%5Fid=1&a", "/?a"),
        ("/?refer=1", "/?refer=1"),
        ("/?a=ref=1", "/?a=ref=1"),
        ("/?", "/?"),
        ("/ref=1", "/ref=1"),
        ("/?from-site-x=1&from-y=2", "/?from-y=2"),
    ],
)
def test_named_parameters_are_left_out_whatever_their_case_and_writing(path: str, expected: str) -> None:
    assert form(path, UrlSpec(drop_query=("ref", "utm_*", "from*x"))) == expected


def test_the_usual_tracking_parameters_are_known() -> None:
    assert form("/p?utm_campaign=a&id=7&gclid=b&fbclid=c&mc_eid=d&_hsenc=e&msclkid=f", UNTRACKED) == "/p?id=7"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/?b=1&a=2", "/?a=2&b=1"),
        ("/?a=2&b=0&a=1", "/?a=2&a=1&b=0"),
        ("/?a&B&b=&a=", "/?B&a&a=&b="),
    ],
)
def test_queries_are_sorted_by_name_and_keep_the_order_of_values(path: str, expected: str) -> None:
    assert form(path, UrlSpec(sort_query=True)) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a.jsp;jsessionid=0A1B.node2?x=1", "/a.jsp?x=1"),
        ("/a;JSESSIONID=1/b;v=2", "/a/b;v=2"),
        ("/x?PHPSESSID=abc&y=1", "/x?y=1"),
        ("/x?ASPSESSIONIDQQ=1", "/x"),
        ("/(S(abcdefghijklmnopqrstuvwx))/a", "/a"),
        ("/(S(abcdefghijklmnopqrstuvwx))", "/"),
        ("/(S(short))/a", "/(S(short))/a"),
        (f"/forum?sid={HEX}&t=1", "/forum?t=1"),
        ("/story?sid=12", "/story?sid=12"),
        ("/a/..;jsessionid=1/b", "/b"),
    ],
)
def test_session_ids_are_stripped_and_what_only_looks_like_one_is_not(path: str, expected: str) -> None:
    assert form(path, SESSIONS) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/index.html", "/"),
        ("/a/index.html?x", "/a/?x"),
        ("/a/Index.html", "/a/Index.html"),
        ("/my-index.html", "/my-index.html"),
        ("/index.html/a", "/index.html/a"),
    ],
)
def test_an_index_page_is_its_folder(path: str, expected: str) -> None:
    assert form(path, UrlSpec(index_pages=("index.html", "default.aspx"))) == expected


@pytest.mark.timeout(10)
def test_globs_of_many_stars_do_not_backtrack() -> None:
    form("/?" + "a" * 2_000 + "=1", UrlSpec(drop_query=("*a" * 25 + "*b",)))


def crawl_of(seed: str, spec: UrlSpec) -> CoreCrawl:
    crawl = CoreCrawl(seed, urls=spec)
    crawl.hello("s")
    crawl.open_gates()
    return crawl


def test_seeds_and_what_is_put_are_known_by_the_jobs_form() -> None:
    crawl = crawl_of("http://a.test/?utm_source=x&p=1", UNTRACKED)
    assert crawl.service.put("http://a.test/?p=2", crawl.now) == ""
    assert crawl.service.put("http://a.test/?p=2&gclid=1", crawl.now) == "not_http"
    assert sorted(all_of(crawl.ask())) == ["http://a.test/?p=1", "http://a.test/?p=2"]


def test_a_link_that_its_worker_did_not_bring_into_form_makes_no_task() -> None:
    crawl = crawl_of("http://a.test/", UNTRACKED)
    ((lease, task),) = crawl.ask()
    crawl.settle(lease, task, outlinks=("http://a.test/x?fbclid=1", "http://a.test/y"))
    assert not crawl.knows("http://a.test/x?fbclid=1")
    assert crawl.knows("http://a.test/y")


@pytest.mark.parametrize(
    ("location", "reason"),
    [("http://a.test/b?fbclid=1", "redirect_invalid"), ("http://a.test/", "redirect_loop")],
)
def test_a_redirect_is_judged_by_the_jobs_form(location: str, reason: str) -> None:
    crawl = crawl_of("http://a.test/", UNTRACKED)
    ((lease, task),) = crawl.ask()
    assert crawl.settle(lease, task, outcome=Outcome.REDIRECTED, status=302, location=location) is AckState.OK
    row = crawl.task("http://a.test/")
    assert (row.state, row.reason) == (TaskState.FAILED, reason)
