"""The mutants of what programs ask for: file, text, what is put in its place and, if nothing can find that, why."""

from __future__ import annotations

ASKING = "coordinator/core/asking.py"
ADMISSION = "coordinator/core/admission.py"
CREATION = "coordinator/core/creation.py"
SETTLE = "coordinator/core/settle.py"
LEASES = "coordinator/core/leases.py"
LEADS = "coordinator/core/leads.py"
ASKS = "coordinator/conduct/asks.py"
POOLS = "coordinator/conduct/pools.py"
POST = "coordinator/conduct/pool_post.py"
BOXES = "coordinator/conduct/boxes.py"
SERVICE = "coordinator/conduct/service.py"

# Why a mutant may live.
ASKED_AT_ONCE = "equivalent but for the steps: the target is asked for once more in the same turn, which revives it"

TAKEN_BACK = "needs a page taken back while under way that then comes back; found by tests/unit/test_rule_asking.py"
RECALLED = "a worker that fetches what nobody wants does no harm but work; found by tests/unit/test_rule_asking.py"
CURSOR = "a second lock: a program forgets its cursor with its coordinator; found by tests/unit/test_post.py"
PACKED = (
    "a second lock: what is named of a page beyond the crawl is packed on arrival; found by tests/unit/test_pools.py"
)

POOL_MUTANTS: tuple[tuple[str, ...], ...] = (
    (ASKING, "        admission.revive(turn, task)\n", "        pass\n"),
    (ASKING, "asked=True, priority=rank", "priority=rank"),
    (ASKING, "if is_sent_on and task.outlinks:", "if False:"),
    (ASKING, "            drop_if_unwanted(turn, task)\n", ""),
    (ASKING, "            _recall_if_unwanted(turn, task)\n", "", RECALLED),
    (ASKING, "        budget.give_back(turn, task)\n", "        pass\n"),
    (ASKING, "depth=0 if wish.follow else NOT_REACHED", "depth=0"),
    (ASKING, " or link.depth == 0", ""),
    (ASKING, "lease=0, reserved=False", "reserved=False"),
    (ADMISSION, "task.outcome in _WITH_OUTLINKS and task.state in FINAL", "False"),
    (ADMISSION, "is_beyond(task.depth, turn.policy) and not _reach(", "False and not _reach("),
    (ADMISSION, "return depth == NOT_REACHED or (", "return ("),
    (
        ADMISSION,
        "    return depth == NOT_REACHED or (limit is not None and depth > limit)",
        "    return depth == NOT_REACHED",
    ),
    (ADMISSION, "if rules is not None and rules.state is TaskState.DROPPED:", "if True:"),
    (ADMISSION, "if is_beyond(link.depth, turn.policy) and not link.asked:", "if is_beyond(link.depth, turn.policy):"),
    (ADMISSION, "_OUT_OF_REACH = _RECORDED | {Reason.CANCELLED}", "_OUT_OF_REACH = _RECORDED"),
    (CREATION, "        asked=link.asked,\n", ""),
    (SETTLE, "        asking.want_page(turn, target)\n", "        pass\n"),
    (SETTLE, "policy.extent.depth is not None or is_sent_on", "policy.extent.depth is not None"),
    (SETTLE, "    asking.drop_if_unwanted(turn, task)\n", "    pass\n", TAKEN_BACK),
    (
        LEASES,
        "**changed)\n    note_waiting(turn, task.host)\n    asking.drop_if_unwanted(turn, after)\n",
        "**changed)\n    note_waiting(turn, task.host)\n",
        TAKEN_BACK,
    ),
    (
        LEASES,
        "    )\n    note_waiting(turn, task.host)\n    asking.drop_if_unwanted(turn, after)\n",
        "    )\n    note_waiting(turn, task.host)\n",
    ),
    (LEADS, "outlinks=tuple(unpack(report.kept, most))", "outlinks=()"),
    (LEADS, "        asked=task.asked,\n", "", ASKED_AT_ONCE),
    (ASKS, "if task.state in FINAL or is_out_of_scope(task):", "if False:"),
    (
        ASKS,
        "        if waits.get(ticket) != task.ref:\n            self._forget(session, ticket)\n",
        "        if True:\n",
    ),
    (ASKS, "        self._forget(session, ticket)\n        self._answers.append", "        self._answers.append"),
    (ASKS, "return refs - self._waiting.keys()", "return refs"),
    (ASKS, "            self._open -= 1\n", ""),
    (ASKS, "        del self._books[session]\n", ""),
    (ASKS, '_Book(f"{self._epoch}.{next(self._numbers)}")', '_Book("1.1")'),
    (POOLS, "            self._programs.hold(session)\n        return", "            pass\n        return"),
    (POOLS, "            self._turns.run(partial(_keep_open, session=session), now)\n", "            pass\n"),
    (POOLS, "if row.state is TaskState.PENDING", "if row.state is not TaskState.PENDING"),
    (POOLS, "        if unwanted:\n", "        if False:\n"),
    (POOLS, "        self._asks.end(session)\n", "        pass\n"),
    (POOLS, "        self._programs.let_go(session)\n", "        pass\n"),
    (POOLS, "            self._turns.run(lambda turn: turn.remove(succeed(row)), now)\n", "            pass\n"),
    (POST, "rows=as_list(result.rows, result.seed_line)", "rows=()"),
    (BOXES, "            if after > self._count:\n", "            if False:\n", CURSOR),
    (SERVICE, "        self.pools.note(changes)\n", "        pass\n"),
    (SERVICE, "self.pools.are_over = self.is_finished", "pass"),
    (
        "coordinator/conduct/lease_messages.py",
        "leads_on=row.kind is not Kind.PAGE or not admission.is_beyond(row.depth, policy)",
        "leads_on=True",
        PACKED,
    ),
)
