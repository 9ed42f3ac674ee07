"""`python -m tests.simulation --seeds A:B`: run seeds, go on where an earlier run of them was, tell what failed.

Exit code 1 if a seed failed (its story is printed, the state is kept before it), or if some transition or fault was
rarer than `--least` over the whole run.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

import msgspec
import structlog

from coordinator.core.rows import TaskState
from coordinator.core.transitions import TaskEvent
from tests.simulation.chronicle import Chronicle, Fault
from tests.simulation.simulation import Simulation

SAVED_EVERY = 50
MEMORY = Path("/dev/shm")


class State(msgspec.Struct, kw_only=True):
    """How far a run of seeds has come."""

    first: int
    next: int
    seconds: float = 0.0
    transitions: list[tuple[str | None, str, int]] = []
    faults: dict[str, int] = {}
    figures: dict[str, int] = {}


def main() -> int:
    """Run what the command line asks for."""
    options = _options()
    first, last = options.seeds
    state = _load(options.state, first)
    chronicle = _recall(state)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    for seed in range(state.next, last):
        began_at = time.monotonic()
        failure = run_seed(seed, chronicle)
        if failure:
            print(f"{chronicle.story()}\n{failure}\nseed {seed} failed; once more: --seeds {seed}:{seed + 1}")
            return 1
        state.next = seed + 1
        state.seconds += time.monotonic() - began_at
        if not state.next % SAVED_EVERY or state.next == last:
            _save(options.state, state, chronicle)
    if options.state is not None:
        options.state.unlink(missing_ok=True)  # the same command begins anew
    return _conclude(state, chronicle, options.least)


def run_seed(seed: int, chronicle: Chronicle) -> str:
    """Run one seed; return the traceback of what did not hold, or ``."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        try:
            Simulation(seed, Path(folder), chronicle).run()
        except Exception:  # noqa: BLE001  # whatever it is, it is told with its seed
            return traceback.format_exc()
    return ""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=_range, required=True, metavar="A:B")
    parser.add_argument("--state", type=Path, help="file to keep the progress in")
    parser.add_argument("--least", type=int, default=0, help="how often each transition and fault must have been")
    return parser.parse_args()


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.rpartition(":")
    return int(first or 0), int(last)


def _load(path: Path | None, first: int) -> State:
    if path is not None and path.exists():
        state = msgspec.json.decode(path.read_bytes(), type=State)
        if state.first == first:
            return state
    return State(first=first, next=first)


def _recall(state: State) -> Chronicle:
    chronicle = Chronicle()
    for before, event, number in state.transitions:
        chronicle.transitions[TaskState(before) if before else None, TaskEvent(event)] = number
    chronicle.faults.update({Fault(fault): number for fault, number in state.faults.items()})
    chronicle.figures.update(state.figures)
    return chronicle


def _save(path: Path | None, state: State, chronicle: Chronicle) -> None:
    if path is None:
        return
    state.transitions = [(*key, number) for key, number in chronicle.transitions.items()]
    state.faults = {str(fault): number for fault, number in chronicle.faults.items()}
    state.figures = dict(chronicle.figures)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_bytes(msgspec.json.encode(state))
    draft.replace(path)


def _conclude(state: State, chronicle: Chronicle, least: int) -> int:
    figures = ", ".join(f"{number:,} {name}" for name, number in sorted(chronicle.figures.items()))
    seeds = state.next - state.first
    print(f"{seeds:,} seeds held in {state.seconds:,.0f} s: {chronicle.faults.total():,} faults, {figures}")
    rare = chronicle.too_rare(least)
    for line in rare:
        print(f"fewer than {least} times: {line}")
    return 1 if rare else 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of what a seed must repeat
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
