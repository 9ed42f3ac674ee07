"""Fuzz what reads text and bytes of strangers, by coverage, for as long as wanted.

    python -m tests.hostile.fuzz [--minutes 60] [--only SUBJECT ...] [--folder .make/fuzz] [--table]

The subjects share the CPU time evenly, those of earlier runs counted: what was tried and found so far, and the inputs
that reach different parts of the code, are kept in the folder. A find is told with its input, made as short as it can
be, and stays there. Its target has no more turns until the input is none any more: that is looked at when a run begins.
An input that takes more than two seconds of CPU time is a find. `--table` only prints what was done so far.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

from tests.hostile.fuzz.guided import Current, executions_in
from tests.hostile.fuzz.ledger import Account, Ledger
from tests.hostile.fuzz.targets import SUBJECTS

TURN_S = 180
LEAST_TURN_S = 10
#: Until a process that looks at a find has ended, which may shorten it; and how much later than twice its turn another
#: one may end, on a machine that is busy.
LOOK_S = 180.0
#: Of what a process has said about a find that is none when it is looked at.
SHOWN_LINES = 20


class Fuzzing:
    """The folder of a run, and its processes, one at a time."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self._folder = folder
        self._ledger = ledger

    def open_finds(self) -> set[str]:
        """Return the targets with a find that is still one; put the inputs of mended ones aside."""
        found = set()
        for name in self._ledger.accounts:
            for file in sorted(self._of(name, "finds").iterdir()):
                if self._is_found(name, file):
                    found.add(name)
                else:
                    file.rename(self._of(name, "mended") / file.name)
        return found

    def turn(self, name: str, seconds: int) -> bool:
        """Fuzz a target; say whether something was found."""
        corpus, finds = self._of(name, "corpus"), self._of(name, "finds")
        before, cpu_before = set(finds.iterdir()), _cpu_s()
        current = self._folder / "current"
        current.unlink(missing_ok=True)
        options = ("--corpus", corpus, "--finds", finds, "--current", current, "--seconds", seconds)
        done = self._run(name, *options, limit_s=2 * seconds + LOOK_S)
        turn = Account(_cpu_s() - cpu_before, executions_in(done.stderr))
        if done.returncode and before == set(finds.iterdir()):
            if not current.exists():
                raise SystemExit(f"the process that fuzzes {name} ended with {done.returncode}:\n{done.stderr}")
            data = Current.read(current)
            (finds / f"ended-{sha256(data).hexdigest()}").write_bytes(data)
        new = sorted(set(finds.iterdir()) - before)
        for file in new:
            if self._is_found(name, file):
                turn.finds += 1
            else:
                print("\n".join(done.stderr.splitlines()[-SHOWN_LINES:]), flush=True)
        self._ledger.add(name, turn)
        return turn.finds > 0

    def _is_found(self, name: str, file: Path) -> bool:
        done = self._run(name, "--look", file, limit_s=LOOK_S)
        said = f"the process that looked at it ended with {done.returncode}" if done.returncode else "none any more"
        print(f"{file}: {done.stdout or said}", flush=True)
        return done.returncode != 0

    def _of(self, name: str, kind: str) -> Path:
        folder = self._folder / kind / name.replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @staticmethod
    def _run(name: str, *options: object, limit_s: float) -> subprocess.CompletedProcess[str]:
        """Run a process; one that does not end in time is killed, and so has ended with an error."""
        command = [sys.executable, "-m", "tests.hostile.fuzz.guided", name, *map(str, options)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, errors="replace") as process:
            try:
                said = process.communicate(timeout=limit_s)
            except subprocess.TimeoutExpired:
                process.kill()
                said = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, *said)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Give the targets turns until the time is over, and say what came of it."""
    options = _parser().parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(options.folder / "ledger.json", SUBJECTS)
    others = {name for subject in set(SUBJECTS).difference(options.only or SUBJECTS) for name in SUBJECTS[subject]}
    found: set[str] = set()
    if not options.table:
        ends_at = time.monotonic() + options.minutes * 60
        fuzzing = Fuzzing(options.folder, ledger)
        found = fuzzing.open_finds()
        while (left_s := int(ends_at - time.monotonic())) >= LEAST_TURN_S and (name := ledger.next(found | others)):
            if fuzzing.turn(name, min(TURN_S, left_s)):
                found.add(name)
    print(ledger.table(), end="")
    raise SystemExit(bool(found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description="Fuzz what strangers send.")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", choices=list(SUBJECTS), nargs="+", metavar="SUBJECT")
    parser.add_argument("--folder", type=Path, default=Path(".make/fuzz"))
    parser.add_argument("--table", action="store_true")
    return parser


if __name__ == "__main__":
    main()
