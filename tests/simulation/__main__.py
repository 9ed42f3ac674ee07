"""`python -m tests.simulation --seeds A:B`: run seeds, go on where an earlier run of them was, tell what failed.

Exit code 1 if a seed failed (its story is printed, and the next run begins with it), or if some transition or fault was
rarer than `--least` over the whole run.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path

import msgspec
import structlog

from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.rows import TaskState
from tests.simulation.chronicle import Chronicle, Fault
from tests.simulation.file_keeper import FileKeeper
from tests.simulation.keepers import SQLITE, Keeper
from tests.simulation.postgresql_keeper import PostgresqlKeeper, served
from tests.simulation.simulation import Simulation

PER_RUN = 10
MEMORY = Path("/dev/shm")


class Tally(msgspec.Struct, kw_only=True):
    """What seeds came to. `failure` is the story of the one that failed, and `failed` its number."""

    seeds: int = 0
    seconds: float = 0.0
    transitions: list[tuple[str | None, str, int]] = []
    faults: dict[str, int] = {}
    figures: dict[str, int] = {}
    failed: int = -1
    failure: str = ""


class State(msgspec.Struct, kw_only=True):
    """How far the runs over a range of seeds have come: which of them, by their first seed, are done."""

    first: int
    done: list[int] = []
    tally: Tally


def main() -> int:
    """Run what the command line asks for."""
    options = _options()
    first, last = options.seeds
    state = _load(options.state, first)
    chronicle = _recall(state.tally)
    done = set(state.done)
    runs = [(start, min(start + PER_RUN, last)) for start in range(first, last, PER_RUN) if start not in done]
    with served(options.store) as address:
        for (start, _), tally in _run_all(runs, address, options.processes):
            if tally.failure:
                print(f"{tally.failure}\nseed {tally.failed} failed; once more: {_again(tally.failed, options.store)}")
                return 1
            state.done.append(start)
            _add(chronicle, tally)
            state.tally = _note(chronicle, state.tally.seeds + tally.seeds, state.tally.seconds + tally.seconds)
            _save(options.state, state)
    if options.state is not None:
        options.state.unlink(missing_ok=True)  # the same command begins anew
    return _conclude(state.tally, chronicle, options.least)


def run_seeds(first: int, last: int, address: str) -> Tally:
    """Run seeds until one fails; return what they came to."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    chronicle = Chronicle()
    began_at = time.process_time()
    for seed in range(first, last):
        failure = run_seed(seed, address, chronicle)
        if failure:
            return Tally(failed=seed, failure=f"{chronicle.story()}\n{failure}")
    return _note(chronicle, last - first, time.process_time() - began_at)


def run_seed(seed: int, address: str, chronicle: Chronicle) -> str:
    """Run one seed; return the traceback of what did not hold; empty if all held."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        try:
            with closing(_keeper(address)) as keeper:
                Simulation(seed, Path(folder), keeper, chronicle).run()
        except Exception:  # noqa: BLE001  # any error is reported with its seed
            return traceback.format_exc()
    return ""


def _keeper(address: str) -> Keeper:
    """Return what keeps the crawl of a seed. Each process has a schema of its own."""
    return PostgresqlKeeper(address, f"simulated {os.getpid()}") if address else FileKeeper()


def _again(seed: int, store: str) -> str:
    return f"--seeds {seed}:{seed + 1}" + (f" --store {store}" if store != SQLITE else "")


def _run_all(runs: list[tuple[int, int]], address: str, processes: int) -> Iterator[tuple[tuple[int, int], Tally]]:
    """Yield each run as it is done; the first that fails is the last."""
    if processes < 2:
        yield from ((run, run_seeds(*run, address)) for run in runs)
        return
    with ProcessPoolExecutor(processes) as pool:
        pending: dict[Future[Tally], tuple[int, int]] = {pool.submit(run_seeds, *run, address): run for run in runs}
        try:
            for future in as_completed(pending):
                yield pending.pop(future), future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=_range, required=True, metavar="A:B")
    parser.add_argument(
        "--store",
        default=SQLITE,
        help="sqlite, postgresql (by a server that is started for it), or a database's address",
    )
    parser.add_argument("--state", type=Path, help="file to keep the progress in")
    parser.add_argument("--least", type=int, default=0, help="how often each transition and fault must have been")
    parser.add_argument("--processes", type=int, default=1, help="how many seeds run at the same time")
    return parser.parse_args()


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.rpartition(":")
    return int(first or 0), int(last)


def _load(path: Path | None, first: int) -> State:
    if path is not None and path.exists():
        state = msgspec.json.decode(path.read_bytes(), type=State)
        if state.first == first:
            return state
    return State(first=first, tally=Tally())


def _recall(tally: Tally) -> Chronicle:
    chronicle = Chronicle()
    _add(chronicle, tally)
    return chronicle


def _add(chronicle: Chronicle, tally: Tally) -> None:
    for before, event, number in tally.transitions:
        chronicle.transitions[TaskState(before) if before else None, TaskEvent(event)] += number
    chronicle.faults.update({Fault(fault): number for fault, number in tally.faults.items()})
    chronicle.figures.update(tally.figures)


def _note(chronicle: Chronicle, seeds: int, seconds: float) -> Tally:
    return Tally(
        seeds=seeds,
        seconds=seconds,
        transitions=[(*key, number) for key, number in chronicle.transitions.items()],
        faults={str(fault): number for fault, number in chronicle.faults.items()},
        figures=dict(chronicle.figures),
    )


def _save(path: Path | None, state: State) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_bytes(msgspec.json.encode(state))
    draft.replace(path)


def _conclude(tally: Tally, chronicle: Chronicle, least: int) -> int:
    figures = ", ".join(f"{number:,} {name}" for name, number in sorted(chronicle.figures.items()))
    summary = f"{chronicle.faults.total():,} faults, {figures}"
    print(f"{tally.seeds:,} seeds held in {tally.seconds:,.0f} s of one core: {summary}")
    rare = chronicle.too_rare(least)
    for line in rare:
        print(f"fewer than {least} times: {line}")
    for line in chronicle.rarest(5):
        print(f"rarest: {line}")
    return 1 if rare else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of what a seed must repeat
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
