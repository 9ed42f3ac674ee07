"""A worker in simulated time: the real conversation of a worker, with the threads left out; and a program that asks for
pages."""

from __future__ import annotations

from crawlfleet.coordinator.conduct.pool_post import PoolPost
from crawlfleet.shared.errors import Unreachable
from crawlfleet.shared.messages import ExchangeAnswer, ExchangeRequest, Hello, Kind, Outcome, TaskKey, Welcome, decode
from crawlfleet.shared.pools import AskRequest, CancelRequest, SettledPage
from crawlfleet.worker.fitting import fit
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.talk.client import Client
from crawlfleet.worker.talk.outbox import Delivery
from crawlfleet.worker.talk.session import Session
from tests.property.crawl_model import World
from tests.property.crawl_program import Program, check_answer
from tests.property.crawl_site import lie, misfortune

THREADS = 4
MAX_REPORT_BYTES = 1_000_000


class SimWorker:
    """One session. It starts what its leases allow, when they allow it; what it says is up to the real client."""

    def __init__(self, world: World, session: str, replaces: str = "") -> None:
        self.session = session
        self.running: list[Attempt] = []
        self._world = world
        self._way = _Way(world)
        self._demand = _Demand()
        hello = Hello(session=session, replaces=replaces)
        self._parts = Session(
            lambda: self._way, hello, clock=lambda: world.now, bell=_PassingTime(world), chance=lambda: 0.0
        )
        welcome = self._parts.join()
        assert welcome is not None
        self._client = Client(self._parts, welcome, self._demand)

    @property
    def is_drained(self) -> bool:
        """Whether a drain is complete."""
        return self._parts.orders.draining and not self.running and self._parts.outstanding.is_clear

    def start(self, at_most: int = THREADS) -> bool:
        """Start what may start now; False if that killed this worker."""
        for _ in range(min(at_most, THREADS - len(self.running))):
            attempts, _ = self._parts.agenda.start_ready(1)
            for attempt in attempts:
                self._note_start(attempt)
                if self._world.site.is_deadly(attempt.task):
                    return False
        return True

    def finish(self, place: int = 0, mishap: str = "", lying: bool = False) -> None:
        """End one of the running attempts: as the site answers, or as `mishap` says."""
        attempt = self.running.pop(place % len(self.running))
        self._parts.agenda.done(attempt)
        report = self._world.site.answer(attempt.lease_id, attempt.task)
        is_page = attempt.task.kind is Kind.PAGE
        if mishap:
            report = misfortune(mishap, report)
        elif lying and report.outcome is Outcome.FETCHED and is_page:
            report = lie(report)
        ahead = self._world.site.ahead(report, attempt.task)
        report = fit(attempt, report, MAX_REPORT_BYTES).report
        self._parts.outbox.put(Delivery(attempt=attempt, report=report, wire_bytes=100, ahead=ahead))

    def exchange(self, want: int, trip_s: float = 0.0, lose_answer: bool = False) -> None:
        """Exchange once; the client says hello again after a lost answer."""
        self._demand.tasks = want
        self._way.trip_s, self._way.loses_answer = trip_s, lose_answer
        assert self._client.exchange_once()

    def give_back(self) -> None:
        """Drop what has not started, as a user's program that asks for no task any more."""
        self._parts.outstanding.drop(self._parts.agenda.drop_all())

    def drain(self) -> None:
        """Take nothing new, as on SIGTERM."""
        self._parts.orders.drain()

    def goodbye(self) -> None:
        """Leave, whatever is still held."""
        self._parts.line.goodbye()

    def _note_start(self, attempt: Attempt) -> None:
        lease = self._world.mirror.leases.get(attempt.lease_id)
        assert lease is not None, "a task started under a lease that was lost"
        assert lease.session == self.session
        assert self._world.mirror.tasks[attempt.task.ref].lease == attempt.lease_id
        self._world.started(attempt.host, lease.spacing_s)
        under_lease = [running for running in self.running if running.lease_id in self._world.mirror.leases]
        assert not under_lease or not lease.alone, "a suspect started beside something else"
        self.running.append(attempt)


class SimProgram:
    """One program with one pool: what it wants, and what it is told of that. `post` has the world's answers."""

    def __init__(self, world: World, session: str, post: PoolPost) -> None:
        self.asks = Program(session)
        self._world = world
        self._post = post
        self._opened_in: str | None = None
        self._hello()

    @property
    def session(self) -> str:
        """The name of its session."""
        return self.asks.session

    def turn(self, lose_reply: bool = False) -> None:
        """Show that it is alive, ask for what is to be asked for, and collect answers; a reply may be lost."""
        if not self._world.exchange(ExchangeRequest(session=self.session)).known:
            self._hello()
        sent = self.asks.due()
        if sent or self._opened_in != self.asks.book:
            reply = self._world.ask(AskRequest(session=self.session, pool=1, asks=sent))
            if not reply.finished and not lose_reply:
                self.asks.take_reply(sent, reply)
                self._opened_in = reply.book
        self._collect(lose_reply=lose_reply)

    def cancel(self, places: list[int], started_too: bool, lose_reply: bool) -> None:
        """Take some of the open asks back."""
        numbers = [number for number, ticket in self.asks.tickets.items() if ticket.is_open]
        some = tuple({numbers[place % len(numbers)]: None for place in places}) if numbers else ()
        request = CancelRequest(session=self.session, tickets=some, started_too=started_too)
        reply = self._world.do(lambda now: self._world.service.pools.cancel(request, now))
        if lose_reply:
            self.asks.lose_staying(some)
        else:
            self.asks.take_staying(some, reply.staying)

    def close(self) -> None:
        """Close the pool."""
        self._world.do(lambda now: self._world.service.pools.close(self.session, 1, now))

    def check(self) -> None:
        """All that it was told is what came of it."""
        for ticket in self.asks.tickets.values():
            if ticket.answer is not None:
                check_answer(ticket.answer, ticket.ask.url, self._world.mirror)

    def _hello(self) -> None:
        self._world.hello(Hello(session=self.session, fetches=False))

    def _collect(self, *, lose_reply: bool) -> None:
        self._post.deliver(self._world.service.outgoing.take_answers())
        page = decode(self._post.collect(self.session, self.asks.cursor, 0.0), SettledPage)
        if lose_reply:
            self.asks.lose_page()
        else:
            self.asks.take_page(page)
        self.check()


class _Way:
    """The way to the service, which is a `Coordinator`: it takes time, and may lose an answer."""

    def __init__(self, world: World) -> None:
        self.trip_s = 0.0
        self.loses_answer = False
        self._world = world

    def hello(self, hello: Hello) -> Welcome:
        return self._world.hello(hello)

    def exchange(self, request: ExchangeRequest) -> ExchangeAnswer:
        if self.trip_s:
            self._world.advance(self.trip_s)
        answer = self._world.exchange(request)
        if self.loses_answer:
            raise Unreachable("the answer was lost")
        return answer

    def goodbye(self, session: str) -> None:
        self._world.do(lambda now: self._world.service.goodbye(session, now))


class _Demand:
    """As many tasks as the test says."""

    low_mark = 0
    tasks = 0

    def want(self, _held: int, _deferred: int, _behind_s: float, /) -> int:
        return self.tasks


class _PassingTime:
    """What the client sleeps in: time passes, and nobody rings."""

    def __init__(self, world: World) -> None:
        self._world = world

    def wait(self, timeout: float | None = None) -> None:
        assert timeout is not None
        self._world.advance(timeout)

    def set(self) -> None:
        """Nobody sleeps while something happens."""

    def clear(self) -> None:
        """Nothing is set."""


def parallel_on(workers: list[SimWorker], world: World, host: str) -> int:
    """Count what is under way on a host, under leases that are not lost."""
    open_tasks = {TaskKey(lease.id, ref) for lease in world.mirror.leases.values() for ref in lease.refs}
    return sum(attempt.host == host and attempt.key in open_tasks for worker in workers for attempt in worker.running)
