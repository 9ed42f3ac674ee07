"""Runs of real processes by seeds: some at once, each with a line in a file, so that a command goes on where it was."""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar


class SeededRun(Protocol):
    """What became of one seed: a dataclass whose fields can be written as JSON."""

    @property
    def seed(self) -> int: ...
    @property
    def is_clean(self) -> bool: ...


R = TypeVar("R", bound=SeededRun)


class Torture(NamedTuple):
    """A kind of runs: how one is carried out in a folder, read from a file, and summed up in one line."""

    name: str
    what: str
    run_seed: Callable[[int, Path], Any]
    read: Callable[[dict[str, Any]], Any]
    totals: Callable[[Sequence[Any]], str]


def run_many(run_seed: Callable[[int, Path], R], seeds: Iterable[int], root: Path, at_once: int) -> Iterator[R]:
    """Run seeds, some at once; yield each as it ends. The folder of a run that is not clean is kept."""

    def one(seed: int) -> R:
        folder = Path(tempfile.mkdtemp(prefix=f"seed-{seed}-", dir=root))
        done = run_seed(seed, folder)
        if done.is_clean:
            shutil.rmtree(folder)
        return done

    pool = ThreadPoolExecutor(at_once)
    try:
        for done in as_completed([pool.submit(one, seed) for seed in seeds]):
            yield done.result()
    finally:  # what runs is let run to its end: it ends its processes itself
        pool.shutdown(cancel_futures=True)


def main(kind: Torture) -> int:
    """Run the seeds that are missing, and print the totals; exit 1 if a run was not clean."""
    parser = argparse.ArgumentParser(description=kind.what)
    parser.add_argument("--runs", type=int, default=50, help="how many seeds, from 0 on (default: 50)")
    parser.add_argument("--out", type=Path, default=Path(f"{kind.name}.jsonl"), help="where each run leaves a line")
    parser.add_argument("--at-once", type=int, default=2, help="how many runs at a time (default: 2)")
    args = parser.parse_args()
    lines = args.out.read_text().splitlines() if args.out.exists() else []
    runs = [run for run in map(kind.read, map(json.loads, lines)) if run.seed < args.runs]
    missing = sorted(set(range(args.runs)) - {run.seed for run in runs})
    root = Path(tempfile.mkdtemp(prefix=f"crawlfleet-{kind.name}-"))
    with args.out.open("a") as file:
        for run in run_many(kind.run_seed, missing, root, args.at_once):
            runs.append(run)
            file.write(json.dumps(asdict(run)) + "\n")
            file.flush()
            if not run.is_clean:
                print(f"seed {run.seed} is not clean, see {root}: {run}", flush=True)
    print(kind.totals(runs))
    return 0 if all(run.is_clean for run in runs) else 1
