"""A program that asks a simulated crawl for pages, by the rules of the real client, and what must hold of its answers.

`Program` says what is to be sent and keeps what comes back. How that travels is up to whoever drives it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from crawlfleet.coordinator.core.gates import NOT_HAD
from crawlfleet.coordinator.core.later_rows import KeptLinksRow, LeadOnRow
from crawlfleet.coordinator.core.pool_rows import PoolRow
from crawlfleet.coordinator.core.rows import FINAL, NOT_REACHED, Result, TaskRow, TaskState
from crawlfleet.shared.messages import Kind, Outcome
from crawlfleet.shared.pools import MAX_ASKS, Ask, AskReply, AskRequest, Settled, SettledPage
from crawlfleet.shared.reasons import SHORTAGES, TRAPS, Reason
from crawlfleet.shared.web.urls import canonicalize, host_key, page_fingerprint
from tests.property.crawl_site import HOSTS, Site

if TYPE_CHECKING:
    from tests.property.crawl_model import Mirror, World

# No page that somebody waits for is dropped for these.
_NEVER_ANSWERED = frozenset({Reason.CANCELLED, Reason.DEPTH}) | TRAPS


class Ticket:
    """One ask: in which book the coordinator has it, as far as is known, and what became of it."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.book = ""
        self.is_cancelled = False
        self.answer: Settled | None = None
        #: How many commits the coordinator had lost when the answer came: later losses may undo it.
        self.losses = 0

    @property
    def is_open(self) -> bool:
        """Whether an answer is to come."""
        return self.answer is None and not self.is_cancelled


class Program:
    """The asks of one session. Every book that the coordinator names is compared with those of its asks."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.tickets: dict[int, Ticket] = {}
        self.book = ""
        self.cursor = 0
        self._cursor_book = ""

    def wish(self, url: str, priority: int | None = None, *, follow: bool = False) -> None:
        """Want a page, under a ticket of its own."""
        number = len(self.tickets) + 1
        self.tickets[number] = Ticket(Ask(number, url, priority, follow))

    def open(self) -> list[Ticket]:
        """Return the tickets that are neither answered nor cancelled."""
        return [ticket for ticket in self.tickets.values() if ticket.is_open]

    def due(self) -> tuple[Ask, ...]:
        """Return what is to be asked now: what the coordinator does not know, as far as is known."""
        is_new = not self.book
        return tuple(ticket.ask for ticket in self.open() if is_new or ticket.book != self.book)[:MAX_ASKS]

    def take_reply(self, sent: Sequence[Ask], reply: AskReply) -> None:
        """Note which asks were taken."""
        self.book = reply.book
        for ask in sent[: reply.taken]:
            self.tickets[ask.ticket].book = reply.book

    def take_page(self, page: SettledPage, losses: int = 0) -> None:
        """Note answers, each of which may come more than once. Those beyond the cursor of another book may be lost."""
        for settled in page.settled:
            self._take(settled, losses)
        is_lost = self.cursor > 0 and page.book != self._cursor_book
        self.cursor, self._cursor_book = (0 if is_lost else page.cursor), page.book
        self.book = page.book
        if is_lost:
            self._ask_again(self.tickets)

    def lose_page(self) -> None:
        """Note that answers were to come, and did not: the next ones may be of another coordinator."""
        self.cursor, self._cursor_book = 0, ""

    def take_staying(self, tickets: Collection[int], staying: Collection[int]) -> None:
        """Note which asks were taken back."""
        for number in tickets:
            self.tickets[number].is_cancelled |= number not in staying and self.tickets[number].is_open

    def lose_staying(self, tickets: Iterable[int]) -> None:
        """Note that it is not known which asks were taken back, or still will be: ask again, under other tickets."""
        for number in tickets:
            ticket = self.tickets[number]
            if ticket.is_open:
                ticket.is_cancelled = True
                self.wish(ticket.ask.url, ticket.ask.priority, follow=ticket.ask.follow)

    def _ask_again(self, tickets: Iterable[int]) -> None:
        for number in tickets:
            self.tickets[number].book = ""

    def _take(self, settled: Settled, losses: int) -> None:
        ticket = self.tickets[settled.ticket]
        if ticket.answer is None:
            ticket.answer, ticket.losses = settled, losses
        elif ticket.losses == losses and settled.reason != Reason.REDIRECT_LOOP:  # in a circle any page is the last
            assert settled == ticket.answer, f"{settled} after {ticket.answer}"


def is_out(task: TaskRow, limit: int | None) -> bool:
    """Say whether a page is beyond the crawl, as far as that is known."""
    return task.depth >= NOT_REACHED or (limit is not None and task.depth > limit)


def pages_of(site: Site, request: AskRequest, reply: AskReply, *, only_followed: bool = False) -> set[str]:
    """Return the pages of the site that were asked for by what was taken of a request."""
    asks = [ask for ask in request.asks[: reply.taken] if ask.follow or not only_followed]
    urls = {canonicalize(ask.url) or "" for ask in asks}
    return {url for url in urls if site.has(url)}


def check_answer(settled: Settled, asked: str, mirror: Mirror) -> None:
    """An answer is that of the final row to which the page redirects, with the rows of its result."""
    refusal = _refusal(asked)
    if refusal:
        assert (settled.failed, settled.refused, settled.reason, settled.rows) == (True, True, refusal, ())
        return
    task = _last(mirror.tasks, page_fingerprint(canonicalize(asked) or ""))
    if settled.failed and settled.reason in SHORTAGES | NOT_HAD and task.reason != settled.reason:
        return  # it was taken up again when the crawl was resumed
    assert task.state in FINAL, f"{settled}, but {task}"
    if task.state is TaskState.DONE and task.outcome is Outcome.REDIRECTED:
        assert (settled.failed, settled.reason) == (True, Reason.REDIRECT_LOOP), settled
        return
    has_rows = task.state is TaskState.DONE and task.outcome is Outcome.FETCHED
    assert (settled.url, settled.status) == (task.url, task.status), f"{settled}, but {task}"
    assert (settled.failed, settled.refused) == (not has_rows, task.state is TaskState.DROPPED), (
        f"{settled}, but {task}"
    )
    assert settled.reason == (task.reason if has_rows else task.verdict), f"{settled}, but {task}"
    assert settled.reason not in _NEVER_ANSWERED, f"{asked} was asked for, and dropped: {settled}"
    results = [result for result in mirror.results if result.ref == task.ref]
    assert settled.rows == (_rows(results[0]) if has_rows else ()), f"{settled}, but {results}"


def asked_invariants(world: World) -> None:
    """What waits and is beyond the crawl is asked for, what somebody waits for is to be fetched, and of sessions that
    are gone nothing is left."""
    tasks, limit = world.mirror.tasks, world.policy.extent.depth
    for task in tasks.values():
        is_waiting = task.state is TaskState.PENDING and task.kind is Kind.PAGE
        assert task.asked or not (is_waiting and is_out(task, limit)), f"nobody wants {task}"
    open_asks = world.service.pools._asks
    assert open_asks._books.keys() <= world.service._members._by_id.keys(), "somebody is remembered who is gone"
    assert world.mirror.others[PoolRow].keys() == world.service._programs._holding
    for ref, asks in open_asks._waiting.items():
        task = tasks[ref]
        assert asks
        assert task.asked, f"nobody asked for {task}"
        assert task.state not in FINAL, f"{asks} wait for {task}"


def asked_verdict(world: World) -> None:
    """At the end nobody waits, and no page has links left that it should have led on to."""
    asks = world.service.pools._asks
    assert (asks._waiting, asks._open, asks.are_open) == ({}, 0, False)
    assert not world.mirror.others[LeadOnRow]
    tasks = {task.order: task for task in world.mirror.tasks.values()}
    limit = world.policy.extent.depth
    for row in world.mirror.others[KeptLinksRow].values():
        assert isinstance(row, KeptLinksRow)
        task = tasks[row.order]
        # The links of a page that was taken up again, and then reached, are those that it had the last time.
        is_over = task.ref in world.mirror.have_led
        assert limit is not None or is_out(task, limit) or is_over, f"{task} was reached, and led on to nothing"


def _refusal(asked: str) -> Reason | None:
    url = canonicalize(asked)
    if url is None:
        return Reason.NOT_HTTP
    return None if host_key(url) in HOSTS else Reason.HOST


def _last(tasks: dict[bytes, TaskRow], ref: bytes) -> TaskRow:
    """Return the page that a page redirects to in the end; one that redirects on if they go in a circle."""
    seen: set[bytes] = set()
    task = tasks[ref]
    while task.ref not in seen and task.state is TaskState.DONE and task.outcome is Outcome.REDIRECTED:
        seen.add(task.ref)
        task = tasks[task.outlinks[0]]
    return task


def _rows(result: Result) -> tuple[dict[str, object], ...]:
    line = result.seed_line
    said = {} if line is None else {"requested": line.requested, "seed": line.columns}
    return tuple({"item": row.item, **said, **row.fields} for row in result.rows)
