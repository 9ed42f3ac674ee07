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
