"""The kinds of named objects as plain models, one class each, and the table of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.property.object_model import Call, KindModel, ObjectModel, Op, Outcome, Owner, Raised

#: How long a call waits: not at all, for a while, for longer than a lease, without limit.
TIMEOUTS = st.sampled_from([0.0, 0.5, 2.0, 9.0, None, None, None])
NUMBERS = st.integers(-3, 3)


def named(method: str, *args: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    """Draw an operation of one method."""
    return st.tuples(st.just(method), st.tuples(*args))


class LockModel(KindModel):
    """One owner at a time, in the order of arrival, each with a greater number."""

    kind = "Lock"
    operations = st.one_of(named("acquire", TIMEOUTS), named("release"))

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.owner: Owner | None = None
        self.fence = 0

    @staticmethod
    def perform(proxy: Any, op: Op) -> Outcome:
        return proxy.acquire(timeout=op.args[0]) if op.method == "acquire" else proxy.release()

    def do_acquire(self, call: Call, _timeout: float | None) -> Outcome:
        if self.owner is not None:
            return self.park(call)
        return self._grant(call)

    def do_release(self, call: Call) -> Outcome:
        if self.owner != call.owner:
            return Raised("ValueError")
        self._pass_on()
        return None

    def undo(self, call: Call, outcome: Outcome) -> None:
        if self.owner == call.owner and call.op.method == "acquire" and self.fence == outcome:
            self._pass_on()

    def lost(self, session: str, _waits: list[Call]) -> None:
        if self.owner is not None and self.owner[0] == session:
            self._pass_on()

    def check(self, row: Any) -> None:
        owner = None if row.owner is None else (row.owner.session, row.owner.thread)
        assert (owner, row.fence) == (self.owner, self.fence)
        assert self.owner is not None or not self.line, "a free lock for which somebody waits"

    def check_idle(self) -> None:
        assert self.owner is None, "a lock is held by nobody who lives"

    def _grant(self, call: Call) -> int:
        self.owner = call.owner
        self.fence += 1
        return self.fence

    def _pass_on(self) -> None:
        self.owner = None
        if self.line:
            first = self.line[0]
            self.model.answer(self, first, self._grant(first))


class ValueModel(KindModel):
    """A number."""

    kind = "Value"
    operations = st.one_of(named("add", NUMBERS), named("add", NUMBERS), named("set", NUMBERS), named("get"))
    reads = frozenset({"get"})
    last_reads = (("get", ()),)

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.value = 0

    def do_get(self, _call: Call) -> Outcome:
        return self.value

    def do_set(self, _call: Call, value: int) -> Outcome:
        self.value = value

    def do_add(self, _call: Call, value: int) -> Outcome:
        self.value += value
        return self.value

    def check(self, row: Any) -> None:
        assert row.value == self.value


KINDS: dict[str, type[KindModel]] = {model.kind: model for model in (LockModel, ValueModel)}
