"""What a user sees of one page: it fits the terminal, and is plain elsewhere."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from rich.cells import cell_len

from crawlfleet.screen.console import Console
from crawlfleet.screen.tried_page import SHOWN_ROWS, show_tried
from crawlfleet.tried import FAILED, READ, WAITS, Gap, Hop, Link, Rejected, Robots, Tried

WORDS = "A long text, of many words, which does not fit into a cell. "


def row(number: int, **fields: Any) -> dict[str, Any]:
    return {"url": "http://a.test/", "item": "it", "n": number, **fields}


TRIED = Tried(
    job="job",
    asked="http://a.test/old",
    url="http://a.test/",
    state=READ,
    status=200,
    content_type="text/html",
    encoding="utf-8",
    size_bytes=1234,
    hops=(Hop(url="http://a.test/old", status=301, location="http://a.test/"),),
    robots=(Robots(url="http://a.test/robots.txt", verdict="allows the page", delay_s=5.0),),
    rows=tuple(row(number, text=WORDS * number, wide="東京" * number, none=None) for number in range(25)),
    rejected=(Rejected(row=row(1), reason="x is required, and empty"),),
    gaps=(
        Gap(item="it", field="none", empty=25, rows=25, hint=f"{WORDS * 3} `p` finds nothing"),
        Gap(item="other", field="", empty=0, rows=0, hint="`div` finds nothing"),
    ),
    links=(
        *(Link(url=f"http://a.test/{number}", element="a") for number in range(12)),
        Link(url="http://a.test/0", element="a", why="nofollow"),
        Link(url="http://b.test/", element="a", why="host"),
        Link(url="http://a.test/", element="a", why="itself"),
    ),
    notes=("tls_cut",),
    left_out="capped: 3 left out (3 rows)",
)


def shown(tried: Tried, width: int | None = None, *, as_json: bool = False) -> str:
    """Return what is printed, on a terminal of a width, or into a file."""
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=width is not None, color_system="standard" if width else None
    )
    show_tried(tried, console, as_json=as_json)
    return file.getvalue()


@pytest.mark.parametrize("width", [30, 50, 53, 80, 200])
def test_on_a_terminal_each_line_fits(width: int) -> None:
    text = re.sub("\x1b\\[[0-9;]*m", "", shown(TRIED, width))
    is_table = width > 4 * 13
    # What has no blanks is not broken; in a table it is cut.
    whole = ("http",) if is_table else ("http", "東京")
    assert not [line for line in text.splitlines() if cell_len(line) > width and not any(map(line.count, whole))]
    assert ("\u2502" in text) is is_table


def test_elsewhere_it_is_plain() -> None:
    text = shown(TRIED)
    assert "\x1b" not in text
    assert not re.search("[\u2500-\u257f]", text)
    assert "\nredirect 301 http://a.test/old -> http://a.test/\n" in text
    assert "\nrobots   http://a.test/robots.txt: allows the page; it asks for 5s between requests\n" in text
    assert "\nresult   read: 25 rows, 1 row rejected\n" in text
    assert "\nnote     tls_cut: The TLS connection ended" in text
    assert f"and {25 - SHOWN_ROWS} rows more (--json has all)" in text
    assert "  it: x is required, and empty: " in text
    assert "\n  other: no rows: `div` finds nothing\n" in text


def test_links_are_told_by_rule_and_one_that_is_followed_once() -> None:
    text = shown(TRIED)
    assert "\nlinks: 12 followed, 2 not\n" in text
    assert "  1 host: The host is outside of `scope.hosts`.\n    http://b.test/\n" in text
    assert "  1 itself: It leads to its own page.\n" in text
    assert "nofollow" not in text
    assert "  and 7 more (--json has all)\n" in text


def test_what_was_not_read_has_its_reason() -> None:
    failed = Tried(job="j", asked="x", url="x", state=FAILED, reason="http_404", meaning="Gone.", detail="more words")
    assert "result   failed: http_404. Gone.\n         more words\n" in shown(failed)
    waits = Tried(job="j", asked="x", url="x", state=WAITS, reason="connect", meaning="Refused.")
    assert "result   not read now: connect. Refused. A crawl tries again later.\n" in shown(waits)


def test_nothing_controls_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[2J\x9b1m\u202e"
    tried = Tried(
        job=evil,
        asked=evil,
        url=evil,
        state=READ,
        detail=evil,
        reason=evil,
        meaning=evil,
        content_type=evil,
        status=200,
        hops=(Hop(url=evil, status=1, location=evil),),
        robots=(Robots(url=evil, verdict=evil),),
        rows=({"url": evil, "item": evil, evil: evil, "list": [evil], "nested": {evil: [evil]}},),
        rejected=(Rejected(row={"item": evil, "x": evil}, reason=evil),),
        gaps=(Gap(item=evil, field=evil, empty=1, rows=1, hint=evil),),
        links=(Link(url=evil, element="a", why=evil), Link(url=evil, element="a")),
    )
    for width in (None, 20, 200):
        text = re.sub("\x1b\\[[0-9;]*m", "", shown(tried, width))
        assert all(char.isprintable() or char == "\n" for char in text)
    shown(tried, as_json=True)
    text = capsys.readouterr().out
    assert text.removesuffix("\n").isprintable()
    assert json.loads(text)["rows"][0][evil] == evil
