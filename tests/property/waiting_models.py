"""Plain models of what programs wait for: Event, Condition, Barrier."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from crawlfleet.coordinator.core.objects.calls import End
from crawlfleet.coordinator.core.objects.rows import PartRow
from tests.property.lock_models import RLockModel
from tests.property.object_model import TIMEOUTS, Call, KindModel, ObjectModel, Op, Outcome, Owner, Raised, named


class EventModel(KindModel):
    """A flag."""

    kind = "Event"
    operations = st.one_of(named("wait", TIMEOUTS), named("set"), named("clear"), named("is_set"))
    reads = frozenset({"is_set"})
    last_reads = (("is_set", ()),)

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.flag = False

    def do_wait(self, call: Call, _timeout: float | None) -> Outcome:
        return self.flag or self.park(call)

    def do_set(self, _call: Call) -> None:
        self.flag = True
        for call in list(self.line):
            self.model.answer(call, True)

    def do_clear(self, _call: Call) -> None:
        self.flag = False

    def do_is_set(self, _call: Call) -> Outcome:
        return self.flag

    def check(self, row: Any, _parts: list[PartRow]) -> None:
        assert row.is_set == self.flag
        assert not (self.flag and self.line), "a flag that is set, for which somebody waits"


class ConditionLockModel(RLockModel):
    """The lock of a condition."""

    kind = "ConditionLock"


class ConditionModel(KindModel):
    """Calls that wait without the lock, then for the lock, in its line. `interrupted` have to get it back."""

    kind = "Condition"
    operations = st.one_of(
        named("acquire", TIMEOUTS),
        named("acquire", st.none()),
        named("release"),
        named("wait", TIMEOUTS),
        named("wait", TIMEOUTS),
        named("notify", st.integers(0, 2)),
        named("notify_all"),
    )

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.interrupted: dict[Owner, int] = {}

    @property
    def lock(self) -> ConditionLockModel:
        """The lock of the same name."""
        lock = self.model.objects["ConditionLock", self.name]
        assert isinstance(lock, ConditionLockModel)
        return lock

    @staticmethod
    def perform(proxy: Any, op: Op) -> Outcome:
        return proxy.acquire(timeout=op.args[0]) if op.method == "acquire" else getattr(proxy, op.method)(*op.args)

    def do_wait(self, call: Call, _timeout: float | None) -> Outcome:
        lock = self.lock
        if lock.owner != call.owner:
            return Raised("RuntimeError")
        if call.may_wait:
            outcome = self.park(call, (lock.depth,))
        elif lock.line:
            outcome = self._park_at_lock(call, lock.depth, answer=False)
        else:
            return False
        lock.pass_on()
        return outcome

    def do_notify(self, call: Call, most: int) -> Outcome:
        if self.lock.owner != call.owner:
            return Raised("RuntimeError")
        for each in self.line[:most]:
            self._to_lock(each, answer=True)
        return None

    def do_notify_all(self, call: Call) -> Outcome:
        return self.do_notify(call, len(self.line))

    def do_resume(self, call: Call) -> Outcome:
        depth = self.interrupted.pop(call.owner, None)
        if depth is None:
            return False
        if self.lock.owner is None:
            self.lock.grant(call, depth)
        elif self.lock.owner != call.owner:
            return self._park_at_lock(call, depth, answer=True)
        return True

    def expired(self, call: Call) -> None:
        self._to_lock(call, answer=False)

    def withdrawn(self, call: Call) -> None:
        self.interrupted[call.owner] = call.note[0]
        self._notify_instead(call)

    def undo(self, call: Call, outcome: Outcome) -> None:
        if call.op.method == "wait" and outcome and self.line:
            self._to_lock(self.line[0], answer=True)

    def lost(self, session: str, waits: list[Call], _end: End) -> None:
        self.interrupted = {owner: depth for owner, depth in self.interrupted.items() if owner[0] != session}
        for call in waits:
            self._notify_instead(call)

    def check(self, row: Any, _parts: list[PartRow]) -> None:
        known = {(owner.session, owner.thread): depth for owner, depth in row.interrupted}
        assert known == self.interrupted

    def check_idle(self) -> None:
        assert not self.interrupted

    def _notify_instead(self, gone: Call) -> None:
        was_notified = gone.op.method == "wait" and gone.note[1:] == (True,)
        if was_notified and self.line and self.line[0].ticket < gone.ticket:
            self._to_lock(self.line[0], answer=True)

    def _to_lock(self, call: Call, *, answer: bool) -> None:
        (depth,) = call.note
        if self.lock.owner is None:
            self.lock.grant(call, depth)
            self.model.answer(call, answer)
        else:
            self.line.remove(call)
            self._park_at_lock(call, depth, answer=answer)

    def _park_at_lock(self, call: Call, depth: int, *, answer: bool) -> Outcome:
        return self.lock.park(call._replace(may_wait=True, deadline=None), (depth, answer))


class BarrierModel(KindModel):
    """Rounds of two. `parties` are the sessions that have waited here."""

    kind = "Barrier"
    operations = st.one_of(
        named("wait", TIMEOUTS),
        named("reset"),
        named("abort"),
        named("n_waiting"),
        named("broken"),
    )
    reads = frozenset({"n_waiting", "broken"})
    options = (2,)

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.is_broken = False
        self.parties: set[str] = set()

    @staticmethod
    def perform(proxy: Any, op: Op) -> Outcome:
        found = getattr(proxy, op.method)
        return found if op.method in BarrierModel.reads else found(*op.args)

    def do_wait(self, call: Call, _timeout: float | None) -> Outcome:
        if self.is_broken:
            return Raised("BrokenBarrierError")
        self.parties.add(call.session)
        if len(self.line) + 1 == self.options[0]:
            for index, each in enumerate(list(self.line)):
                self.model.answer(each, index)
            return self.options[0] - 1
        if not call.may_wait:
            self._clear(is_broken=True)
            return Raised("BrokenBarrierError")
        return self.park(call)

    def do_reset(self, _call: Call) -> None:
        self._clear(is_broken=False)

    def do_abort(self, _call: Call) -> None:
        self._clear(is_broken=True)

    def do_n_waiting(self, _call: Call) -> Outcome:
        return len(self.line)

    def do_broken(self, _call: Call) -> Outcome:
        return self.is_broken

    def expired(self, _call: Call) -> None:
        self._clear(is_broken=True)

    def withdrawn(self, _call: Call) -> None:
        self._clear(is_broken=True)

    def lost(self, session: str, waits: list[Call], end: End) -> None:
        if session in self.parties:
            self.parties.discard(session)
            if waits or end is not End.GOODBYE:
                self._clear(is_broken=True)

    def check(self, row: Any, parts: list[PartRow]) -> None:
        assert (row.is_broken, row.waiting, row.actor) == (self.is_broken, len(self.line), None)
        assert {part.subkey.decode() for part in parts} == self.parties
        assert len(self.line) < self.options[0], "a round is complete, and its parties wait"

    def check_idle(self) -> None:
        assert not self.parties

    def _clear(self, *, is_broken: bool) -> None:
        for call in list(self.line):
            self.model.answer(call, Raised("BrokenBarrierError"))
        self.is_broken = is_broken
