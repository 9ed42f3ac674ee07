"""The session's conversation with the coordinator, run by one control thread.

It decides when an exchange is due and applies the answer. After a failure it says hello again under the same session
and resends what was not acked. It fetches nothing and decides no politeness.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from msgspec.structs import replace

from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.errors import CrawlfleetError, Unreachable
from crawlfleet.shared.messages import Ack, AckState, ExchangeAnswer, ExchangeRequest, Welcome
from crawlfleet.worker.talk.demand import Demand
from crawlfleet.worker.talk.session import Session

HURRIED_LINGER_S = 0.005
LINGER_S = 0.05
STARTS_LINGER_S = 0.05
TICK_S = 0.05

_logger = structlog.get_logger(__name__)


class JobChanged(CrawlfleetError):
    """The coordinator came back with another job: this worker ends, and a new one replaces it."""


class Client:
    """The work of the control thread: one exchange after another until the crawl is over or the drain complete."""

    def __init__(
        self,
        session: Session,
        welcome: Welcome,
        demand: Demand,
        *,
        on_scope: Callable[[ScopeSpec], None] = lambda _: None,
        on_ack: Callable[[Ack], None] = lambda _: None,
    ) -> None:
        """`session` has joined and got `welcome`."""
        self._line = session.line
        self._outstanding = session.outstanding
        self._agenda = session.agenda
        self._outbox = session.outbox
        self._orders = session.orders
        self._options = session.options
        self._clock = session.clock
        self._demand = demand
        self._on_scope = on_scope
        self._on_ack = on_ack
        self._agenda.low_mark = demand.low_mark
        self._brief, self._epoch, self._lease_s = welcome.brief, welcome.epoch, welcome.lease_s
        self._idle_s = 0.0
        self._last_exchange_at = self._clock()
        self._news_at: float | None = None
        self._finished = False

    @property
    def finished(self) -> bool:
        """Whether the coordinator said that the crawl is over."""
        return self._finished

    def run(self) -> None:
        """Exchange until the coordinator says that the crawl is finished, or the drain is complete; say goodbye."""
        while self.step():
            pass
        self._line.goodbye()

    def step(self) -> bool:
        """Handle what has happened, then exchange or wait once; False when nothing is left to do."""
        self._orders.check()
        self._apply_news()
        if self._finished or (self._orders.draining and self._is_drained):
            return False
        now = self._clock()
        due_at = self.due_at()
        if due_at <= now:
            return self.exchange_once()
        self._outbox.wait(min(due_at - now, TICK_S) if self._outstanding.open_tasks else due_at - now)
        return True

    @property
    def _is_drained(self) -> bool:
        """Whether nothing is left to wait for. The goodbye returns what a worker that is leaving still holds."""
        is_left = self._orders.leaving and not self._outstanding.unacked and self._outbox.due_at(0.0) is None
        return self._outstanding.is_clear or is_left

    def due_at(self) -> float:
        """When the next exchange is due, as far as is known now."""
        soon = self._last_exchange_at + HURRIED_LINGER_S
        startable = self._agenda.waiting - self._agenda.deferred
        hungry = startable < self._demand.low_mark and self._want() > 0
        times = [self._last_exchange_at + min(self._lease_s / 3, self._options.heartbeat_s)]
        if hungry:
            times.append(max(self._last_exchange_at + self._idle_s, soon))
        if self._outstanding.unacked or (self._orders.draining and self._outstanding.has_news):
            times.append(soon)
        delivery_at = self._outbox.due_at(HURRIED_LINGER_S if hungry else LINGER_S)
        if delivery_at is not None:
            times.append(delivery_at)
        if self._news_at is not None:
            times.append(self._news_at + STARTS_LINGER_S)
        return min(times)

    def exchange_once(self) -> bool:
        """Send what is outstanding and apply the answer; False when the coordinator was given up."""
        self._take_deliveries()
        self._apply_news()
        sent_at = self._clock()
        request = self._outstanding.compose(self._want(), sent_at)
        self._last_exchange_at = sent_at
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
        self._outstanding.settle(request, answer)
        self._agenda.drop(answer.lost)
        lost = frozenset(answer.lost)
        self._agenda.renew((lease for lease in request.holding if lease not in lost), until)
        received_at = self._clock()
        for lease in answer.leases:
            self._agenda.add(lease, received_at, until)
        self._outstanding.drop(self._agenda.drop(answer.recalled))
        for ack in answer.acks:
            if ack.state is not AckState.MORE:
                self._on_ack(ack)
        if answer.scope is not None:
            self._on_scope(answer.scope)
        self._news_at = None
        # The pause is for a session that got less than it wanted.
        granted = sum(len(lease.tasks) for lease in answer.leases)
        self._idle_s = answer.idle_s if granted < request.want else 0.0
        self._finished = answer.finished

    def _rejoin(self) -> bool:
        """Say hello again; when draining, only as long as the leases may still be ours."""
        lost_at = self._clock()
        welcome = self._line.open(lambda: self._keeps_trying(lost_at))
        if welcome is None:
            _logger.warning("gave the coordinator up", unacked=self._outstanding.unacked)
            return False
        self._adopt(welcome)
        return True

    def _keeps_trying(self, lost_at: float) -> bool:
        self._orders.check()
        patience_s = self._options.patience_s
        if self._orders.draining:
            patience_s = min(patience_s, self._lease_s)
        return self._clock() < lost_at + patience_s

    def _adopt(self, welcome: Welcome) -> None:
        # The scope may grow; anything else in the brief is another job.
        if replace(self._brief, scope=ScopeSpec()) != replace(welcome.brief, scope=ScopeSpec()):
            job = welcome.brief.job
            raise JobChanged(f"the coordinator now serves another job ({job}); starting afresh")
        if welcome.epoch != self._epoch:
            self._outstanding.forget_links()
        self._epoch, self._lease_s = welcome.epoch, welcome.lease_s
        self._on_scope(welcome.brief.scope)
        # Unacked reports are due at once.
        self._last_exchange_at = self._clock() - self._lease_s

    def _apply_news(self) -> None:
        news = self._agenda.take_news()
        self._outstanding.start(news.started)
        self._outstanding.drop(news.overdue, news.alone)
        if self._orders.draining:
            self._outstanding.drop(self._agenda.drop_all())
        if not self._outstanding.has_news:
            self._news_at = None
        elif self._news_at is None:
            self._news_at = self._clock()

    def _take_deliveries(self) -> None:
        """Take reports from the outbox. Call this before `_apply_news`, so that the start of each is known."""
        self._outstanding.deliver(self._outbox.take_all())

    def _want(self) -> int:
        if self._orders.draining:
            return 0
        # For each thread that a slow host holds up there is another one, which may need a task.
        deferred = self._agenda.deferred + self._agenda.slow_running
        return self._demand.want(self._outstanding.open_tasks, deferred, self._agenda.behind_s)
