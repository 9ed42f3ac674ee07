"""Plain models of what is held: Lock, RLock, Semaphore, BoundedSemaphore."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from crawlfleet.coordinator.core.objects.calls import End
from crawlfleet.coordinator.core.objects.rows import PartRow
from tests.property.object_model import TIMEOUTS, Call, KindModel, ObjectModel, Op, Outcome, Owner, Raised, named


class LockModel(KindModel):
    """One owner at a time, in the order of arrival, each with a greater number."""

    kind = "Lock"
    operations = st.one_of(named("acquire", TIMEOUTS), named("release"))

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.owner: Owner | None = None
        self.fence = 0
        self.depth = 0

    @staticmethod
    def perform(proxy: Any, op: Op) -> Outcome:
        return proxy.acquire(timeout=op.args[0]) if op.method == "acquire" else proxy.release()

    def do_acquire(self, call: Call, _timeout: float | None) -> Outcome:
        if self.owner is not None:
            return self.park(call)
        return self.grant(call)

    def do_release(self, call: Call) -> Outcome:
        if self.owner != call.owner:
            return Raised("ValueError")
        self.pass_on()
        return None

    def undo(self, call: Call, outcome: Outcome) -> None:
        if self.owner == call.owner and call.op.method == "acquire" and self.fence == outcome:
            self.pass_on()

    def lost(self, session: str, _waits: list[Call], _end: End) -> None:
        if self.owner is not None and self.owner[0] == session:
            self.pass_on()

    def check(self, row: Any, _parts: list[PartRow]) -> None:
        owner = None if row.owner is None else (row.owner.session, row.owner.thread)
        assert (owner, row.fence) == (self.owner, self.fence)
        assert self.owner is not None or not self.line, "a free lock for which somebody waits"

    def check_idle(self) -> None:
        assert self.owner is None, "a lock is held by nobody who lives"

    def grant(self, call: Call, depth: int = 1) -> int:
        """Give the lock to a caller."""
        self.owner, self.depth = call.owner, depth
        self.fence += 1
        return self.fence

    def pass_on(self) -> None:
        """Give the lock to the first in its line, or free it."""
        self.owner = None
        if not self.line:
            return
        first = self.line[0]
        if first.note is None:
            self.model.answer(first, self.grant(first))
        else:  # a call of a condition
            depth, answer = first.note
            self.grant(first, depth)
            self.model.answer(first, answer)


class RLockModel(LockModel):
    """A lock that its owner acquires again, and releases as often."""

    kind = "RLock"

    def do_acquire(self, call: Call, timeout: float | None) -> Outcome:
        if self.owner == call.owner:
            self.depth += 1
            return self.fence
        return super().do_acquire(call, timeout)

    def do_release(self, call: Call) -> Outcome:
        if self.owner != call.owner:
            return Raised("AssertionError")
        self._leave()
        return None

    def undo(self, call: Call, outcome: Outcome) -> None:
        if self.owner == call.owner and call.op.method == "acquire" and self.fence == outcome:
            self._leave()

    def check(self, row: Any, parts: list[PartRow]) -> None:
        super().check(row, parts)
        assert row.depth == (self.depth if self.owner else 0)

    def _leave(self) -> None:
        self.depth -= 1
        if not self.depth:
            self.pass_on()


class SemaphoreModel(KindModel):
    """Units. `held` says how many each session has, whoever has some longest first; `forfeited` what lost ones had."""

    kind = "Semaphore"
    operations = st.one_of(named("acquire", TIMEOUTS), named("release"), named("get_value"))
    reads = frozenset({"get_value"})
    last_reads = (("get_value", ()),)
    options = (2,)
    is_bounded = False

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.value = self.options[0]
        self.held: dict[str, int] = {}
        self.forfeited: dict[str, int] = {}

    @staticmethod
    def perform(proxy: Any, op: Op) -> Outcome:
        return proxy.acquire(timeout=op.args[0]) if op.method == "acquire" else getattr(proxy, op.method)()

    def do_acquire(self, call: Call, _timeout: float | None) -> Outcome:
        if not self.value:
            return self.park(call)
        self.value -= 1
        self._hold(call)
        return True

    def do_release(self, call: Call) -> Outcome:
        session: str | None = call.session
        if session not in self.held:
            if self.forfeited.get(call.session):
                self.forfeited[call.session] -= 1
                return Raised("ValueError")
            session = next(iter(self.held), None)
        if self.is_bounded and self.value >= self.options[0]:
            return Raised("ValueError")
        if session is not None:
            self._put_down(session)
        self._free(1)
        return None

    def do_get_value(self, _call: Call) -> Outcome:
        return self.value

    def undo(self, call: Call, outcome: Outcome) -> None:
        if call.op.method == "acquire" and outcome and call.session in self.held:
            self._put_down(call.session)
            self._free(1)

    def lost(self, session: str, _waits: list[Call], _end: End) -> None:
        count = self.held.pop(session, 0)
        self.forfeited[session] = self.forfeited.get(session, 0) + count
        self._free(count)

    def check(self, row: Any, parts: list[PartRow]) -> None:
        held = {part.subkey.decode(): int.from_bytes(part.value) for part in parts}
        assert (row.value, list(held.items())) == (self.value, list(self.held.items()))
        assert not self.value or not self.line, "a free unit for which somebody waits"
        if self.is_bounded:
            assert self.value + sum(self.held.values()) == self.options[0]

    def check_idle(self) -> None:
        assert not self.held, "a unit is held by nobody who lives"

    def _hold(self, call: Call) -> None:
        self.held[call.session] = self.held.get(call.session, 0) + 1

    def _put_down(self, session: str) -> None:
        self.held[session] -= 1
        if not self.held[session]:
            del self.held[session]

    def _free(self, units: int) -> None:
        for _ in range(units):
            if self.line:
                self._hold(self.line[0])
                self.model.answer(self.line[0], True)
            else:
                self.value += 1


class BoundedSemaphoreModel(SemaphoreModel):
    """Units that nobody adds to."""

    kind = "BoundedSemaphore"
    is_bounded = True
