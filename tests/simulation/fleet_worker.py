"""A worker of a simulation: the real conversation of a worker, in virtual time, over a network that fails.

Its control thread is a `SimThread` that runs the real `Client`; what fetches and parses is the timeline itself.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Protocol
from zlib import crc32

import msgspec
from msgspec.structs import replace

from crawlfleet.shared.errors import Unreachable
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
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.links import pack
from crawlfleet.worker.fitting import fit, in_pieces
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.talk.client import Client
from crawlfleet.worker.talk.demand import FetchDemand
from crawlfleet.worker.talk.outbox import Delivery
from crawlfleet.worker.talk.session import Session
from tests.property.crawl_site import lie, misfortune
from tests.simulation.aims import ALL_MISHAPS
from tests.simulation.chronicle import Chronicle, Fault
from tests.simulation.machine import Machine
from tests.simulation.sim_thread import SimBell, SimThread
from tests.simulation.timeline import Timeline

THREADS = 4
MAX_REPORT_BYTES = 1_000_000
# Of pages that are to be too large for one message.
PART_BYTES = 2_000
LINKS_PER_RUN = 2
# What goes wrong with the request, not with what a page has.
OF_CHECKS = ("refused", "missing", "busy", "too many", "unasked 304")
DEMAND = FetchDemand(base=2 * THREADS, most=2 * THREADS, low_mark=2 * THREADS)
PATIENCE_S = (1.0, 4.0)
LAG_S = (0.0, 0.8)
LATE_PAGE = "/p1"
LATE_S = 20.0


class Send(Protocol):
    """Sends a call to the coordinator; the answer, if it ever comes, is given to `then`."""

    def __call__(self, session: str, call: Callable[[float], Any], then: Callable[[Any], None]) -> None: ...


class FleetWorker:
    """One session. `mishaps` is the chance that an attempt goes wrong, by one of `kinds`, or that its report lies;
    a fetch takes one of `paces_s`."""

    def __init__(
        self,
        session: str,
        machine: Machine,
        send: Send,
        timeline: Timeline,
        random: Random,
        chronicle: Chronicle,
        replaces: str = "",
        began: tuple[TaskKey, ...] = (),
        ended: tuple[Report, ...] = (),
    ) -> None:
        self.session = session
        self.mishaps = 0.0
        self.kinds = ALL_MISHAPS
        self.paces_s: tuple[float, ...] = (1.0,)
        self.is_alive = True
        self.running: list[Attempt] = []
        self.starts: set[TaskKey] = set()
        self._stopped_until = 0.0
        self._look_number = 0
        self._machine = machine
        self._timeline = timeline
        self._random = random
        self._chronicle = chronicle
        bell = SimBell(timeline, lambda: random.uniform(*LAG_S))
        self._control = bell.thread = SimThread(timeline, self._converse)
        self._way = _Way(self._control, session, machine, send, timeline, random)
        hello = Hello(session=session, replaces=replaces, began=began, ended=ended)
        self._parts = Session(lambda: self._way, hello, clock=lambda: timeline.now, bell=bell, chance=random.random)
        self._parts.agenda.listen(lambda: self._look_after(random.uniform(*LAG_S)))

    @property
    def holds_suspect(self) -> bool:
        """Whether this worker has a task that was granted alone."""
        return any(lease.alone for lease in self._machine.mirror.leases.values() if lease.session == self.session)

    @property
    def heavy(self) -> list[Attempt]:
        """The running attempts whose page may reach a limit."""
        return [attempt for attempt in self.running if attempt.task.kind not in (Kind.ROBOTS, Kind.CHECK)]

    @property
    def has_left(self) -> bool:
        """Whether it has said goodbye, since its drain was complete or the crawl over."""
        return self._control.is_over

    def die(self) -> None:
        """Be gone."""
        self.is_alive = False
        self._control.end()

    def stop_for(self, seconds: float) -> None:
        """Do nothing for a while, as after SIGSTOP."""
        self._stopped_until = self._timeline.now + seconds
        self._control.stop_until(self._stopped_until)

    def drain(self) -> None:
        """Drop what has not started, and take nothing new."""
        self._parts.orders.drain()

    def _converse(self) -> None:
        """Be the control thread."""
        welcome = self._parts.join()
        if welcome is not None:
            Client(self._parts, welcome, DEMAND).run()

    def _look_after(self, seconds: float) -> None:
        """Start what may start, after a while."""
        self._look_number += 1
        number = self._look_number
        self._timeline.after(seconds, lambda: self._look(number))

    def _look(self, number: int) -> None:
        if not self.is_alive or number != self._look_number:
            return
        pause_s = self._stopped_until - self._timeline.now
        if pause_s > 0:
            self._look_after(pause_s)
            return
        next_in_s = None
        while self.is_alive and len(self.running) < THREADS:
            attempts, next_in_s = self._parts.agenda.start_ready(1)
            if not attempts:
                break
            self._start(attempts[0])
        if next_in_s is not None:
            self._look_after(next_in_s)

    def _start(self, attempt: Attempt) -> None:
        self._chronicle.tell(self._timeline.now, f"{self.session} starts {attempt.task.url} lease {attempt.lease_id}")
        assert attempt.key not in self.starts or self._machine.lost_by_power, "started twice under one lease"
        self.starts.add(attempt.key)
        self._machine.begun(self.session, attempt, self._way.spacings[attempt.host])
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
        pause_s = self._stopped_until - self._timeline.now
        if pause_s > 0:
            self._timeline.after(pause_s, lambda: self._finish(attempt))
            return
        self.running.remove(attempt)
        if self.mishaps and not self.holds_suspect and _finds_no_room(attempt):
            self._chronicle.fault(self._timeline.now, Fault.NO_ROOM, attempt.task.url)
            self._parts.agenda.give_back(attempt, broken_off_at=1_000_000)
            self._look_after(0.0)
            return
        self._parts.agenda.done(attempt)
        report = _with_first_answer(self._report(attempt), attempt)
        ahead = self._machine.site.ahead(report, attempt.task)
        whole = fit(attempt, report, MAX_REPORT_BYTES).report
        if _is_large(whole, attempt):
            links = replace(whole, outlinks=(), kept=pack(report.outlinks, LINKS_PER_RUN))
            delivery = in_pieces(attempt, links, PART_BYTES)
        else:
            delivery = Delivery(attempt=attempt, report=whole, wire_bytes=100, ahead=ahead)
        self._parts.outbox.put(delivery)
        self._look_after(0.0)

    def _report(self, attempt: Attempt) -> Report:
        report = self._machine.site.answer(attempt.lease_id, attempt.task)
        kind = self._random.choice(self.kinds)
        if attempt.task.kind is Kind.CHECK and kind not in OF_CHECKS:
            kind = "missing"
        is_safe = attempt.task.url.endswith(LATE_PAGE)
        if not is_safe and self._random.random() < self.mishaps and report.outcome is not Outcome.REDIRECTED:
            return misfortune(kind, report)
        if report.outcome is not Outcome.FETCHED or attempt.task.kind is not Kind.PAGE:
            return report
        if self.mishaps and not is_safe and _finds_disk_full(report):
            return msgspec.structs.replace(misfortune("bad hook", report), reason=Reason.HOOK_DISK)
        if self._random.random() < self.mishaps:
            self._chronicle.fault(self._timeline.now, Fault.LINKS_FORGED, attempt.task.url)
            report = lie(report)
        return msgspec.structs.replace(report, rows=_rows(attempt.task.url))


class _Way:
    """The way to the coordinator, which is a `Coordinator`: a call fails if its answer does not come in time.

    `spacings` are those of the hosts, as they were granted last.
    """

    def __init__(
        self, control: SimThread, session: str, machine: Machine, send: Send, timeline: Timeline, random: Random
    ) -> None:
        self.spacings: dict[str, float] = {}
        self._control = control
        self._session = session
        self._machine = machine
        self._send = send
        self._timeline = timeline
        self._random = random

    def hello(self, hello: Hello) -> Welcome:
        welcome = self._call(self._machine.greet(hello))
        assert isinstance(welcome, Welcome)
        return welcome

    def exchange(self, request: ExchangeRequest) -> ExchangeAnswer:
        answer = self._call(self._machine.exchange_call(request))
        assert isinstance(answer, ExchangeAnswer)
        self.spacings.update((lease.host, lease.spacing_s) for lease in answer.leases)
        return answer

    def goodbye(self, session: str) -> None:
        def call(now: float) -> str:
            self._machine.service.goodbye(session, now)
            return session

        self._call(call)

    def _call(self, call: Callable[[float], Any]) -> Any:
        def begin(resume: Callable[[Any], None]) -> None:
            self._send(self._session, call, resume)
            self._timeline.after(self._random.uniform(*PATIENCE_S), lambda: resume(None))

        answer = self._control.wait(begin)
        if answer is None:
            raise Unreachable("no answer came in time")
        return answer


def report_of_end(attempt: Attempt, reason: str, age_s: float) -> Report:
    """Return what a node tells of a page that ended its worker."""
    lease, ref = attempt.key
    outcome = Outcome.EXTRACT_ERROR
    return Report(lease=lease, ref=ref, outcome=outcome, reason=reason, age_s=age_s, gap_s=attempt.gap_s)


def _with_first_answer(report: Report, attempt: Attempt) -> Report:
    """Return a report with the addresses of the host's name, other ones in most reports: this takes nothing from the
    chance of a seed."""
    if not attempt.task.first:
        return report
    number = crc32(report.ref + report.lease.to_bytes(8, "big")) % 3
    return replace(report, first_addresses=(f"10.0.0.{number}",) if number else ())


def _is_large(report: Report, attempt: Attempt) -> bool:
    """Say whether a page's report goes in parts: this takes nothing from the chance of a seed."""
    is_page = attempt.task.kind is Kind.PAGE and report.outcome in (Outcome.FETCHED, Outcome.EXTRACT_ERROR)
    return is_page and crc32(report.lease.to_bytes(8, "big") + report.ref) % 2 == 0


def _finds_no_room(attempt: Attempt) -> bool:
    """Say whether the body of an attempt is broken off: this takes nothing from the chance of a seed."""
    is_safe = attempt.task.url.endswith(LATE_PAGE)
    return not is_safe and crc32(attempt.task.ref + attempt.lease_id.to_bytes(8, "big")) % 16 == 1


def _finds_disk_full(report: Report) -> bool:
    """Say whether the hook of an attempt finds a disk full: this takes nothing from the chance of a seed."""
    return crc32(report.ref + report.lease.to_bytes(8, "big")) % 8 == 0


def _rows(url: str) -> tuple[Row, ...]:
    number = int(url.rpartition("/p")[2])
    fields = {"n": number, "text": "x" * 1_500 * number}
    return tuple(Row(item="page", index=index, fields=fields) for index in range((number + 1) % 3))
