"""robots.txt against Google's cases and against real files, and what both leave open.

Where a case contradicts RFC 9309, the RFC is kept to, and the case is listed here and in `docs/conformance.md`.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from crawlfleet.coordinator.core.robots import asked_delay_s, refuses
from crawlfleet.coordinator.core.robots_file import MAX_BYTES, RobotsFile, group_for
from crawlfleet.coordinator.core.rows import Gate, OriginRow
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.web.urls import canonicalize
from crawlfleet.shared.web.user_agent import product_token
from tests.conformance.vectors import published, vectors
from tests.policies import make_policy

US = "crawlfleet"
PROBES = ("http://h/", "http://h/a/b?c=d", "http://h/search?q=%E4%B8%AD%B9%FA", "http://h/$*/%2F%24//x.html")

# Section 2.2.2: octets beyond ASCII are escaped before the comparison, and escapes of unreserved characters undone. The
# cases hold that a URL which is not escaped is another one.
AGAINST_THE_RFC = {
    ("/foo/bar/ツ", "http://foo.bar/foo/bar/ツ"),
    ("/foo/bar/%E3%83%84", "http://foo.bar/foo/bar/ツ"),
    ("/foo/bar/%62%61%7A", "http://foo.bar/foo/bar/baz"),
}


class Case(NamedTuple):
    """A file, the token that is asked for, a URL, and whether it may be fetched."""

    robots: str
    agent: str
    url: str
    allowed: bool

    def contradicts_the_rfc(self) -> bool:
        return (self.robots.rpartition("Allow: ")[2].strip(), self.url) in AGAINST_THE_RFC and not self.allowed


def _google_cases() -> list[Case]:
    cases = json.loads(vectors("google_robotstxt_cases.json").read_text(encoding="utf-8"))["cases"]
    return [Case(case["robots"], case["agent"], case["url"], case["allowed"]) for case in cases]


def _allows(case: Case) -> bool:
    # A case without a URL asks for the root: a crawler has no URL that is empty.
    url = canonicalize(case.url) or "http://foo.bar/"
    return RobotsFile(case.robots.encode(), case.agent).allows(url)


def _real_files() -> Iterator[tuple[str, bytes]]:
    with tarfile.open(vectors("robots-real/robots_4231.tar.xz")) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None:
                yield member.name, file.read()


def _judge(text: str | bytes, path: str, token: str = US) -> bool:
    return RobotsFile(text.encode() if isinstance(text, str) else text, token).allows(f"http://h{path}")


def test_every_case_of_google_holds_but_those_that_contradict_the_rfc() -> None:
    cases = _google_cases()
    wrong = [case for case in cases if _allows(case) is not case.allowed]
    assert all(case.contradicts_the_rfc() for case in wrong), wrong
    assert len(wrong) == len(AGAINST_THE_RFC)
    assert published("`google_robotstxt_cases.json`") == (len(cases), len(cases) - len(wrong))


def test_every_real_file_is_read_and_no_line_of_it_twice() -> None:
    files = read = delays = rates = 0
    for name, text in _real_files():
        lines = group_for(text, US).rules
        assert len(lines) <= text.count(b"\n") + text.count(b"\r") + 1, name
        rules = RobotsFile(text, US)
        read += all(rules.allows(url) in (True, False) for url in PROBES)
        delays += rules.crawl_delay_s > 0
        rates += rules.request_interval_s > 0
        files += 1
    assert published("`robots_4231.tar.xz`, read") == (files, read)
    assert published("`robots_4231.tar.xz`, with a Crawl-delay for us") == (files, delays)
    assert published("`robots_4231.tar.xz`, with a Request-rate for us") == (files, rates)


_NAMED = re.compile(r"user-?agent\s*:\s*(\*(?!\S)|[A-Za-z_-]+)?", re.IGNORECASE)
_DELAY = re.compile(r"crawl-delay\s*:\s*([0-9]*\.?[0-9]+)\s*(?:#.*)?", re.IGNORECASE)
_RECORD = re.compile(r"(?:user|agent|allow|dis|crawl|request)", re.IGNORECASE)


def _delays_below(text: bytes) -> dict[str, float]:
    """Return for each name the longest Crawl-delay in the lines below it, up to the next name: a reading by eye."""
    found: dict[str, float] = {}
    above: list[str] = []
    is_head = False
    for line in re.split(r"[\r\n]+", text[:MAX_BYTES].decode("latin-1").removeprefix("ï»¿").replace("\0", "")):
        line = line.strip()  # noqa: PLW2901  the same line
        if name := _NAMED.match(line):
            above = [*(above if is_head else []), *([name[1].lower()] if name[1] else [])]
            found |= {each: found.get(each, 0.0) for each in above}
        elif delay := _DELAY.fullmatch(line):
            found |= {each: max(found[each], float(delay[1])) for each in above}
        is_head = bool(name) or (is_head and not _RECORD.match(line))
    return {name: delay_s for name, delay_s in found.items() if delay_s}


def test_nobody_gets_a_shorter_delay_than_the_one_below_its_name() -> None:
    names = kept = 0
    for file, text in _real_files():
        for name, below_s in _delays_below(text).items():
            given_s = group_for(text, name).crawl_delay_s
            assert given_s >= below_s, (file, name, below_s)
            names += 1
            kept += given_s == below_s
    assert published("`robots_4231.tar.xz`, names with the delay below them") == (names, kept)


@pytest.mark.parametrize(
    ("text", "delays"),
    [
        (
            "User-agent: *\nCrawl-delay: 10\n\nUser-agent: usasearch\nCrawl-delay: 2\n",
            {"anybody": 10, "usasearch": 2},
        ),
        (
            "User-agent: mybot\nCrawl-delay: 2\nUser-agent: other\nCrawl-delay: 0.1\nDisallow: /x\n",
            {"mybot": 2, "other": 0.1, "anybody": 0},
        ),
        ("User-agent: a\nUser-agent: b\nCrawl-delay: 3\n", {"a": 3, "b": 3}),
        ("User-agent: a\n\nSitemap: /s\n\nUser-agent: b\nDisallow: /\nCrawl-delay: 3\n", {"a": 3, "b": 3}),
        ("User-agent: a\nDisallow: /\nUser-agent: b\nCrawl-delay: 3\n", {"a": 0, "b": 3}),
        ("User-agent: a\nCrawl-delay: 4\nCrawl-delay: 3\n", {"a": 4}),
        ("User-agent: a\nCrawl-delay: 3\n\nUser-agent: a\nCrawl-delay: 4\nCrawl-delay: x\n", {"a": 4}),
        ("Crawl-delay: 3\nUser-agent: *\nDisallow: /\n", {"a": 0}),
    ],
    ids=["archives", "the other's last", "two names", "blank lines", "another group", "twice", "two groups", "none's"],
)
def test_a_delay_holds_for_the_names_directly_above_it_and_the_longest_counts(
    text: str, delays: dict[str, float]
) -> None:
    assert {name: RobotsFile(text.encode(), name).crawl_delay_s for name in delays} == delays
    rates = text.replace("Crawl-delay: 0.1", "Request-rate: 10/1").replace("Crawl-delay: ", "Request-rate: 1/")
    assert {name: RobotsFile(rates.encode(), name).request_interval_s for name in delays} == delays


def test_names_above_a_delay_still_share_the_rules_below_it() -> None:
    text = "User-agent: mybot\nCrawl-delay: 2\nUser-agent: other\nCrawl-delay: 1\nDisallow: /x\n"
    assert [_judge(text, "/x", name) for name in ("mybot", "other", "anybody")] == [False, False, True]


@pytest.mark.parametrize("repeats", [1, 2])
def test_many_names_with_many_rules_are_not_multiplied(repeats: int) -> None:
    names = [f"User-agent: bot-{'x' * (number % 90)}" for number in range(900)]
    rules = [f"Disallow: /{number}" for number in range(900)]
    text = "\n".join(names + [f"User-agent: {US}"] * repeats + rules).encode()
    assert len(group_for(text, US).rules) == len(rules)


@pytest.mark.parametrize(
    ("user_agent", "token"),
    [
        ("crawlfleet/0.1 (+https://example.org/bot)", "crawlfleet"),
        ("My_Bot-x/2", "my_bot-x"),
        ("Mozilla/5.0 (compatible; FooBot/2.1; +http://foo.bar)", "foobot"),
        ("Mozilla/5.0 (X11; Linux x86_64)", "mozilla"),
        ("42", ""),
        ("", ""),
    ],
)
def test_the_product_token_is_the_name_in_the_user_agent(user_agent: str, token: str) -> None:
    assert product_token(user_agent) == token


@pytest.mark.parametrize(
    ("name", "is_ours"),
    [
        ("crawlfleet", True),
        ("CrawlFleet/2.0", True),
        ("crawlfleet 2", True),
        ("crawlfleet*", True),
        ("crawlfleet-news", False),
        ("crawl", False),
        ("fleet", False),
        ("xcrawlfleet", False),
        ("", False),
    ],
)
def test_a_group_is_ours_by_its_whole_token(name: str, is_ours: bool) -> None:
    assert _judge(f"User-agent: {name}\nDisallow: /", "/x") is not is_ours


@pytest.mark.parametrize("token", ["", "*", "foo bar"])
def test_who_has_no_token_goes_by_the_rules_for_anyone(token: str) -> None:
    text = "User-agent: foo\nAllow: /\nUser-agent: *\nDisallow: /"
    assert not _judge(text, "/x", token)


def test_all_groups_that_name_us_count_together_and_then_those_for_anyone_do_not() -> None:
    text = (
        "User-agent: *\nDisallow: /c\n\nUser-agent: crawlfleet\nDisallow: /a\n\nUser-agent: x\nUser-agent: Crawlfleet\n"
    )
    text += "Disallow: /b"
    assert [_judge(text, path) for path in ("/a", "/b", "/c")] == [False, False, True]


def test_a_group_for_us_that_says_nothing_allows_everything() -> None:
    assert _judge("User-agent: *\nDisallow: /\n\nUser-agent: crawlfleet\nDisallow:\n", "/x")


@pytest.mark.parametrize(
    "line", ["Sitemap: http://h/s.xml", "Crawl-delay: 5", "Host: h", "Nonsense: 1", "<html>", "", "# a"]
)
def test_only_a_rule_ends_the_names_of_a_group(line: str) -> None:
    assert not _judge(f"User-agent: crawlfleet\n{line}\nUser-agent: x\nDisallow: /", "/x")


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\n\n", "  \r\n"])
def test_lines_end_in_every_way(end: str) -> None:
    assert not _judge(end.join(["\ufeffUser-agent: *", "\tDisallow : /a # why", ""]), "/a")


@pytest.mark.parametrize("sign", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_nothing_else_ends_a_line(sign: str) -> None:
    assert _judge(f"User-agent: *\nAllow: /{sign}Disallow: /a", "/a")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_heeded(encoding: str) -> None:
    assert not _judge("User-agent: *\r\nDisallow: /a\r\n".encode(encoding), "/a")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/a b", "/a%20b", True),
        ("/%7ea", "/~a", True),
        ("/~a", "/%7Ea", True),
        ("/a%2fb", "/a%2Fb", True),
        ("/a%2fb", "/a/b", False),
        ("/a,b", "/a%2Cb", True),
        ("/à", "/%C3%A0", True),
        ("/à$", "/%C3%A0", True),
        ("/%c3", "/%C3%A0", True),
        ("/%B9%FA", "/%B9%FA", True),
        ("/%B9%FA", "/%C4%E3", False),
        ("/a%09b", "/a%09b", True),
        ("/a%09b", "/a%0Ab", False),
        ("/a?b=c", "/a?b=c&d", True),
        ("/A", "/a", False),
        ("/a$", "/a", True),
        ("/a$", "/a?", False),
        ("/a$", "/a$b", False),
        ("/a$b", "/a$bc", True),
        ("/a%24", "/a$", True),
        ("/a%24", "/a", False),
        ("/*.php$", "/x/y.php", True),
        ("/*.php$", "/x.php5", False),
        ("/a*c*e", "/abcde", True),
        ("/%2a", "/*", True),
        ("/%2a", "/x", False),
        ("*", "/x", True),
        ("a", "/a", False),
        ("//a", "//ab", True),
    ],
)
def test_a_pattern_matches_octet_by_octet(pattern: str, path: str, matches: bool) -> None:
    assert _judge(f"User-agent: *\nDisallow: {pattern}", path) is not matches


def test_octets_that_are_no_utf_8_are_compared_as_they_are() -> None:
    text = "User-agent: *\nDisallow: /中".encode("gbk")
    assert [_judge(text, path) for path in ("/%D6%D0", "/%E4%B8%AD")] == [False, True]


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ("Disallow: /a\nAllow: /a", True),
        ("Allow: /a\nDisallow: /a", True),
        ("Allow: /a\nDisallow: /a/b", False),
        ("Disallow: /a/b\nAllow: /*/b/c", True),
        ("Disallow:\nDisallow: ", True),
    ],
)
def test_the_longest_match_decides_and_allow_a_draw(rules: str, allowed: bool) -> None:
    assert _judge(f"User-agent: *\n{rules}", "/a/b/c") is allowed


def test_robots_txt_itself_may_always_be_fetched() -> None:
    text = "User-agent: *\nDisallow: /"
    assert [_judge(text, path) for path in ("/robots.txt", "/robots.txt?x", "/robots.txt/x")] == [True, True, False]


def test_the_first_half_megabyte_counts_and_a_rule_that_is_cut_does_not() -> None:
    head = b"User-agent: *\nDisallow: /a\n"
    rest = b"Disallow: /but-only-this"
    text = head.ljust(MAX_BYTES - 12, b"\n") + rest
    assert [_judge(text, path) for path in ("/a", "/b", "/but-only-this")] == [False, True, True]
    assert _judge(b"x" * (MAX_BYTES + 1), "/a")


def _origin(text: str, gate: Gate = Gate.RULES) -> OriginRow:
    return OriginRow(origin="http://h", host="h", gate=gate, robots=text.encode())


def test_rules_hold_for_the_token_of_the_whole_user_agent() -> None:
    origin = _origin("User-agent: foobot\nDisallow: /\nCrawl-delay: 7\nRequest-rate: 1/2m\n")
    agent = "Mozilla/5.0 (compatible; FooBot/2.1)"
    scope = ScopeSpec()
    assert refuses(origin, "http://h/x", make_policy(user_agent=agent, scope=scope)) == "robots"
    assert refuses(origin, "http://h/x", make_policy(user_agent="otherbot/1", scope=scope)) == ""
    assert (asked_delay_s(origin, agent), asked_delay_s(origin, "otherbot/1")) == (120.0, 0.0)


@pytest.mark.parametrize(("delay", "rate", "asked_s"), [(7, "1/2m", 120.0), (150, "1/2m", 150.0)])
def test_the_longer_of_the_two_delays_counts(delay: int, rate: str, asked_s: float) -> None:
    assert asked_delay_s(_origin(f"User-agent: *\nCrawl-delay: {delay}\nRequest-rate: {rate}\n"), US) == asked_s


@pytest.mark.parametrize("gate", [Gate.ALLOW, Gate.DISALLOW])
def test_where_there_are_no_rules_there_is_no_delay(gate: Gate) -> None:
    origin = _origin("User-agent: *\nCrawl-delay: 7\nRequest-rate: 1/7", gate)
    assert asked_delay_s(origin, US) == 0.0


@pytest.mark.parametrize(
    ("rate", "interval_s"),
    [
        ("1/5", 5.0),
        ("1/5s", 5.0),
        ("2/1m", 30.0),
        ("1/10m 0600-1300", 600.0),
        ("1/90d", 86_400.0),
        ("1/" + "9" * 4_000, 86_400.0),
        ("9" * 4_000 + "/1", 0.0),
        ("0/5", 0.0),
        ("5", 0.0),
        ("-1/5", 0.0),
        ("1/x", 0.0),
    ],
)
def test_a_request_rate_is_an_interval(rate: str, interval_s: float) -> None:
    assert RobotsFile(f"User-agent: *\nRequest-rate: {rate}".encode(), US).request_interval_s == interval_s


@pytest.mark.parametrize(("delay", "seconds"), [("1.5", 1.5), ("-1", 0.0), ("nan", 0.0), ("inf", 0.0), ("x", 0.0)])
def test_a_crawl_delay_is_a_number_of_seconds(delay: str, seconds: float) -> None:
    assert RobotsFile(f"User-agent: *\nCrawl-delay: {delay}".encode(), US).crawl_delay_s == seconds
