"""The messages by which programs ask for pages, and get them once they are settled.

A program *asks* for a URL under a *ticket*, a number of its session. Its ask is answered once: with the rows of the
page when that is recorded, or with why there will be none. An ask may be sent again at any time, since asking twice for
a page changes nothing. The coordinator keeps who asked in memory only. The name of a *book*, in every reply, says which
asks it remembers: when the name changes, all earlier asks of the session are forgotten, and are sent again.
"""

from __future__ import annotations

from typing import Any

import msgspec

from crawlfleet.shared.message import Message
from crawlfleet.shared.ranges import Count, Int, Number, SessionId, Status

#: How many asks one message may have, and how many of one session may be open, or answered and not collected.
MAX_ASKS = 2_000
MAX_OPEN_ASKS = 20_000
#: How many pools of one session may be open.
MAX_POOLS = 10_000
#: Priorities of asks lie between its negative and it, as those of a job.
MAX_PRIORITY = 1_000


class Ask(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One URL that a program wants, as the program wrote it.

    With `follow` the page leads on as a seed does, otherwise to nothing. `priority` None: what the job gives the URL.
    """

    ticket: Number
    url: str
    priority: Int | None = None
    follow: bool = False


class AskRequest(Message, frozen=True, kw_only=True):
    """Opens the pool `pool` of a session, if it is not open, and asks. An open pool keeps the crawl open."""

    session: SessionId
    pool: Number
    asks: tuple[Ask, ...] = ()


class AskReply(Message, frozen=True, kw_only=True):
    """How many of the asks were taken, from the first on; the others are to be sent again after a pause.

    With `finished` the crawl is over, and takes none.
    """

    book: str
    taken: Count = 0
    finished: bool = False


class CancelRequest(Message, frozen=True, kw_only=True):
    """Takes asks back. Those whose page has started, or is settled, stay unless `started_too`."""

    session: SessionId
    tickets: tuple[Number, ...]
    started_too: bool = False


class CancelReply(Message, frozen=True, kw_only=True):
    """The asks that stay: each of them is still answered."""

    staying: tuple[Number, ...] = ()


class Settled(Message, frozen=True, kw_only=True):
    """The answer to an ask.

    Unless it has `failed`, the page was fetched, and `rows` are its rows. Otherwise `reason` says why it was not; with
    `refused`, a rule of that name kept it from being fetched or read. `status` is its last HTTP status, 0 if there was
    none. `url` is the canonical URL that was fetched last: another one than was asked for if that redirects.
    """

    ticket: Number
    url: str
    status: Status = 0
    rows: tuple[Any, ...] = ()
    failed: bool = False
    refused: bool = False
    reason: str = ""
    detail: str = ""


class SettledPage(Message, frozen=True, kw_only=True):
    """Answers to a session's asks; `cursor` continues after them. With `finished` the crawl is over: no more come."""

    book: str
    cursor: Number
    settled: tuple[Settled, ...] = ()
    finished: bool = False
