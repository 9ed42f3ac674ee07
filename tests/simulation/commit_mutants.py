"""Mutants of what waits for a commit that is under way: see `mutants`."""

from __future__ import annotations

LOOP = "coordinator/conduct/loop.py"
SERVICE = "coordinator/conduct/service.py"
OUTGOING = "coordinator/conduct/outgoing.py"
STORE = "coordinator/frontier/durable/store.py"

FLUSH = "        self._end_commit(self._service.flush(now, self._note_end))\n"
EARLY = """\
        answered, self._under_way = self._under_way, []
        conclusion = self._service.flush(now, self._note_end)
        for answer, value, _ in answered:
            answer.set_result(value)
        self._end_commit(conclusion)
"""
READ = "(self._decided or self._under_way).append((answer, see(self.now()), None))"
DECIDED = "            self._decided.append((answer, value, error))\n"
WITH_OTHERS = """\
            with_others = self._decided if self._under_way is None else self._under_way
            with_others.append((answer, value, error))
"""

COMMIT_MUTANTS: tuple[tuple[str, ...], ...] = (
    (LOOP, FLUSH, EARLY),
    (LOOP, FLUSH, "        self._end_commit(Conclusion.DONE)\n"),
    (LOOP, READ, "answer.set_result(see(self.now()))"),
    (LOOP, READ, "self._under_way.append((answer, see(self.now()), None))"),
    (LOOP, DECIDED, WITH_OTHERS),
    (
        LOOP,
        "        if self._under_way is None:\n            self._flush(now)\n        self._due_at",
        "        if True:\n            self._flush(now)\n        self._due_at",
    ),
    (LOOP, "        if conclusion is not Conclusion.DONE:\n", "        if False:\n"),
    (LOOP, "        self._has_ended = True\n", "        pass\n"),
    (SERVICE, "        self._store.commit(now, ended)\n", "        pass\n"),
    (SERVICE, "        if conclusion is Conclusion.DONE:\n", "        if True:\n"),
    (OUTGOING, "        self._applied = []\n\n    def done", "\n    def done"),
    (
        OUTGOING,
        "        self._answers += answers\n",
        "        self._answers += [*answers, *self._pools.take_answers()]\n",
    ),
    (LOOP, "self._is_held_up or not self._service.is_surely_owned:", "self._is_held_up:"),
    (STORE, "if not self._is_to_commit and self.is_surely_owned():", "if not self._is_to_commit:"),
)
