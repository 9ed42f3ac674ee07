"""What one page of a job gives, as frozen values: what `crawlfleet try` shows, and with `--json` prints."""

from __future__ import annotations

from typing import Any

import msgspec

#: What became of a page: it was read, or not: because of a failure, of a rule, of an answer that a crawl waits for.
READ, FAILED, REFUSED, WAITS = "read", "failed", "refused", "waits"


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """An address that redirected to the next one."""

    url: str
    status: int
    location: str


class Robots(msgspec.Struct, frozen=True, kw_only=True):
    """What the robots.txt of an origin says to a page: `verdict` in a few words, `delay_s` if it asks for a pause."""

    url: str
    verdict: str
    delay_s: float = 0.0


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A field that is empty in some rows of an item, or an item without rows (`field` is empty, and `rows` 0).

    `hint` says why, and what would match.
    """

    item: str
    field: str
    empty: int
    rows: int
    hint: str = ""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A link of the page: the address it leads to, its element, its text; `why` it is not followed, empty if it is."""

    url: str
    element: str
    text: str = ""
    why: str = ""


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """A row that lacks a required field, and the reason."""

    row: dict[str, Any]
    reason: str


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one page.

    `url` is the address that was asked for last, after the `hops`; `file` is the file that was read in its place. If it
    was not read, `reason` names the rule or the failure, `meaning` is its sentence, `detail` says more. `encoding` is
    the one that its text was read in, `declared` whether the page declares it. `left_out` says what limits left out,
    `notes` what was unusual (`shared.notes`).
    """

    job: str
    asked: str
    url: str
    file: str = ""
    state: str = WAITS
    reason: str = ""
    meaning: str = ""
    detail: str = ""
    status: int = 0
    content_type: str = ""
    encoding: str = ""
    declared: bool = False
    size_bytes: int = 0
    elapsed_s: float = 0.0
    cpu_s: float = 0.0
    hops: tuple[Hop, ...] = ()
    robots: tuple[Robots, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()
    rejected: tuple[Rejected, ...] = ()
    gaps: tuple[Gap, ...] = ()
    links: tuple[Link, ...] = ()
    left_out: str = ""
    notes: tuple[str, ...] = ()
