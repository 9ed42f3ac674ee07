"""`python -m tests.simulation.mutants --seeds N`: is the simulation able to find what it is there to find?

Each mutant is one line of the coordinator, or of a worker's conversation, deleted or inverted in a copy of the tree; it
is caught if one of N seeds fails in it. Prints a line for each (`caught by seed 7`: within eight seeds), and the
survivors at the end, with the reason why each may live. Exit code 1 if one has none.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.simulation.check_mutants import CHECK_MUTANTS
from tests.simulation.commit_mutants import COMMIT_MUTANTS
from tests.simulation.flood_mutants import FLOOD_MUTANTS
from tests.simulation.keepers import POSTGRESQL, SQLITE
from tests.simulation.pool_mutants import POOL_MUTANTS
from tests.simulation.postgresql_keeper import served
from tests.simulation.postgresql_mutants import POSTGRESQL_MUTANTS
from tests.simulation.unit_mutants import UNIT_MUTANTS

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("crawlfleet", "coordinator", "shared", "worker", "tests")
TIMEOUT_S = 1_200


class Mutant(NamedTuple):
    """A text that occurs in a file, what is put in the place of its first occurrence, and, if nothing can find that,
    why. `store` is that of the seeds which are to find it."""

    file: str
    old: str
    new: str
    reason: str = ""
    store: str = SQLITE


SETTLE = "coordinator/core/settle.py"
GATES = "coordinator/core/gates.py"
LEASES = "coordinator/core/leases.py"
LEADS = "coordinator/core/leads.py"
GRANTING = "coordinator/core/granting.py"
POLITENESS = "coordinator/core/politeness.py"
ADMISSION = "coordinator/core/admission.py"
REACH = "coordinator/core/reach.py"
BUDGET = "coordinator/core/budget.py"
STORE = "coordinator/frontier/durable/store.py"
LOGS = "coordinator/frontier/durable/logs.py"
CACHE = "coordinator/frontier/durable/row_cache.py"
QUEUES = "coordinator/frontier/durable/queues.py"
WINDOWS = "coordinator/frontier/durable/windows.py"
DATABASE = "coordinator/frontier/sqlite/database.py"
SEGMENTS = "coordinator/frontier/sqlite/segments.py"
TIME = "coordinator/frontier/crawl_clock.py"
SERVICE = "coordinator/conduct/service.py"
FILE = "coordinator/sinks/line_file.py"
CLIENT = "worker/talk/client.py"
OUTSTANDING = "worker/talk/outstanding.py"

# Why a mutant may live.
AWAKE = "equivalent: while its host has holders the end of their leases looks at it, else it is due already"
OPEN = "a second lock: a lease's `refs` are its open tasks, as the invariants check after every step"
ASKED_FOR = "equivalent but for speed: a host that nothing is due on is read from its table when it is asked for"
STANDS_STILL = "never too soon: over a reboot crawl time stands still; found by tests/unit/test_sqlite_store.py"
ONE_DECIDES = "a second lock: one thread decides, so no conflict can be; found by tests/conformance/test_store.py"
AFTER_POISON = "needs three deaths alone, then word of the dead; found by tests/unit/test_core_leases.py"
NEVER_OPENED = (
    "a second lock: a gate that was never opened is not looked behind; found by tests/unit/test_rule_gates.py"
)
STILL_ASKED = "needs a start under an old lease after a newer one; found by tests/unit/test_rule_granting.py"
NOT_HELD = "no law knows what a site asked for but the host's row; found by tests/unit/test_rule_settle.py"
SLOWED_TOO = "a refusal slows its host as well, which recalls; found by tests/unit/test_core_politeness.py"

MUTANTS = (
    Mutant(SETTLE, "if report.lease in task.settled:", "if False:"),
    Mutant(SETTLE, "or task.lease != report.lease:", "or False:"),
    Mutant(SETTLE, "task.state in FINAL or", "False or", AFTER_POISON),
    Mutant(SETTLE, "not task.lease or", "False or"),
    Mutant("coordinator/core/attempts.py", "max(0.0, report.age_s)", "report.age_s * 3"),
    Mutant(
        SETTLE, "        if lease is not None:\n            settle_some", "        if False:\n            settle_some"
    ),
    Mutant(SETTLE, "admission.admit(turn, links, nearer)", "admission.admit(turn, links[1:], nearer)"),
    Mutant(SETTLE, "    awaken_host(turn, task.host, not_before)\n", "    pass\n", AWAKE),
    Mutant(GATES, "    awaken_host(turn, after.host)\n", "    pass\n"),
    Mutant(
        GATES,
        "origin.gate is not Gate.WAITING and not origin.rechecking and",
        "not origin.rechecking and",
        NEVER_OPENED,
    ),
    Mutant(GATES, "    if before.gate is Gate.WAITING and before.failing_since is not None:", "    if False:"),
    Mutant(POLITENESS, "slowed(host, delay_s, now)\n", "succeed(host, delay_s=delay_s)\n"),
    Mutant(LEADS, "    if strangers:\n", "    if False:\n"),
    Mutant(LEASES, "    turn.put(politeness.started(turn.host(lease.host), turn.now))\n", "    pass\n"),
    Mutant(LEASES, "row.state is TaskState.LEASED and row.lease == lease.id", "True", OPEN),
    Mutant(LEASES, "deaths=task.deaths + (1 if task.alone else 0)", "deaths=task.deaths + 1"),
    Mutant(LEASES, "alone = task.alone or started or", "alone ="),
    Mutant(LEASES, "alone=TaskKey(lease.id, task.ref) in alone", "alone=False"),
    Mutant(GRANTING, "id=turn.ledger.next_lease", "id=max(1, turn.ledger.next_lease - 1)"),
    Mutant(GRANTING, "next_lease=lease.id + 1, ", ""),
    Mutant(LEASES, "if ref not in refs", "if ref in refs"),
    Mutant(LEASES, "    awaken_host(turn, lease.host)\n", "    pass\n"),
    Mutant(GRANTING, "- open_tasks\n", "\n"),
    Mutant(LEASES, "            gates.cannot_be_had(turn, task, death.reason)\n", "            pass\n"),
    Mutant(POLITENESS, "return 0 if others or _is_slowing(host)", "return 0 if _is_slowing(host)"),
    Mutant(POLITENESS, "return 0 if others or _is_slowing(host)", "return 0 if others", STILL_ASKED),
    Mutant(POLITENESS, "return lease.id <= host.recalled_under", "return False"),
    Mutant(POLITENESS, "hold_until=until, ", "", NOT_HELD),
    Mutant(POLITENESS, "hold_until=until, recalled_under=_newest_lease(host)", "hold_until=until", SLOWED_TOO),
    Mutant(POLITENESS, "max(now, host.next_start_at, host.hold_until, rested", "max(now, host.hold_until, rested"),
    Mutant(POLITENESS, "max(now, host.next_start_at, host.hold_until, rested", "max(now, host.next_start_at, rested"),
    Mutant(POLITENESS, "max(host.next_start_at, last + host.delay_s))", "host.next_start_at)"),
    Mutant(POLITENESS, "starts[-1] + host.delay_s", "starts[-1]"),
    Mutant(POLITENESS, "next_start_at = host.last_start_at + host.delay_s", "next_start_at = host.last_start_at"),
    Mutant(REACH, "bool(row.seed_ports) and row.first_addresses is None", "bool(row.seed_ports)"),
    Mutant(ADMISSION, "elif link.depth < depth and link.kind is Kind.PAGE:", "elif False:"),
    Mutant(ADMISSION, "        let_in(turn, task.url, depth)\n        return []", "        return []"),
    Mutant(ADMISSION, "if turn.origins[address.origin] is None:", "if True:"),
    Mutant(BUDGET, "            room -= 1\n", "            pass\n"),
    Mutant(BUDGET, "pages_fetched=total(ledger.pages_fetched, 1)", "pages_fetched=ledger.pages_fetched"),
    Mutant("coordinator/core/transitions.py", "(LEASED, TaskEvent.LOST): PENDING", "(LEASED, TaskEvent.LOST): FAILED"),
    Mutant("coordinator/core/transitions.py", "for state in (LEASED, PENDING)", "for state in (LEASED,)"),
    Mutant(SERVICE, "        self._reopen(now)\n", "        pass\n"),
    Mutant(SERVICE, "member.alive_until = now + self._policy.lease_s", "pass"),
    Mutant(SERVICE, "if lease.id not in holding]", "if False]"),
    Mutant(SERVICE, "lost=tuple(holding - {lease.id for lease in mine})", "lost=()"),
    Mutant(
        SERVICE,
        "self.open_tasks() == 0 and",
        "self._count(TaskState.PENDING) == 0 and",
    ),
    Mutant(SETTLE, "if lease is not None and lease.session != session else", "if False else"),
    Mutant(DATABASE, '            self._db.execute("COMMIT")\n', ""),
    Mutant(DATABASE, "            self._segments.refer(movable)\n", ""),
    Mutant(SEGMENTS, '        self._db.execute("DELETE FROM segments WHERE id > ?", (self._last,))\n', ""),
    Mutant(DATABASE, 'meta["epoch"]) + 1', 'meta["epoch"])'),
    Mutant(STORE, "max(ledger.next_lease, first)", "ledger.next_lease"),
    Mutant(
        LOGS, "self._found, self._recorded, self._links = [], [], [], {}", "self._recorded, self._links = [], [], {}"
    ),
    Mutant(LOGS, "            self._count += 1\n", "            pass\n"),
    Mutant(STORE, "            yield LEDGER, _encode(self._rows.ledger)\n", "            pass\n"),
    Mutant(DATABASE, '("clock", _encode((batch.at, *clocks))), ', ""),
    Mutant(TIME, "min(max(0.0, now.wall_s - before.wall_s), LONGEST_GAP_S)", "now.wall_s - before.wall_s"),
    Mutant(TIME, "if before.boot and before.boot == now.boot:", "if False:"),
    Mutant(TIME, "and before.boot == now.boot:", "and True:", STANDS_STILL),
    Mutant(STORE, "            self._rows.load(kind, rows)\n", "            pass\n"),
    Mutant(STORE, "            self._rows.load_leased(", "            tuple("),
    Mutant(STORE, "                self._queues.remove(before)\n", "                pass\n"),
    Mutant(DATABASE, "[(key,) for key in gone])", "[])"),
    Mutant(CACHE, "host.ready_at is not None or bool(host.holders)", "host.ready_at is not None", ASKED_FOR),
    Mutant(CACHE, "host.ready_at is not None or bool(host.holders)", "bool(host.holders)"),
    Mutant(CACHE, "                self.due.note(row, None)\n", "                pass\n"),
    Mutant(
        QUEUES,
        "                self._ready.add(queue, (self._rows.tasks[ref].rank, order, ref))\n",
        "                pass\n",
    ),
    Mutant(QUEUES, "        if self._waits:\n            self._ripen", "        if False:\n            self._ripen"),
    Mutant(WINDOWS, "            insort(window.entries, entry)\n", "            pass\n"),
    Mutant(WINDOWS, "            del window.entries[at]\n", "            pass\n"),
    Mutant(WINDOWS, "            self._next.remove(queue, (by, order))\n", "            pass\n"),
    Mutant(WINDOWS, "page[-1][:2] if len(page) == size else None", "None"),
    Mutant(WINDOWS, "                    found.pop(place, None)\n", "                    pass\n"),
    Mutant(WINDOWS, "                    found[place] = known\n", "                    pass\n"),
    Mutant("coordinator/frontier/versions.py", "if row.version != before + 1:", "if False:", ONE_DECIDES),
    Mutant(FILE, "            self._file.truncate(self.mark.size_bytes)\n", ""),
    Mutant(FILE, "            self._file.truncate(kept.size_bytes)\n", ""),
    Mutant("coordinator/sinks/line_sink.py", "self._file.is_to_restore or ", ""),
    Mutant("coordinator/sinks/line_sink.py", " or self.mark.results > length", ""),
    Mutant("coordinator/sinks/follower.py", "self._marks.set(name, mark)", "pass"),
    Mutant(CLIENT, "if welcome.epoch != self._epoch:", "if False:"),
    Mutant(CLIENT, "        self._outstanding.drop(news.overdue, news.alone)\n", "        pass\n"),
    Mutant(OUTSTANDING, "self._unacked.pop(key, None)", "self._unacked.get(key)"),
    Mutant(OUTSTANDING, "if ack.state is AckState.OK and delivery.report.outcome", "if delivery.report.outcome"),
    Mutant(OUTSTANDING, "replace(delivery, sent=delivery.sent + 1)", "replace(delivery, ahead=())"),
    *(Mutant(*line) for line in (*POOL_MUTANTS, *FLOOD_MUTANTS, *UNIT_MUTANTS, *CHECK_MUTANTS, *COMMIT_MUTANTS)),
    *(Mutant(*line)._replace(store=POSTGRESQL) for line in POSTGRESQL_MUTANTS),
)


def main() -> int:
    """Run mutants; return how many survived for no reason."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("--seeds", type=int, default=600)
    parser.add_argument("--match", default="", help="only mutants of lines that contain this")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many run at the same time")
    options = parser.parse_args()
    seeds, chosen = options.seeds, [mutant for mutant in MUTANTS if options.match in mutant.file + mutant.old]
    needed = POSTGRESQL if any(mutant.store == POSTGRESQL for mutant in chosen) else SQLITE
    with served(needed) as address, ThreadPoolExecutor(options.processes) as pool:
        survived = list(pool.map(lambda mutant: not is_caught(mutant, seeds, address), chosen))
    survivors = [mutant for mutant, is_alive in zip(chosen, survived, strict=True) if is_alive]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants caught within {seeds} seeds")
    for mutant in survivors:
        print(f"survived: {mutant.file}: {mutant.old.strip()!r}: {mutant.reason or 'NO REASON IS KNOWN'}")
    return sum(not mutant.reason for mutant in survivors)


def is_caught(mutant: Mutant, seeds: int, address: str) -> bool:
    """Run seeds over a copy of the tree with a mutant in it, until one fails; those that need a server at `address`."""
    with copied_with(mutant) as copy:
        how = _run(copy, seeds, mutant.store if mutant.store == SQLITE else address)
    print(f"{how:24} {mutant.file}: {mutant.old.strip()!r} -> {mutant.new.strip()!r}", flush=True)
    return how != "SURVIVED"


@contextmanager
def copied_with(mutant: Mutant) -> Iterator[Path]:
    """Copy the tree, with a mutant in it, for as long as the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        path = copy / mutant.file
        path.write_text(mutated(mutant, path.read_text(encoding="utf-8")), encoding="utf-8")
        yield copy


def mutated(mutant: Mutant, text: str) -> str:
    """Return a file's text with a mutant in it."""
    assert mutant.old in text, f"{mutant.file} has no {mutant.old!r} any more: change the mutant with it"
    return text.replace(mutant.old, mutant.new, 1)


def _run(copy: Path, seeds: int, store: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--seeds", f"0:{seeds}", "--store", store]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(copy)}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "caught (never ends)"
    if done.returncode == 0:
        return "SURVIVED"
    failures = [line for line in done.stdout.splitlines() if line.startswith("seed ") and " failed;" in line]
    return f"caught by {failures[-1].partition(' failed')[0]}" if failures else "caught at once"


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
