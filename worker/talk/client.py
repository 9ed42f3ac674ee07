"""The session's conversation with the coordinator, led by one control thread.

Owns when a turn is due and what its answer changes here; after a failure it says hello again under the
same session and sends again what was not acked. It fetches nothing and decides no politeness.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
from msgspec.structs import replace

from crawlfleet.shared.errors import CrawlfleetError, Unreachable
from crawlfleet.shared.messages import Ack, Brief, ExchangeAnswer, ExchangeRequest, Report, ScopeSpec, Welcome
from crawlfleet.worker.agenda import Agenda
from crawlfleet.worker.talk.ledger import Ledger
from crawlfleet.worker.talk.line import Line
from crawlfleet.worker.talk.outbox import Outbox

HURRIED_LINGER_S = 0.005
LINGER_S = 0.05
STARTS_LINGER_S = 0.05
TICK_S = 0.05
BEHIND_S = 0.25

_logger = structlog.get_logger(__name__)


class Tally(Protocol):
    """Who is told, on the control thread, how the worker is doing."""

    def count(self, report: Report) -> None: ...
    def show(self, *, running: int, waiting: int) -> None: ...


class Hunger(Protocol):
    """Says how many more tasks to ask for, and below how many startable ones to ask."""

    @property
    def low_mark(self) -> int: ...
    def want(self, held: int, deferred: int, behind_s: float, /) -> int: ...


class JobChanged(CrawlfleetError):
    """The coordinator came back with another job: this worker ends, and a fresh one takes its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appetite:
    """How many tasks a worker holds: `base` that may start at once, `most` with those of spaced hosts.

    A thousand hosts that are asked once a second, with starts granted for two seconds, are three thousand tasks. A
    worker that is behind with its starts leaves what is more than `when_behind` to others. It asks again when fewer
    than `low_mark` are left that may start at once.
    """

    base: int
    most: int = 4096
    when_behind: int = 512
    low_mark: int

    @classmethod
    def for_fetches(cls, fetches: int) -> Appetite:
        """For so many fetches at once: four tasks for each, two if they are many; ask again before they run out."""
        if fetches <= 64:
            return cls(base=4 * fetches, low_mark=fetches)
        return cls(base=2 * fetches, low_mark=fetches // 2, when_behind=max(512, 2 * fetches))

    def want(self, held: int, deferred: int, behind_s: float = 0.0) -> int:
        """How many more to ask for, with `held` unsettled, `deferred` of them waiting for a host's time, and the first
        of those that may start waiting for a thread since `behind_s`."""
        most = self.most if behind_s < BEHIND_S else self.when_behind
        return max(0, min(self.base - (held - deferred), most - held))


class Orders:
    """What was asked of this worker process from outside; may be read and set by any thread."""

    def __init__(self, on_drain: Callable[[], None] = lambda: None) -> None:
        self._draining = False
        self._on_drain = on_drain

    @property
    def draining(self) -> bool:
        """Whether to take nothing new, report what runs, and end."""
        return self._draining

    def drain(self) -> None:
        """Ask for the end."""
        self._draining = True
        self._on_drain()


class Client:
    """The control thread's work: turns of the conversation until the crawl is over or the drain complete."""

    def __init__(
        self,
        *,
        line: Line,
        welcome: Welcome,
        ledger: Ledger,
        agenda: Agenda,
        outbox: Outbox,
        orders: Orders,
        appetite: Hunger,
        tally: Tally,
        on_scope: Callable[[ScopeSpec], None] = lambda _: None,
        on_ack: Callable[[Ack], None] = lambda _: None,
        check: Callable[[], None] = lambda: None,
        wait: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        heartbeat_s: float = math.inf,
        patience_s: float = math.inf,
    ) -> None:
        """`line` is open, and was greeted with `welcome`.

        Turns are at most `heartbeat_s` apart, or a third of the lease time; a coordinator that is away for longer than
        `patience_s` is given up. `check` raises what makes it pointless to go on, whenever this thread wakes.
        """
        self._line = line
        self._ledger = ledger
        self._agenda = agenda
        self._outbox = outbox
        self._orders = orders
        self._appetite = appetite
        self._tally = tally
        self._on_scope = on_scope
        self._on_ack = on_ack
        self._check = check
        self._wait = wait if wait is not None else outbox.wait
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._patience_s = patience_s
        self._brief, self._epoch, self._lease_s = welcome.brief, welcome.epoch, welcome.lease_s
        self._idle_s = 0.0
        self._last_turn_at = clock()
        self._news_at: float | None = None
        self._finished = False

    @property
    def finished(self) -> bool:
        """Whether the coordinator said that the crawl is over."""
        return self._finished

    def run(self) -> None:
        """Converse until the coordinator calls the crawl finished, or the drain is complete; say goodbye."""
        while self.step():
            pass
        self._line.goodbye()

    def step(self) -> bool:
        """Look once at what is going on, then take a turn or wait; False when there is nothing left to do."""
        self._check()
        self._take_up()
        if self._finished or (self._orders.draining and self._ledger.is_clear):
            return False
        now = self._clock()
        due_at = self.due_at()
        if due_at <= now:
            return self.turn()
        self._wait(min(due_at - now, TICK_S) if self._ledger.open_tasks else due_at - now)
        return True

    def due_at(self) -> float:
        """When the next turn is due, as far as can be told now."""
        soon = self._last_turn_at + HURRIED_LINGER_S
        hungry = self._is_hungry()
        times = [self._last_turn_at + min(self._lease_s / 3, self._heartbeat_s)]
        if hungry:
            times.append(max(self._last_turn_at + self._idle_s, soon))
        if self._ledger.unacked or (self._orders.draining and self._ledger.has_news):
            times.append(soon)
        delivery_at = self._outbox.due_at(HURRIED_LINGER_S if hungry else LINGER_S)
        if delivery_at is not None:
            times.append(delivery_at)
        if self._news_at is not None:
            times.append(self._news_at + STARTS_LINGER_S)
        return min(times)

    def turn(self) -> bool:
        """Exchange once; False when the way to the coordinator was given up."""
        self._take_deliveries()
        self._take_up()
        sent_at = self._clock()
        request = self._ledger.compose(self._want(), sent_at)
        self._last_turn_at = sent_at
        try:
            answer = self._line.exchange(request)
        except Unreachable:
            return self._rejoin()
        if not answer.known:
            _logger.warning("the coordinator has forgotten this session, saying hello again")
            return self._rejoin()
        self._settle(request, answer, sent_at)
        return True

    def _settle(self, request: ExchangeRequest, answer: ExchangeAnswer, sent_at: float) -> None:
        until = sent_at + self._lease_s
        self._ledger.settle(request, answer)
        self._agenda.drop(answer.lost)
        lost = frozenset(answer.lost)
        self._agenda.renew((lease for lease in request.holding if lease not in lost), until)
        received_at = self._clock()
        for lease in answer.leases:
            self._agenda.add(lease, received_at, until)
        self._ledger.drop(self._agenda.drop(answer.recalled))
        for ack in answer.acks:
            self._on_ack(ack)
        if answer.scope is not None:
            self._on_scope(answer.scope)
        self._news_at = None
        # The coordinator's pause is for who was left hungry.
        granted = sum(len(lease.tasks) for lease in answer.leases)
        self._idle_s = answer.idle_s if granted < request.want else 0.0
        self._finished = answer.finished

    def _rejoin(self) -> bool:
        """Say hello again; when draining, only for as long as the leases may still be ours."""
        lost_at = self._clock()
        welcome = self._line.open(lambda: self._keeps_trying(lost_at))
        if welcome is None:
            _logger.warning("gave the coordinator up", unacked=self._ledger.unacked)
            return False
        self._adopt(welcome)
        return True

    def _keeps_trying(self, lost_at: float) -> bool:
        self._check()
        patience_s = min(self._patience_s, self._lease_s) if self._orders.draining else self._patience_s
        return self._clock() < lost_at + patience_s

    def _adopt(self, welcome: Welcome) -> None:
        if _is_other_job(self._brief, welcome.brief):
            job = welcome.brief.job
            raise JobChanged(f"the coordinator now serves another job ({job}); starting afresh")
        if welcome.epoch != self._epoch:
            self._ledger.forget_links()
        self._epoch, self._lease_s = welcome.epoch, welcome.lease_s
        self._on_scope(welcome.brief.scope)
        # What was not acked is due at once.
        self._last_turn_at = self._clock() - self._lease_s

    def _take_up(self) -> None:
        """Bring the ledger up to date with the agenda, and the counters with both."""
        news = self._agenda.take_news()
        self._ledger.start(news.started)
        self._ledger.drop(news.overdue)
        if self._orders.draining:
            self._ledger.drop(self._agenda.drop_all())
        if not self._ledger.has_news:
            self._news_at = None
        elif self._news_at is None:
            self._news_at = self._clock()
        self._tally.show(running=self._agenda.running, waiting=self._agenda.waiting)

    def _take_deliveries(self) -> None:
        """Take up what is ready to leave; before `_take_up`, so that the start of each will be known."""
        deliveries = self._outbox.take_all()
        for delivery in deliveries:
            self._tally.count(delivery.report)
        self._ledger.deliver(deliveries)

    def _is_hungry(self) -> bool:
        startable = self._agenda.waiting - self._agenda.deferred
        return startable < self._appetite.low_mark and self._want() > 0

    def _want(self) -> int:
        if self._orders.draining:
            return 0
        return self._appetite.want(self._ledger.open_tasks, self._agenda.deferred, self._agenda.behind_s)


def _is_other_job(ours: Brief, theirs: Brief) -> bool:
    """The scope may grow; anything else in the brief is another job."""
    return replace(ours, scope=ScopeSpec()) != replace(theirs, scope=ScopeSpec())
