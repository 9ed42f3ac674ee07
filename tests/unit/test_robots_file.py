"""A robots.txt, where bytes are odd or too many; what the RFC says of rules is held to foreign vectors elsewhere."""

from __future__ import annotations

import pytest

from crawlfleet.coordinator.core.robots_file import MAX_BYTES, RobotsFile, sitemaps_of


def test_what_is_beyond_the_limit_does_not_count_and_a_cut_line_neither() -> None:
    head = b"User-agent: *\nDisallow: /a\n"
    filling = b"#" * (MAX_BYTES - len(head) - 10) + b"\n"
    file = RobotsFile(head + filling + b"Disallow: /b-and-more-than-fits\nDisallow: /c\n", "bot")
    assert [file.allows(f"http://h/{path}") for path in ("a", "b", "b-and-more-than-fits", "c")] == [
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("spelled", ["/caf%C3%A9", "/café", "/caf%c3%a9"])
def test_a_letter_beyond_ascii_is_the_same_escaped_or_not(spelled: str) -> None:
    file = RobotsFile(f"User-agent: *\nDisallow: {spelled}\n".encode(), "bot")
    assert not file.allows("http://h/caf%C3%A9")
    assert file.allows("http://h/caf%C3%A8")


def test_a_dollar_in_a_path_is_a_letter_and_at_the_end_of_a_rule_an_anchor() -> None:
    file = RobotsFile(b"User-agent: *\nDisallow: /a$b\nDisallow: /end$\n", "bot")
    assert [file.allows(f"http://h/{path}") for path in ("a$b", "a%24b", "end", "ends")] == [False, False, False, True]


def test_sitemaps_are_read_within_the_limit() -> None:
    text = b"Sitemap: http://h/1\n" + b"#" * MAX_BYTES + b"\nSitemap: http://h/2\n"
    assert sitemaps_of(text) == ["http://h/1"]


@pytest.mark.parametrize(
    ("lines", "crawl_delay_s", "interval_s"),
    [
        ("Crawl-delay: 2\nCrawl-delay: 3\nCrawl-delay: 1\n", 3.0, 0.0),
        ("Crawl-delay: 1e999\nCrawl-delay: -1\nCrawl-delay: x\nCrawl-delay:\n", 0.0, 0.0),
        ("Request-rate: 1/5\nRequest-rate: 2/1m 0600-1300\n", 0.0, 30.0),
        ("Request-rate: 0/5\nRequest-rate: 1/x\nRequest-rate: 5\n", 0.0, 0.0),
        ("Request-rate: 1/9d\n", 0.0, 86_400.0),
    ],
)
def test_the_longest_delay_counts_and_an_invalid_one_does_not(
    lines: str, crawl_delay_s: float, interval_s: float
) -> None:
    file = RobotsFile(f"User-agent: bot\n{lines}".encode(), "bot")
    assert (file.crawl_delay_s, file.request_interval_s) == (crawl_delay_s, interval_s)
    assert RobotsFile(f"User-agent: other\n{lines}".encode(), "bot").crawl_delay_s == 0.0


def test_a_delay_is_that_of_the_names_directly_above_it() -> None:
    text = b"User-agent: *\nCrawl-delay: 10\n\nUser-agent: other\nCrawl-delay: 2\nDisallow: /a\n"
    files = {name: RobotsFile(text, name) for name in ("bot", "other")}
    assert {name: file.crawl_delay_s for name, file in files.items()} == {"bot": 10.0, "other": 2.0}
    assert not any(file.allows("http://h/a") for file in files.values())
