"""Kills at random of programs that use named objects, and of their coordinator: one seed is one run of real processes.

    python -m tests.fault.object_torture --runs 200 --out object_torture.jsonl

runs the seeds that the file does not hold yet, adds a line for each, and prints what all lines come to. A program that
is killed is replaced by another one. At the end all must have ended, and what is left must agree with what they were
answered.
"""

from __future__ import annotations

import multiprocessing
import queue
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any

from crawlfleet import Fleet, connect
from crawlfleet.coordinator.crawl_folder import JOIN
from crawlfleet.shared import log
from tests.fault import seeded_runs
from tests.fault.fleet_processes import FleetProcesses, await_that
from tests.fault.object_program import PATIENCE_S, UNITS, run
from tests.fault.seeded_runs import Torture

PROGRAMS = 4
ROUNDS = 60
LEASE_S = 2.0
END_S = 90.0
LOOK_S = 0.5
JOB = f"name: objects\nseeds: []\nlease: {LEASE_S:g}s\n"

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.fault.object_program"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Whom to kill after some seconds: any `program`, the `holder` of the lock, or the `coordinator`, which is away
    for `away_s`.
    """

    victim: str
    after_s: float
    away_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What became of one seed. `met`: how often somebody entered a section that a killed or lost one had left open."""

    seed: int
    program_kills: int
    holder_kills: int
    coordinator_kills: int
    answered: int
    unanswered: int
    met: int
    lost: int
    elapsed_s: float
    problems: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether every promise was kept."""
        return not self.problems


def plan(seed: int) -> list[Kill]:
    """Draw one to five kills."""
    rng = Random(f"kills {seed}")
    return [
        Kill(
            victim=rng.choices(("program", "holder", "coordinator"), (4, 3, 3))[0],
            after_s=rng.uniform(0.0, 0.4),
            away_s=rng.choice((0.0, rng.uniform(0, 0.6))),
        )
        for _ in range(rng.randint(1, 5))
    ]


#: Takes a crawl from the coordinator that has it.
Take = Callable[[], object]


class Torturer:
    """The programs of a run, who is killed and replaced."""

    def __init__(
        self, fleet: FleetProcesses, folder: Path, seed: int, stopped_s: float = 0.0, take: Take | None = None
    ) -> None:
        """A coordinator that is killed is stopped for `stopped_s` before; its crawl is taken instead by `take`."""
        self._stopped_s = stopped_s
        self._take = take
        self._fleet = fleet
        self._folder = folder
        self._rng = Random(f"victims {seed}")
        self._started = 0
        self.kills: Counter[str] = Counter()
        self.killed: set[str] = set()
        self.programs: dict[str, BaseProcess] = {}

    def start(self) -> None:
        """Start one more program."""
        self._started += 1
        name = f"p{self._started}"
        arguments = (self._folder, self._fleet.crawl / JOIN, name, ROUNDS)
        process = _forks.Process(target=run, args=arguments, name=name)
        process.start()
        self.programs[name] = process

    def carry_out(self, kills: Iterable[Kill]) -> None:
        """Kill as planned."""
        for each in kills:
            time.sleep(each.after_s)
            if each.victim == "coordinator":
                self._kill_coordinator(each.away_s)
            else:
                self._kill_program(each.victim)

    def end(self) -> None:
        """Kill whoever still runs."""
        for process in self.programs.values():
            process.kill()
            process.join()

    def _kill_coordinator(self, away_s: float) -> None:
        self.kills["coordinator"] += 1
        if self._take is not None:
            self._take()
            return
        self._fleet.replace_coordinator(away_s, "--wait", stopped_s=self._stopped_s)

    def _kill_program(self, victim: str) -> None:
        alive = [name for name, process in self.programs.items() if process.is_alive()]
        holder = self._holder()
        if not alive:
            return
        name = holder if victim == "holder" and holder in alive else self._rng.choice(alive)
        self.programs[name].kill()
        self.programs[name].join()
        self.killed.add(name)
        self.kills["holder" if name == holder else "program"] += 1
        self.start()

    def _holder(self) -> str:
        """Return who holds the lock, if somebody does."""
        until = time.monotonic() + LOOK_S
        while time.monotonic() < until:
            for name in self.programs:
                words = last_line(self._folder / f"{name}.log")
                if words and words[0] in ("entered", "met"):
                    return name
        return ""


def run_seed(
    seed: int, folder: Path, places: int = 1, stopped_s: float = 0.0, frontier: str = "", take: Take | None = None
) -> Run:
    """Let programs work under the seed's kills; say what came of it.

    A coordinator that is killed is replaced by one at the next of several `places`. Before, it is stopped for
    `stopped_s`. It is not killed if there is a `take`, which takes the crawl from it, in the database of `frontier`.
    """
    began_at = time.monotonic()
    job = folder / "objects.yaml"
    job.write_text(JOB + (f'frontier: "{frontier}"\n' if frontier else ""))
    with FleetProcesses(folder, job, places=places) as fleet:
        fleet.start_coordinator("--wait")
        torturer = Torturer(fleet, folder, seed, stopped_s, take)
        try:
            fleet.token()
            with connect(fleet.crawl / JOIN, PATIENCE_S) as witness:
                witness.Value("sum")
                for _ in range(PROGRAMS):
                    torturer.start()
                torturer.carry_out(plan(seed))
                problems = await_programs(torturer)
                logs = read_logs(folder, torturer.programs)
                problems += check_logs(logs) + check_objects(witness, logs)
            problems += await_coordinator(fleet)
        finally:
            torturer.end()
    words = Counter(line[0] for lines in logs.values() for line in lines)
    tried = sum(count for word, count in words.items() if word.startswith("try-"))
    answered = sum(words[word] for word in ("added", "put", "appended", "set", "sent", "received", "received-nothing"))
    return Run(
        seed=seed,
        program_kills=torturer.kills["program"],
        holder_kills=torturer.kills["holder"],
        coordinator_kills=torturer.kills["coordinator"],
        answered=answered,
        unanswered=tried - answered,
        met=words["met"],
        lost=words["lost"],
        elapsed_s=round(time.monotonic() - began_at, 3),
        problems=tuple(problems),
    )


def await_programs(torturer: Torturer) -> list[str]:
    """Wait for the end of all programs; return what was wrong about it."""
    until = time.monotonic() + END_S
    problems = []
    for name, process in list(torturer.programs.items()):
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            problems.append(f"{name} hangs")
        elif process.exitcode != 0 and name not in torturer.killed:
            problems.append(f"{name} ended with {process.exitcode}")
    return problems


def await_coordinator(fleet: FleetProcesses) -> list[str]:
    """Wait for the end of the coordinator, whose last program has gone."""
    coordinator = fleet.coordinator
    assert coordinator is not None
    try:
        await_that(lambda: coordinator.poll() is not None, END_S, "end of the crawl")
    except AssertionError as error:
        return [str(error)]
    return [] if coordinator.returncode == 0 else [f"the coordinator ended with {coordinator.returncode}"]


Log = list[list[str]]


def read_logs(folder: Path, names: Iterable[str]) -> dict[str, Log]:
    """Read what programs have logged."""
    paths = {name: folder / f"{name}.log" for name in names}
    return {name: _lines(path.read_text()) for name, path in paths.items() if path.exists()}


def last_line(path: Path) -> list[str]:
    """Return the words of the last line of a log."""
    lines = _lines(path.read_text()) if path.exists() else []
    return lines[-1] if lines else []


def check_logs(logs: dict[str, Log]) -> list[str]:
    """Check the fences: each is given once, and whoever was met in the section had lost the lock."""
    problems = [f"{name}: {' '.join(line)}" for name, lines in logs.items() for line in lines if line[0] == "error"]
    entered = {int(line[1]): name for name, lines in logs.items() for line in lines if line[0] == "entered"}
    left = {int(line[1]) for lines in logs.values() for line in lines if line[0] == "left"}
    given = [line[1] for lines in logs.values() for line in lines if line[0] == "entered"]
    if len(given) != len(set(given)):
        problems.append("a fencing number was given twice")
    for name, lines in logs.items():
        own = [int(line[1]) for line in lines if line[0] == "entered"]
        if own != sorted(own):
            problems.append(f"{name} got smaller fencing numbers: {own}")
        for line in lines:
            if line[0] == "met" and (int(line[1]) in left or int(line[1]) >= int(line[2])):
                problems.append(f"{name} met {entered.get(int(line[1]))} in the section: {' '.join(line)}")
            if line[0] == "disturbed" and int(line[1]) in left:
                problems.append(f"{name} was disturbed in the section")
    return problems


def check_objects(fleet: Fleet, logs: dict[str, Log]) -> list[str]:
    """Check that what the objects hold agrees with what programs were answered; finish what they have left."""
    return [
        *_check_lock(fleet, logs),
        *_check_sum(fleet, logs),
        *_check_tasks(fleet, logs),
        *_check_mail(fleet, logs),
        *_check_list(fleet, logs),
        *_check_own(fleet, logs),
    ]


def _check_lock(fleet: Fleet, logs: dict[str, Log]) -> list[str]:
    fence = fleet.Lock("door").acquire(timeout=END_S)
    most = max((int(line[1]) for lines in logs.values() for line in lines if line[0] == "entered"), default=0)
    units = fleet.BoundedSemaphore("units", UNITS)
    with suppress(AssertionError):
        await_that(lambda: units.get_value() == UNITS, END_S, "units")
    problems = [] if fence > most else [f"the lock was given with {fence} after {most}"]
    return problems if units.get_value() == UNITS else [*problems, f"{units.get_value()} units are left"]


def _check_sum(fleet: Fleet, logs: dict[str, Log]) -> list[str]:
    tried, added, total = len(_all(logs, "try-add")), len(_all(logs, "added")), fleet.Value("sum").value
    return [] if added <= total <= tried else [f"{added} of {tried} adds were answered, the sum is {total}"]


def _check_tasks(fleet: Fleet, logs: dict[str, Log]) -> list[str]:
    """Do all tasks that are left, of killed programs too; then each that was put has been done."""
    tasks, done = fleet.JoinableQueue("tasks"), fleet.dict("done")
    with suppress(queue.Empty):
        while True:
            done.setdefault(tasks.get(timeout=LEASE_S + 1.0), "end")
            tasks.task_done()
    tasks.join()
    keys, put, tried = set(done.keys()), _items(logs, "put"), _items(logs, "try-put")
    lost, unknown = put - keys, keys - tried
    return [f"never done: {sorted(lost)}"] * bool(lost) + [f"done but never put: {sorted(unknown)}"] * bool(unknown)


def _check_mail(fleet: Fleet, logs: dict[str, Log]) -> list[str]:
    mail, left = fleet.Queue("mail", 5), []
    with suppress(queue.Empty):
        while True:
            left.append(mail.get_nowait())
    received = [*(line[1] for line in _all(logs, "received")), *left]
    tried_to_receive = len(_all(logs, "try-receive"))
    unheard = tried_to_receive - len(_all(logs, "received")) - len(_all(logs, "received-nothing"))
    missing = _items(logs, "sent") - set(received)
    problems = [f"received twice: {item}" for item, count in Counter(received).items() if count > 1]
    problems += [f"received but never sent: {item}" for item in set(received) - _items(logs, "try-send")]
    return problems + [f"sent, but never received: {sorted(missing)}"] * (len(missing) > unheard)


def _check_list(fleet: Fleet, logs: dict[str, Log]) -> list[str]:
    items = list(fleet.list("list"))
    problems = [f"{item} is in the list {count} times" for item, count in Counter(items).items() if count > 1]
    problems += [f"{item} was appended, and is not in the list" for item in _items(logs, "appended") - set(items)]
    problems += [f"{item} is in the list, unasked" for item in set(items) - _items(logs, "try-append")]
    for name in logs:
        own = [int(item.rpartition("-")[2]) for item in items if item.startswith(f"{name}-")]
        problems += [f"the items of {name} are in the wrong order"] * (own != sorted(own))
    return problems


def _check_own(fleet: Fleet, logs: dict[str, Log]) -> list[str]:
    """The value that a program set last is there, or the one after it, whose answer it did not hear."""
    own, problems = fleet.dict("own").copy(), []
    for name, lines in logs.items():
        known = [line[1] for line in lines if line[0] == "set"][-1:]
        may_be = [line[1] for line in lines if line[0] == "try-set"][-1:]
        value = own.get(name)
        if value not in known + may_be and (known or value is not None):
            problems.append(f"{name} has {value}, and was told {known}, tried {may_be}")
    return problems


def _all(logs: dict[str, Log], word: str) -> list[list[str]]:
    return [line for lines in logs.values() for line in lines if line[0] == word]


def _items(logs: dict[str, Log], word: str) -> set[str]:
    return {line[1] for line in _all(logs, word)}


def _lines(text: str) -> Log:
    return [line.split(" ") for line in text.split("\n")[:-1]]


def totals(runs: Sequence[Run]) -> str:
    """Say what runs come to, in one line."""
    return (
        f"runs {len(runs)}, kills of programs {sum(each.program_kills for each in runs)}, "
        f"of holders {sum(each.holder_kills for each in runs)}, "
        f"of coordinators {sum(each.coordinator_kills for each in runs)}, "
        f"calls answered {sum(each.answered for each in runs)}, not answered {sum(each.unanswered for each in runs)}, "
        f"sections left open {sum(each.met for each in runs)}, locks lost {sum(each.lost for each in runs)}, "
        f"not clean {sum(not each.is_clean for each in runs)}"
    )


def _read(line: dict[str, Any]) -> Run:
    return Run(**{**line, "problems": tuple(line["problems"])})


def main() -> int:
    """Run the seeds that are missing: see `seeded_runs.main`."""
    log.configure(level="error")
    return seeded_runs.main(
        Torture(
            "object_torture",
            "Kill programs and their coordinator at random, and check objects.",
            run_seed,
            _read,
            totals,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
