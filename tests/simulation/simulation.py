"""One seed: a site, a policy, a fleet and its misfortunes, all drawn from one number and judged as it goes.

The invariants are those of `tests.property.crawl_model` and, over many incarnations of the coordinator:

    what was acked is committed, and what was committed is there again (`Machine.open`)
    starts on a host keep their distance, whoever made them and whatever died between them (`Machine.started`)
    a task is started at most once for each grant of it
    the crawl ends within `PATIENCE_S` of the last fault; then `verify` finds nothing, and what was fetched is the truth
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from random import Random

from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.coordinator.offline.audit import audit
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.shared.messages import ExchangeRequest, Kind, Outcome, Report
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.lanes import Attempt
from tests.property.crawl_model import TOLERANCE_S, copy_of, invariants, verdict
from tests.property.crawl_site import HOSTS, Site
from tests.simulation.aims import draw_aim
from tests.simulation.askers import Askers, AskingDraw
from tests.simulation.chronicle import Chronicle, Fault
from tests.simulation.drawing import (
    LEASE_S,
    draw_ahead,
    draw_external,
    draw_lines,
    draw_policy,
    draw_settings,
    draw_site,
    draw_unit,
)
from tests.simulation.fleet_worker import LATE_PAGE, FleetWorker, report_of_end
from tests.simulation.keepers import Keeper
from tests.simulation.lines import Lines
from tests.simulation.machine import Machine
from tests.simulation.network import Network
from tests.simulation.slow_commits import Fates
from tests.simulation.timeline import Timeline

PATIENCE_S = 3_000.0
LOOKED_EVERY = 8
LATE_MISHAPS = 0.8
STOPPED_OWNERS = 0.008
SPOILT = (Fault.SINK_LENGTHENED, Fault.SINK_TRUNCATED, Fault.SINK_MARK_LOST)


class Simulation:
    """A seed, ready to run."""

    def __init__(self, seed: int, folder: Path, keeper: Keeper, chronicle: Chronicle) -> None:
        self._random = random = Random(seed)
        self._chronicle = chronicle
        asking = AskingDraw(seed, *draw_aim(random))
        self._aim = asking.aim
        chronicle.begin(f"seed {seed}, out for {asking.name}")
        self._timeline = Timeline()
        site, policy = draw_site(random, self._aim), draw_policy(random, self._aim)
        policy = draw_unit(seed, policy)
        if asking.checks_links:
            site, policy = draw_external(seed, site, policy)
        else:
            site = draw_lines(seed, site)
        chronicle.tell(0.0, f"{site}\n{policy}")
        self._fates = Fates(seed, is_elsewhere=keeper.is_elsewhere)
        settings = draw_ahead(seed, draw_settings(random, self._aim))._replace(fates=self._fates)
        settings = settings._replace(power=settings.power or keeper.is_elsewhere)
        self._machine = Machine(folder, keeper, site, policy, settings, self._timeline, chronicle)
        self._network = Network(random, self._timeline, chronicle, trouble=random.choice([0.0, 0.02, 0.1]))
        self._names = (f"s{number}" for number in count(1))
        self._mishaps = random.choice(self._aim.mishaps)
        self._workers: list[FleetWorker] = []
        self._dead: list[FleetWorker] = []
        self._lines = Lines(self._machine, self._network)
        self._staff = random.choice(self._aim.staff)
        self._pause_s = random.choice([0.5, 1.0, 2.0, 4.0])
        self._is_faulty = True
        self._awaited: Callable[[Attempt], bool] | None = None
        self._awaited_number = 1
        self._looked_at = -1
        self._quiet_until = 0.0
        self._menu = self._choose_menu()
        self._askers = Askers(asking, self._machine, self._lines, self._network, self._timeline, chronicle, self._aim)
        self._steps = 0
        # Of its own, so that the rest of a seed is what it was before there were limits.
        self._limits = Random(f"limits of {seed}")
        self._owners = Random(f"owners of {seed}")

    def run(self) -> None:
        """Run it to its end; raise whatever does not hold."""
        for _ in range(self._staff):
            self._join()
        self._turn_loop()
        self._follow()
        until = self._random.uniform(self._aim.lasts_s / 4, self._aim.lasts_s)
        self._timeline.after(self._random.uniform(0, 3), self._misfortune)
        while self._timeline.now < until and not self._is_over:
            self._step()
        self._recover()
        while not self._is_over:
            assert self._timeline.now < until + PATIENCE_S, "the crawl does not end"
            self._step()
        self._judge()
        for worker in self._workers:
            worker.die()

    @property
    def _is_over(self) -> bool:
        return self._machine.is_up and self._machine.finished and self._machine.outgoing.is_clean

    def _step(self) -> None:
        self._timeline.step()
        self._steps += 1
        if self._awaited is not None and self._machine.is_up and self._is_worth_waiting(self._awaited):
            self._cut_off_all()
        if self._machine.is_up and not self._steps % LOOKED_EVERY:
            self._look()

    def _is_worth_waiting(self, awaited: Callable[[Attempt], bool]) -> bool:
        return sum(map(awaited, self._running())) >= self._awaited_number

    def _look(self) -> None:
        if self._machine.store.is_clean and self._looked_at != self._machine.outgoing.changes:
            self._looked_at = self._machine.outgoing.changes
            invariants(self._machine)
        self._check_parallel()

    def _check_parallel(self) -> None:
        machine = self._machine
        if self._timeline.now < machine.amnesia_until:
            return
        open_tasks = {(lease.id, ref) for lease in machine.mirror.leases.values() for ref in lease.refs}
        for host in HOSTS:
            under_way = sum(
                attempt.host == host and (attempt.lease_id, attempt.task.ref) in open_tasks
                for attempt in self._running()
            )
            assert under_way <= machine.policy.politeness.per_host, f"{under_way} at once on {host}"

    # The fleet

    def _join(self, replaced: FleetWorker | None = None) -> None:
        replaces, began = (replaced.session, tuple(replaced.starts)) if replaced is not None else ("", ())
        ended = self._ended(replaced) if replaced is not None and not replaced.holds_suspect else ()
        worker = FleetWorker(
            next(self._names),
            self._machine,
            self._lines.send,
            self._timeline,
            self._random,
            self._chronicle,
            replaces,
            () if ended else began,
            ended,
        )
        worker.mishaps, worker.kinds, worker.paces_s = self._mishaps, self._aim.kinds, self._aim.paces_s
        self._workers.append(worker)

    def _ended(self, dead: FleetWorker) -> tuple[Report, ...]:
        """Return what a node tells of a page that ended its worker: nothing, if one is to have killed it."""
        tasks = dead.heavy
        if not tasks or any(self._machine.site.is_deadly(attempt.task) for attempt in dead.running):
            return ()
        attempt = self._limits.choice(tasks)
        has_limit = self._limits.random() < 0.7
        self._fault(Fault.WORKER_ENDED_BY_LIMIT if has_limit else Fault.WORKER_OUT_OF_MEMORY, attempt.task.url)
        reason = Reason.CPU_LIMIT if has_limit else "out_of_memory"
        age_s = self._timeline.now - attempt.started_at
        return (report_of_end(attempt, reason, age_s),)

    def _turn_loop(self) -> None:
        self._machine.serve(self._lines.take())
        if self._fates.is_slow:
            self._lines.look()
        if not self._machine.is_up:
            self._lines.take()
            self._restart_later()
        else:
            self._timeline.after(self._random.choice([0.01, 0.1, 0.3]), self._turn_loop)

    def _follow(self) -> None:
        self._machine.follow()
        self._timeline.after(self._random.uniform(0.05, 1.0), self._follow)

    def _bury(self) -> None:
        for worker in [worker for worker in self._workers if not worker.is_alive]:
            self._workers.remove(worker)
            self._dead.append(worker)
        self._workers = [worker for worker in self._workers if not worker.has_left]

    # The faults

    def _misfortune(self) -> None:
        """Let something go wrong, and plan the next."""
        if not self._is_faulty:
            return
        self._bury()
        if len(self._workers) < self._staff:
            self._replenish()
        if self._timeline.now >= self._quiet_until and self._machine.is_up:
            self._random.choice(self._menu)()
            self._end_by_limit()
            self._stop_owner()
        self._timeline.after(self._random.uniform(0.0, 2 * self._pause_s), self._misfortune)

    def _choose_menu(self) -> list[Callable[[], None]]:
        """Return this seed's misfortunes, while the coordinator is up: those of its aim, or some of all."""
        cuts = [self._cut_power] * 3 if self._machine.settings.cuts else []
        fleet = [self._kill, self._stop, self._partition, self._resend, self._forge, self._drain, self._lie_in_wait]
        process = [self._crash, self._light_fuse, self._light_sink_fuse, self._stop_cleanly]
        files = [self._fill_disk, self._checkpoint, self._spoil_sink, self._fill_sink_disk]
        everything = [*fleet, *process, *files, *cuts]
        chosen = [getattr(self, f"_{name}") for name in self._aim.menu]
        return chosen or self._random.sample(everything, self._random.randint(2, 6))

    def _replenish(self) -> None:
        replaced = self._dead.pop() if self._dead and self._random.random() < 0.5 else None
        if replaced is not None:
            self._fault(Fault.WORKER_REPLACED, replaced.session)
        self._join(replaced)

    def _kill(self) -> None:
        worker = self._anyone()
        if not worker.holds_suspect:
            self._fault(Fault.WORKER_KILLED, worker.session)
            worker.die()
            self._bury()

    def _end_by_limit(self) -> None:
        """Let a page end its worker, now and then: the next one says so."""
        heavy = [worker for worker in self._workers if worker.heavy and not worker.holds_suspect]
        if heavy and self._limits.random() < 0.05:
            worker = self._limits.choice(heavy)
            worker.die()
            self._bury()
            self._dead.remove(worker)
            self._join(worker)

    def _stop_owner(self) -> None:
        """Let the coordinator be continued, now and then, after another one has taken its crawl."""
        if self._machine.is_up and self._owners.random() < STOPPED_OWNERS:
            self._machine.lose_unnoticed()
            self._lines.look()

    def _stop(self) -> None:
        worker = self._anyone()
        if not worker.holds_suspect:
            self._fault(Fault.WORKER_STOPPED, worker.session)
            worker.stop_for(LEASE_S * self._random.uniform(1.0, 2.0))

    def _partition(self) -> None:
        worker = self._anyone()
        if not worker.holds_suspect:
            self._fault(Fault.PARTITION, worker.session)
            self._network.cut_off(worker.session, LEASE_S * self._random.uniform(1.0, 1.6))

    def _lie_in_wait(self) -> None:
        """Cut the fleet off as soon as it has something to report, and let alone what comes of it."""
        moved = _is_moved(self._machine.site)
        choices = {"page": _is_page, "moved page": moved, "robots": _is_robots, "sitemap": _is_sitemap}
        self._awaited = choices[self._random.choice(self._aim.awaited)]
        self._awaited_number = self._random.choice([1, 2, 3]) if self._awaited is _is_page else 1

    def _cut_off_all(self) -> None:
        """Let all reports of the fleet come late."""
        self._awaited = None
        self._quiet_until = self._timeline.now + LEASE_S + 4.0
        for worker in self._workers:
            self._fault(Fault.PARTITION, worker.session)
            self._network.cut_off(worker.session, LEASE_S + 0.5)
            worker.mishaps, worker.kinds = LATE_MISHAPS, self._aim.late

    def _running(self) -> Iterator[Attempt]:
        return (attempt for worker in self._workers for attempt in worker.running)

    def _drain(self) -> None:
        if len(self._workers) > 1:
            worker = self._anyone()
            self._fault(Fault.WORKER_DRAINED, worker.session)
            worker.drain()

    def _resend(self) -> None:
        if self._machine.accepted:
            old = self._random.choice(self._machine.accepted)
            self._fault(Fault.OLD_REPORT_RESENT)
            self._tell(copy_of(old, 1.0))

    def _forge(self) -> None:
        """Report a task under no lease, or under one of somebody else."""
        machine = self._machine
        tasks = list(machine.mirror.tasks.values())
        poisonous = [task for task in tasks if task.reason == "poison"]
        task = self._random.choice(poisonous or tasks)
        session = self._anyone().session
        lease = machine.mirror.leases.get(task.lease)
        if lease is None or lease.session != session:
            self._fault(Fault.REPORT_FORGED, task.url)
            number = task.lease if lease is not None or task.state is TaskState.FAILED else 0
            self._tell(Report(lease=number, ref=task.ref, outcome=Outcome.FETCHED, status=200), session)

    def _tell(self, report: Report, session: str = "") -> None:
        request = ExchangeRequest(session=session or self._anyone().session, reports=(report,))
        self._lines.waiting.append((self._machine.exchange_call(request), Future()))

    def _crash(self) -> None:
        self._machine.crash(Fault.CRASH_IDLE)

    def _light_fuse(self) -> None:
        points = [Fault.CRASH_BEFORE_APPLY, Fault.CRASH_AFTER_APPLY, Fault.CRASH_BEFORE_COMMIT]
        points += [Fault.CRASH_AFTER_COMMIT]
        if self._machine.settings.inline_bytes:
            points += [Fault.CRASH_AHEAD] * 5  # few commits have rows that go ahead
        point, passes = self._random.choice(points), self._random.randint(1, 6)
        self._machine.fuse.set(point, 1 if point is Fault.CRASH_AHEAD else passes)

    def _light_sink_fuse(self) -> None:
        # The last of a seed's marks may follow no other: what is after one is rarer than what is before.
        points = [Fault.SINK_CRASH_BEFORE_MARK, *[Fault.SINK_CRASH_AFTER_MARK] * 3]
        self._machine.fuse.set(self._random.choice(points), 1)

    def _stop_cleanly(self) -> None:
        self._fault(Fault.CLEAN_STOP)
        self._machine.stop()

    def _fill_disk(self) -> None:
        self._machine.fill_disk(self._random.choice([0, 0, 0, 1]))

    def _fill_sink_disk(self) -> None:
        self._machine.fill_sink_disk()

    def _checkpoint(self) -> None:
        if self._machine.store.is_clean:
            self._fault(Fault.CHECKPOINT)
            self._machine.checkpoint()

    def _spoil_sink(self) -> None:
        self._machine.spoil_sink(self._random.choice(SPOILT), self._random)

    def _cut_power(self) -> None:
        self._machine.cut_power(self._random)

    def _restart_later(self) -> None:
        if self._is_faulty and self._random.random() < 0.3:
            self._set_clock()
        pause_s = self._random.choice([0.1, 0.3, 1.0, 3.0, LEASE_S + 1])
        self._timeline.after(pause_s, self._restart)

    def _set_clock(self) -> None:
        fault = self._random.choice([Fault.CLOCK_FORWARD, Fault.CLOCK_BACK])
        self._fault(fault)
        self._machine.clocks.wall_ahead += self._random.choice([5.0, 3_600.0]) * (
            1 if fault is Fault.CLOCK_FORWARD else -1
        )

    def _restart(self) -> None:
        self._lines.take()
        self._machine.open()
        self._turn_loop()

    def _recover(self) -> None:
        """End all faults; leave a healthy fleet."""
        self._is_faulty, self._awaited = False, None
        self._askers.calm()
        self._fates.calm()
        self._mishaps = 0.0
        self._network.heal()
        self._machine.fuse.clear()
        if self._machine.is_up:
            self._machine.make_room()
        self._bury()
        while len(self._workers) < 2:
            self._join()
        self._timeline.after(LEASE_S, self._keep_staffed)
        for worker in self._workers:
            worker.mishaps = 0.0

    def _keep_staffed(self) -> None:
        self._bury()
        while len(self._workers) < 2:
            self._join()
        self._timeline.after(LEASE_S / 4, self._keep_staffed)

    def _anyone(self) -> FleetWorker:
        return self._random.choice(self._workers)

    def _fault(self, fault: Fault, detail: str = "") -> None:
        self._chronicle.fault(self._timeline.now, fault, detail)

    # The end

    def _judge(self) -> None:
        machine = self._machine
        invariants(machine)
        verdict(machine)
        self._askers.judge()
        self._check_fetches()
        machine.follow()
        machine.stop()
        proof = verify(machine.folder)
        assert proof.holds, [(found.name, found.where) for found in proof.invariants if found.broken]
        assert proof.unfinished == 0
        self._check_audit()
        self._chronicle.figures["fetches"] += machine.fetches.total()
        self._chronicle.figures["results"] += len(machine.mirror.results)
        self._chronicle.figures["incarnations"] += machine.incarnations
        self._chronicle.figures["steps"] += self._steps

    def _check_audit(self) -> None:
        """What the log says of politeness is what the senders did, unless crawl time jumped or commits were lost."""
        if self._machine.crawl_ahead < TOLERANCE_S and not self._machine.lost_by_power:
            found = audit(self._machine.folder)
            assert found.holds, found
            self._chronicle.figures["audited starts"] += sum(host.starts for host in found.hosts)

    def _check_fetches(self) -> None:
        """No task was started more often than it was granted, unless what was known of its grants was lost."""
        if self._machine.lost_by_power:
            return
        for ref, number in self._machine.fetches.items():
            granted = self._machine.events[ref, TaskEvent.GRANTED]
            assert number <= granted, f"started {number} times, granted {granted} times"


def _is_page(attempt: Attempt) -> bool:
    return attempt.task.kind is Kind.PAGE and not attempt.task.url.endswith(LATE_PAGE)


def _is_robots(attempt: Attempt) -> bool:
    return attempt.task.kind is Kind.ROBOTS


def _is_sitemap(attempt: Attempt) -> bool:
    return attempt.task.kind is Kind.SITEMAP


def _is_moved(site: Site) -> Callable[[Attempt], bool]:
    return lambda attempt: _is_page(attempt) and site.page(attempt.task.url).moved_to is not None
