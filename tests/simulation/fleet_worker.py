"""A worker of a simulation: the real agenda and ledger of a worker, in virtual time, over a network that fails."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Protocol

import msgspec

from crawlfleet.shared.messages import (
    ExchangeAnswer,
    ExchangeRequest,
    Hello,
    Kind,
    Outcome,
    Report,
    Row,
    TaskKey,
    Welcome,
)
from crawlfleet.worker.lanes import Attempt, Lanes
from crawlfleet.worker.talk.outbox import Delivery
from crawlfleet.worker.talk.outstanding import Outstanding, SentLinks
from tests.property.crawl_site import lie, misfortune
from tests.simulation.aims import ALL_MISHAPS
from tests.simulation.chronicle import Chronicle, Fault
from tests.simulation.machine import Machine
from tests.simulation.timeline import Timeline

THREADS = 4
PATIENCE_S = (1.0, 4.0)
LATE_PAGE = "/p1"
LATE_S = 20.0


class Exchange(Protocol):
    """Sends a call to the coordinator; the answer, if it ever comes, is given to `then`."""

    def __call__(self, session: str, call: Callable[[float], Any], then: Callable[[Any], None]) -> None: ...


class FleetWorker:
    """One session. `mishaps` is the chance that an attempt goes wrong, by one of `kinds`, or that its report lies;
    a fetch takes one of `paces_s`."""

    def __init__(
        self,
        session: str,
        machine: Machine,
        send: Exchange,
        timeline: Timeline,
        random: Random,
        chronicle: Chronicle,
        replaces: str = "",
        began: tuple[TaskKey, ...] = (),
    ) -> None:
        self.session = session
        self.mishaps = 0.0
        self.kinds = ALL_MISHAPS
        self.paces_s: tuple[float, ...] = (1.0,)
        self.is_alive = True
        self.is_finished = False
        self.stopped_until = 0.0
        self.running: list[Attempt] = []
        self.starts: set[TaskKey] = set()
        self._machine = machine
        self._send = send
        self._timeline = timeline
        self._random = random
        self._chronicle = chronicle
        self._hello = Hello(session=session, replaces=replaces, began=began)
        self._lanes = Lanes()
        self._spacings: dict[str, float] = {}
        self._ledger = Outstanding(session, SentLinks())
        self._deliveries: list[Delivery] = []
        self._epoch = 0
        self._greeted = False
        self._waiting_for = 0
        self._given_up_at = 0.0
        self._turns = 0
        self._draining = False
        self._tick()

    @property
    def holds_suspect(self) -> bool:
        """Whether this worker has a task that was granted alone."""
        return any(lease.alone for lease in self._machine.mirror.leases.values() if lease.session == self.session)

    def die(self) -> None:
        """Be gone."""
        self.is_alive = False

    def stop_for(self, seconds: float) -> None:
        """Do nothing for a while, as after SIGSTOP."""
        self.stopped_until = self._timeline.now + seconds

    def drain(self) -> None:
        """Drop what has not started, and take nothing new."""
        self._draining = True
        self._ledger.drop(self._lanes.drop(self._lanes.leases()))

    @property
    def is_drained(self) -> bool:
        """Whether a drain is complete."""
        return self._draining and not self.running and not self._deliveries and self._ledger.is_clear

    def _tick(self) -> None:
        if not self.is_alive:
            return
        pause_s = self.stopped_until - self._timeline.now
        if pause_s > 0:
            self._timeline.after(pause_s, self._tick)
            return
        self._start_all()
        if self.is_alive and not self.is_finished:
            self._converse()
            self._timeline.after(self._random.uniform(0.1, 0.7), self._tick)

    def _start_all(self) -> None:
        while len(self.running) < THREADS and self.is_alive:
            attempt = self._lanes.pop_ready(self._timeline.now)
            if attempt is None:
                return
            self._start(attempt)

    def _start(self, attempt: Attempt) -> None:
        key = attempt.key
        self._chronicle.tell(self._timeline.now, f"{self.session} starts {attempt.task.url} lease {attempt.lease_id}")
        assert key not in self.starts or self._machine.lost_by_power, "started twice under one lease"
        self.starts.add(key)
        self._machine.begun(self.session, attempt, self._spacings[attempt.host])
        self.running.append(attempt)
        if self._machine.site.is_deadly(attempt.task):
            self._chronicle.fault(self._timeline.now, Fault.WORKER_KILLED_BY_PAGE, attempt.task.url)
            self.die()
            return
        takes_s = LATE_S if attempt.task.url.endswith(LATE_PAGE) else self._random.choice(self.paces_s)
        self._timeline.after(takes_s, lambda: self._finish(attempt))

    def _finish(self, attempt: Attempt) -> None:
        if not self.is_alive:
            return
        pause_s = self.stopped_until - self._timeline.now
        if pause_s > 0:
            self._timeline.after(pause_s, lambda: self._finish(attempt))
            return
        self.running.remove(attempt)
        self._lanes.done(attempt)
        report = self._report(attempt)
        self._deliveries.append(
            Delivery(
                attempt=attempt,
                report=report,
                wire_bytes=100,
                ahead=self._machine.site.ahead(report, attempt.task),
            )
        )

    def _report(self, attempt: Attempt) -> Report:
        report = self._machine.site.answer(attempt.lease_id, attempt.task)
        kind = self._random.choice(self.kinds)
        is_safe = attempt.task.url.endswith(LATE_PAGE)
        if not is_safe and self._random.random() < self.mishaps and report.outcome is not Outcome.REDIRECTED:
            return misfortune(kind, report)
        if report.outcome is not Outcome.FETCHED or attempt.task.kind is not Kind.PAGE:
            return report
        if self._random.random() < self.mishaps:
            self._chronicle.fault(self._timeline.now, Fault.LINKS_FORGED, attempt.task.url)
            report = lie(report)
        return msgspec.structs.replace(report, rows=_rows(attempt.task.url))

    def _converse(self) -> None:
        """Send what is due; after an answer that does not come, say hello again."""
        if self._waiting_for and self._timeline.now < self._given_up_at:
            return
        if self._waiting_for:
            self._greeted = False
        self._turns += 1
        self._waiting_for = turn = self._turns
        self._given_up_at = self._timeline.now + self._random.uniform(*PATIENCE_S)
        if not self._greeted:
            self._send(self.session, self._machine.greet(self._hello), lambda answer: self._welcome(turn, answer))
            return
        request, sent_at = self._compose(), self._timeline.now
        self._send(
            self.session,
            self._machine.turn(request),
            lambda answer: self._settle(turn, request, answer, sent_at),
        )

    def _compose(self) -> ExchangeRequest:
        self._ledger.deliver(self._deliveries)
        self._deliveries = []
        news = self._lanes.take_news()
        self._ledger.start(news.started)
        self._ledger.drop(news.overdue)
        hunger = max(0, 2 * THREADS - self._ledger.open_tasks)
        return self._ledger.compose(0 if self._draining else hunger, self._timeline.now)

    def _welcome(self, turn: int, welcome: Welcome) -> None:
        if not self._is_awaited(turn, lambda: self._welcome(turn, welcome)):
            return
        self._waiting_for = 0
        self._hello = Hello(session=self.session)
        self._greeted = True
        if welcome.epoch != self._epoch:
            self._ledger.forget_links()
        self._epoch = welcome.epoch

    def _settle(self, turn: int, request: ExchangeRequest, answer: ExchangeAnswer, sent_at: float) -> None:
        if not self._is_awaited(turn, lambda: self._settle(turn, request, answer, sent_at)):
            return
        self._waiting_for = 0
        if not answer.known:
            self._greeted = False
            return
        until = sent_at + self._machine.policy.lease_s
        self._ledger.settle(request, answer)
        self._lanes.drop(answer.lost)
        self._lanes.renew((lease for lease in request.holding if lease not in answer.lost), until)
        for lease in answer.leases:
            self._lanes.add(lease, self._timeline.now, until)
            self._spacings[lease.host] = lease.spacing_s
        self._ledger.drop(self._lanes.drop(answer.recalled))
        if self._draining:
            self._ledger.drop(self._lanes.drop(self._lanes.leases()))
        self.is_finished = answer.finished

    def _is_awaited(self, turn: int, again: Callable[[], None]) -> bool:
        """Say whether an answer is still waited for; keep one that comes while this worker is stopped."""
        pause_s = self.stopped_until - self._timeline.now
        if self.is_alive and pause_s > 0:
            self._timeline.after(pause_s, again)
            return False
        return self.is_alive and self._waiting_for == turn


def _rows(url: str) -> tuple[Row, ...]:
    number = int(url.rpartition("/p")[2])
    fields = {"n": number, "text": "x" * 1_500 * number}
    return tuple(Row(item="page", index=index, fields=fields) for index in range((number + 1) % 3))
