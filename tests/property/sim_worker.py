"""A worker in simulated time: the real agenda and the real ledger of a worker, with the threads left out."""

from __future__ import annotations

from crawlfleet.shared.messages import ExchangeAnswer, ExchangeRequest, Kind, Outcome, TaskKey
from crawlfleet.worker.lanes import Attempt, Lanes
from crawlfleet.worker.talk.outbox import Delivery
from crawlfleet.worker.talk.outstanding import Outstanding, SentLinks
from tests.property.crawl_model import World
from tests.property.crawl_site import lie, misfortune

THREADS = 4


class SimWorker:
    """One session. It starts what its leases allow, when they allow it, and keeps what it was not acked."""

    def __init__(self, world: World, session: str, replaces: str = "") -> None:
        self.session = session
        self.running: list[tuple[Attempt, bool]] = []
        self._world = world
        self._lanes = Lanes()
        self._ledger = Outstanding(session, SentLinks())
        self._deliveries: list[Delivery] = []
        world.hello(session, replaces)

    @property
    def holds_anything(self) -> bool:
        """Whether there is anything left to do or to tell."""
        return bool(self.running or self._deliveries or not self._ledger.is_clear)

    def start(self, at_most: int = THREADS) -> bool:
        """Start what may start now; False if that killed this worker."""
        for _ in range(min(at_most, THREADS - len(self.running))):
            attempt = self._lanes.pop_ready(self._world.now)
            if attempt is None:
                break
            self._note_start(attempt)
            if self._world.site.is_deadly(attempt.task):
                return False
        return True

    def finish(self, place: int = 0, mishap: str = "", lying: bool = False) -> None:
        """End one of the running attempts: as the site answers, or as `mishap` says."""
        attempt, _ = self.running.pop(place % len(self.running))
        self._lanes.done(attempt)
        report = self._world.site.answer(attempt.lease_id, attempt.task)
        is_page = attempt.task.kind is Kind.PAGE
        if mishap:
            report = misfortune(mishap, report)
        elif lying and report.outcome is Outcome.FETCHED and is_page:
            report = lie(report)
        self._deliveries.append(
            Delivery(
                attempt=attempt,
                report=report,
                wire_bytes=100,
                ahead=self._world.site.ahead(report, attempt.task),
            )
        )

    def exchange(self, want: int, trip_s: float = 0.0, lose_answer: bool = False) -> None:
        """Take a turn; after a lost answer, say hello again."""
        request = self._compose(want)
        sent_at = self._world.now
        if trip_s:
            self._world.advance(trip_s)
        answer = self._world.exchange(request)
        if lose_answer or not answer.known:
            self._world.hello(self.session)
            return
        self._settle(request, answer, sent_at)

    def drain(self) -> None:
        """Drop what has not started, as on SIGTERM."""
        self._ledger.drop(self._lanes.drop(self._lanes.leases()))

    def goodbye(self) -> None:
        """Leave, whatever is still held."""
        self._world.do(lambda now: self._world.service.goodbye(self.session, now))

    def _compose(self, want: int) -> ExchangeRequest:
        self._ledger.deliver(self._deliveries)
        self._deliveries = []
        news = self._lanes.take_news()
        self._ledger.start(news.started)
        self._ledger.drop(news.overdue)
        return self._ledger.compose(want, self._world.now)

    def _settle(self, request: ExchangeRequest, answer: ExchangeAnswer, sent_at: float) -> None:
        until = sent_at + self._world.policy.lease_s
        self._ledger.settle(request, answer)
        self._lanes.drop(answer.lost)
        self._lanes.renew((lease for lease in request.holding if lease not in answer.lost), until)
        for lease in answer.leases:
            self._lanes.add(lease, self._world.now, until)
        self._ledger.drop(self._lanes.drop(answer.recalled))

    def _note_start(self, attempt: Attempt) -> None:
        lease = self._world.mirror.leases.get(attempt.lease_id)
        assert lease is not None, "a task started under a lease that was lost"
        assert lease.session == self.session
        assert self._world.mirror.tasks[attempt.task.ref].lease == attempt.lease_id
        self._world.started(attempt.host, lease.spacing_s)
        under_lease = [running for running, _ in self.running if self._is_current(running)]
        assert not under_lease or not lease.alone, "a suspect started beside something else"
        self.running.append((attempt, lease.alone))

    def _is_current(self, attempt: Attempt) -> bool:
        return attempt.lease_id in self._world.mirror.leases


def parallel_on(workers: list[SimWorker], world: World, host: str) -> int:
    """Count what is under way on a host, under leases that are not lost."""
    return sum(
        attempt.host == host and attempt.key in _open(world) for worker in workers for attempt, _ in worker.running
    )


def _open(world: World) -> set[TaskKey]:
    return {TaskKey(lease.id, ref) for lease in world.mirror.leases.values() for ref in lease.refs}
