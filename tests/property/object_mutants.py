"""`python -m tests.property.object_mutants --examples N`: are the machines of named objects able to find bugs?

Each mutant is one line of the rules, the service or the client of objects, deleted or inverted in a copy of the tree.
It is caught if the machine of one of its kinds fails within N examples. Prints a line for each, and the survivors at
the end, with the reason why each may live. Exit code 1 if one has none.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tests.simulation.mutants import Mutant, copied_with

TIMEOUT_S = 900

CALLS = "coordinator/core/objects/calls.py"
DESK = "coordinator/core/objects/desk.py"
LOCKS = "coordinator/core/objects/locks.py"
SEMAPHORES = "coordinator/core/objects/semaphores.py"
QUEUES = "coordinator/core/objects/queues.py"
CONDITIONS = "coordinator/core/objects/conditions.py"
BARRIERS = "coordinator/core/objects/barriers.py"
WAITS = "coordinator/conduct/waits.py"
SERVICE = "coordinator/conduct/service.py"
CLIENT = "worker/talk/objects/client.py"


class ObjectMutant(NamedTuple):
    """A mutant, and the kinds of objects whose machines are to find it."""

    mutant: Mutant
    kinds: tuple[str, ...] = ("Lock",)


def _of(file: str, old: str, new: str, *kinds: str, reason: str = "") -> ObjectMutant:
    return ObjectMutant(Mutant(file, old, new, reason), kinds or ("Lock",))


BY_CALLS = "rare in the machines; found by tests/unit/test_object_calls.py"
BY_CONDITIONS = "rare in the machines; found by tests/unit/test_object_conditions.py"
BY_STORIES = "rare in the machines; found by tests/property/test_found_objects.py"
BY_CLIENT = "rare in the machines; found by tests/unit/test_object_client.py"
GIVEN_UP_BEFORE = (
    "a second lock: a slot makes no call before the last one was given up, unless the coordinator stays away for long; "
    "found by tests/unit/test_object_calls.py"
)

MUTANTS = (
    _of(CALLS, "elif caller is not None and request.number == before:", "elif False:", "Value"),
    _of(CALLS, "return WAITS if caller.reply is None else caller.reply", "return WAITS", "Value"),
    _of(CALLS, "if request.number < before or (caller", "if (caller", "Value"),
    _of(CALLS, "(caller is None and request.number != 1 and request.method != WITHDRAW)", "False", "Value", "Lock"),
    _of(
        CALLS,
        "    if caller is not None and caller.reply is None and request.number > before:",
        "    if False:",
        reason=GIVEN_UP_BEFORE,
    ),
    _of(CALLS, "            desk_of(turn, wait).refuse(wait, PLACE_LOST)\n", "            pass\n"),
    _of(CALLS, "        kind.lost(desk, existing", "        print(desk, existing"),
    _of(CALLS, "        turn.remove(succeed(use))\n", "        pass\n"),
    _of(CALLS, "        _note_use(desk, kind, row.number)\n", "        pass\n", reason=BY_CALLS),
    _of(CALLS, "        _forget_oldest(turn)\n", "        pass\n"),
    _of(CALLS, "        _forget(turn, session)\n", "        pass\n"),
    _of(CALLS, "        undo(desk, row, caller.reply.value)\n", "        pass\n"),
    _of(CALLS, "or row.lost_at is not None or", "or"),
    _of(CALLS, "        kind.withdrawn(desk_of", "        print(desk_of", "Condition", "Barrier"),
    _of(DESK, "reply=reply, wait=0, woken=True", "reply=reply, wait=0, woken=False"),
    _of(DESK, "waits=numbers.waits - 1", "waits=numbers.waits"),
    _of(DESK, "deadline=None if forever else wait.deadline", "deadline=wait.deadline", "Condition"),
    _of(LOCKS, "depth=depth, fence=row.fence + 1))", "depth=depth, fence=row.fence))"),
    _of(LOCKS, "    return row.fence + 1\n", "    return row.fence\n"),
    _of(LOCKS, "    if row.owner is None:\n", "    if row.owner is None or row.owner.session == desk.owner.session:\n"),
    _of(
        LOCKS,
        "    wait = desk.first(row)\n",
        "    wait = max(desk.line(row), key=lambda wait: wait.place, default=None)\n",
    ),
    _of(LOCKS, "    if wait is None:\n", "    if True:\n"),
    _of(
        LOCKS,
        "    if row.owner != desk.owner:\n        raise Refused(ValueError",
        "    if False:\n        raise Refused(ValueError",
    ),
    _of(LOCKS, "row.owner is not None and row.owner.session == session", "row.owner is not None"),
    _of(LOCKS, "    if row.owner == desk.owner and row.fence == fence:", "    if False:"),
    _of(LOCKS, "    if row.depth > 1:", "    if False:", "RLock"),
    _of(SEMAPHORES, "        _free(desk, row, count)\n", "        pass\n", "Semaphore"),
    _of(SEMAPHORES, "        _hold(desk, row, each.owner.session)\n", "        pass\n", "Semaphore"),
    _of(QUEUES, "    _admit(desk, row)\n    return", "    return", "Queue"),
    _of(QUEUES, "sorted(taken, key=lambda each: each.item)", "taken", "JoinableQueue"),
    _of(QUEUES, "        _admit(desk, row)\n        _finish", "        _finish", "Queue"),
    _of(CONDITIONS, "    pass_on(desk, lock)\n", "    pass\n", "Condition"),
    _of(CONDITIONS, "heir.place < gone.place", "True", "Condition", reason=BY_CONDITIONS),
    _of(CONDITIONS, "        _notify_instead(desk, row, each)\n", "        pass\n", "Condition", reason=BY_CONDITIONS),
    _of(BARRIERS, "    if row.actor is None:\n        _break(desk, row)\n", "    pass\n", "Barrier"),
    _of(BARRIERS, "if waits or desk.is_death or", "if desk.is_death or", "Barrier"),
    _of(WAITS, "                    heappush(self._deadlines, (deadline, wait.place))\n", "                    pass\n"),
    _of(WAITS, "for row in store.resident(WaitRow) if row.deadline is not None]", "for row in ()]"),
    _of(SERVICE, "holders.union(row.session for row in users)", "holders"),
    _of(
        CLIENT, "coordinator, cursor, is_quiet = None, 0, True", "coordinator, is_quiet = None, True", reason=BY_STORIES
    ),
    _of(
        CLIENT,
        "            self._expect(slot, message)\n            reply = self._send(message)\n",
        "            reply = self._send(message)\n            self._expect(slot, message)\n",
        reason=BY_CLIENT,
    ),
    _of(CLIENT, "        self._resend(collected.epoch)\n", "        pass\n", reason=BY_CLIENT),
    _of(CLIENT, "        slot.is_leaving = True\n", "        pass\n"),
    _of(CLIENT, "                if reply.error != PLACE_LOST:\n", "                if True:\n", reason=BY_CLIENT),
    _of(CLIENT, "if slot is None or slot.number != number:", "if slot is None:", reason=BY_CLIENT),
    _of(CLIENT, "number=slot.number + 1 if", "number=1 if", "Value"),
)


def main() -> int:
    """Run mutants; return how many survived for no reason."""
    parser = argparse.ArgumentParser(prog="python -m tests.property.object_mutants", description=__doc__)
    parser.add_argument("--examples", type=int, default=300)
    parser.add_argument("--match", default="", help="only mutants of lines that contain this")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many run at the same time")
    options = parser.parse_args()
    chosen = [each for each in MUTANTS if options.match in each.mutant.file + each.mutant.old]
    with ThreadPoolExecutor(options.processes) as pool:
        caught = list(pool.map(lambda each: is_caught(each, options.examples), chosen))
    survivors = [each.mutant for each, is_dead in zip(chosen, caught, strict=True) if not is_dead]
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants caught within {options.examples} examples")
    for mutant in survivors:
        print(f"survived: {mutant.file}: {mutant.old.strip()!r}: {mutant.reason or 'NO REASON IS KNOWN'}")
    return sum(not mutant.reason for mutant in survivors)


def is_caught(each: ObjectMutant, examples: int) -> bool:
    """Run the machines of a mutant's kinds over a copy of the tree that has it."""
    mutant = each.mutant
    with copied_with(mutant) as copy:
        how = next((f"caught by {kind}" for kind in each.kinds if _fails(copy, kind, examples)), "SURVIVED")
    print(f"{how:24} {mutant.file}: {mutant.old.strip()!r} -> {mutant.new.strip()!r}", flush=True)
    return how != "SURVIVED"


def _fails(copy: os.PathLike[str], kind: str, examples: int) -> bool:
    test = "tests/property/test_object_machine.py::test_nothing_is_done_twice_nor_lost_and_nobody_waits_in_vain"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"{test}[{kind}]"]
    environment = {**os.environ, "CRAWLFLEET_OBJECT_EXAMPLES": str(examples), "PYTHONPATH": str(copy)}
    try:
        done = subprocess.run(
            [*command, "--hypothesis-seed=1"],
            cwd=copy,
            env=environment,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    assert done.returncode in (0, 1), done.stdout.decode()
    return done.returncode == 1


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
