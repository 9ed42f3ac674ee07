"""`python -m tests.simulation.mutants --seeds N`: is the simulation able to find what it is there to find?

Each mutant is one line of the coordinator deleted or inverted, in a copy of the tree; it is caught if one of N seeds
fails in it. Prints a line for each, and the survivors at the end.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("coordinator", "shared", "worker", "tests")
TIMEOUT_S = 300


class Mutant(NamedTuple):
    """A text that occurs in a file, and what is put in the place of its first occurrence."""

    file: str
    old: str
    new: str


SETTLE = "core/settle.py"
LEASES = "core/leases.py"
POLITENESS = "core/politeness.py"
ADMISSION = "core/admission.py"
BUDGET = "core/budget.py"
STORE = "frontier/sqlite_store.py"
CACHE = "frontier/row_cache.py"
QUEUES = "frontier/queue_edits.py"
FILE = "sinks/line_file.py"

MUTANTS = (
    Mutant(SETTLE, "if report.lease in task.settled:", "if False:"),
    Mutant(SETTLE, "or task.lease != report.lease:", "or False:"),
    Mutant(SETTLE, "task.state in FINAL or", "False or"),
    Mutant(SETTLE, "not task.lease or", "False or"),
    Mutant(SETTLE, "max(0.0, report.age_s)", "report.age_s * 3"),
    Mutant(SETTLE, "    if lease is not None:\n", "    if False:\n"),
    Mutant(SETTLE, "nearer = admit(links, facts, policy, now)", "nearer = admit(links[1:], facts, policy, now)"),
    Mutant(SETTLE, "    awaken_host(facts, task.host, policy, now, not_before)\n", "    pass\n"),
    Mutant(SETTLE, "    awaken_host(facts, row.host, policy, now)\n", "    pass\n"),
    Mutant(SETTLE, "politeness.slowed(host, delay_s, now)", "succeed(host, delay_s=delay_s)"),
    Mutant(SETTLE, "if facts.tasks[ref] is not None]", "]"),
    Mutant(LEASES, "    facts.take([HostSet(host=politeness.started(facts.host(lease.host), now))])\n", "    pass\n"),
    Mutant(LEASES, "row.state is TaskState.LEASED and row.lease == lease.id", "True"),
    Mutant(LEASES, "deaths=task.deaths + (1 if task.alone else 0)", "deaths=task.deaths + 1"),
    Mutant(LEASES, "alone = task.alone or started or", "alone ="),
    Mutant(LEASES, "id=facts.ledger.next_lease", "id=max(1, facts.ledger.next_lease - 1)"),
    Mutant(LEASES, "next_lease=lease.id + 1, ", ""),
    Mutant(LEASES, "other != ref", "other == ref"),
    Mutant(LEASES, "    awaken_host(facts, lease.host, policy, now)\n", "    pass\n"),
    Mutant(LEASES, "- asker.open_tasks", ""),
    Mutant(POLITENESS, "return 0 if others else policy.per_host", "return policy.per_host"),
    Mutant(POLITENESS, "first = max(now, host.next_start_at, host.hold_until)", "first = max(now, host.hold_until)"),
    Mutant(POLITENESS, "first = max(now, host.next_start_at, host.hold_until)", "first = max(now, host.next_start_at)"),
    Mutant(POLITENESS, "max(host.next_start_at, last + host.delay_s))", "host.next_start_at)"),
    Mutant(POLITENESS, "starts[-1] + host.delay_s", "starts[-1]"),
    Mutant(POLITENESS, "next_start_at = host.last_start_at + host.delay_s", "next_start_at = host.last_start_at"),
    Mutant(ADMISSION, "elif link.depth < task.depth:", "elif False:"),
    Mutant(ADMISSION, "        _open(task.url, facts, policy, now)\n        return []", "        return []"),
    Mutant(ADMISSION, "if facts.origins[address.origin] is None:", "if True:"),
    Mutant(BUDGET, "room -= needs", "pass"),
    Mutant(BUDGET, "pages_fetched=ledger.pages_fetched + 1", "pages_fetched=ledger.pages_fetched"),
    Mutant("core/transitions.py", "(LEASED, TaskEvent.LOST): PENDING", "(LEASED, TaskEvent.LOST): FAILED"),
    Mutant("core/transitions.py", "for state in (LEASED, PENDING)", "for state in (LEASED,)"),
    Mutant("service.py", "        self._store.commit(now)\n", "        pass\n"),
    Mutant("service.py", "        self._reopen(now)\n", "        pass\n"),
    Mutant("service.py", "member.alive_until = now + self._policy.lease_s", "pass"),
    Mutant("service.py", "if lease.id not in request.holding]", "if False]"),
    Mutant("service.py", "set(request.holding) - {lease.id for lease in mine}", "()"),
    Mutant("service.py", "return self.open_tasks() == 0", "return self._count(TaskState.PENDING) == 0"),
    Mutant("intake.py", "if state is None and lease is not None and lease.session != session:", "if False:"),
    Mutant("loop.py", "        self._service.flush(now)\n", "        pass\n"),
    Mutant(STORE, '            self._db.execute("COMMIT")\n', ""),
    Mutant(STORE, 'meta["epoch"]) + 1', 'meta["epoch"])'),
    Mutant(STORE, "max(ledger.next_lease, first)", "ledger.next_lease"),
    Mutant(STORE, "        self._found.clear()\n", ""),
    Mutant(STORE, "        self._story.clear()\n", ""),
    Mutant(STORE, '("ledger", _encode(self._rows.ledger)),', ""),
    Mutant(STORE, '("clock", _encode((now, self._wall()))),', ""),
    Mutant(STORE, "min(max(0.0, self._wall() - wall_at), LONGEST_GAP_S)", "self._wall() - wall_at"),
    Mutant(STORE, "        self._rows.load_active(self._db)\n", ""),
    Mutant(STORE, "                queued.remove(before)\n", "                pass\n"),
    Mutant(CACHE, '        db.executemany("DELETE FROM leases WHERE id = ?", ended)\n', ""),
    Mutant(CACHE, "host.ready_at is not None or bool(host.holders)", "host.ready_at is not None"),
    Mutant(CACHE, "host.ready_at is not None or bool(host.holders)", "bool(host.holders)"),
    Mutant(CACHE, "            self.due.note(host, None)\n", ""),
    Mutant(QUEUES, "        self._ripe.append(task)\n", "        pass\n"),
    Mutant("frontier/versions.py", "if row.version != before + 1:", "if False:"),
    Mutant(FILE, "            self._file.truncate(self.mark.size_bytes)\n", ""),
    Mutant(FILE, "            self._file.truncate(kept.size_bytes)\n", ""),
    Mutant("sinks/jsonl_sink.py", "self._file.is_short or ", ""),
    Mutant("sinks/jsonl_sink.py", " or self.mark.results > length", ""),
    Mutant("sinks/follower.py", "self._marks.set(name, sink.write(results))", "sink.write(results)"),
)


def main() -> int:
    """Run all mutants; return how many survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--match", default="", help="only mutants of lines that contain this")
    options = parser.parse_args()
    seeds, chosen = options.seeds, [mutant for mutant in MUTANTS if options.match in mutant.file + mutant.old]
    survivors = [mutant for mutant in chosen if not is_caught(mutant, seeds)]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants caught within {seeds} seeds")
    return len(survivors)


def is_caught(mutant: Mutant, seeds: int) -> bool:
    """Run seeds over a copy of the tree with a mutant in it, until one fails."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        _mutate(copy / "coordinator" / mutant.file, mutant)
        how = _run(copy, seeds)
    print(f"{how:24} {mutant.file}: {mutant.old.strip()!r} -> {mutant.new.strip()!r}", flush=True)
    return how != "SURVIVED"


def _mutate(path: Path, mutant: Mutant) -> None:
    text = path.read_text(encoding="utf-8")
    assert mutant.old in text, f"{path.name} has no {mutant.old!r} any more"
    path.write_text(text.replace(mutant.old, mutant.new, 1), encoding="utf-8")


def _run(copy: Path, seeds: int) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--seeds", f"0:{seeds}"]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(copy)}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "caught (never ends)"
    if done.returncode == 0:
        return "SURVIVED"
    told = [line for line in done.stdout.splitlines() if line.startswith("seed ") and " failed;" in line]
    return f"caught by {told[-1].partition(' failed')[0]}" if told else "caught at once"


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
