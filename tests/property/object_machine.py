"""Any order of events at a kind of named objects: each call is carried out once, in order, and nobody waits in vain.

Hypothesis makes up what the threads of some programs do, and what happens to messages, programs and coordinator. The
coordinator's answers, lines and rows are compared with a plain model at each commit, and what a program is told with
what was committed. At the end all goes well again: then whoever still waits must wait by the model, too, and when all
have gone no row of theirs is left.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from crawlfleet.coordinator.core.objects import calls, named_pipes
from crawlfleet.coordinator.core.objects.desk import item_bytes
from crawlfleet.coordinator.core.objects.rows import CallerRow, SessionRow, UseRow, WaitRow
from crawlfleet.shared.wire.values import encode
from crawlfleet.worker.talk.objects import client
from tests.property.object_coordinator import FUSES, LEASE_S, SimCoordinator
from tests.property.object_kinds import KINDS
from tests.property.object_model import KindModel, ObjectModel, Op, Raised
from tests.property.object_program import CALL_S, LATE_S, PATIENCE_S, TRIP_S, Fate, ProgramThread, SimProgram
from tests.property.pipe_models import WINDOW
from tests.simulation.timeline import Timeline

MAX_LOST = 2
PROGRAMS = 3
THREADS = 2
NAMES = ("a", "a", "b")
#: By then all messages have arrived, all clients have given up what they give up, and the silent are lost.
CALM_S = PATIENCE_S + LEASE_S + CALL_S + LATE_S + 5.0

#: While the first answer is on its way, or the second; after a while.
GIVEN_UP_AFTER_S = (TRIP_S + 0.005, 3 * TRIP_S + 0.007, 0.5)

#: What ends much of what programs have begun. Some examples are without it, so that they get further.
EVERY = frozenset({"trouble", "cut_off", "die", "leave", "crash"})
RARE = frozenset({"die", "trouble"})

_WHO = st.integers(0, PROGRAMS * THREADS - 1)
_PAUSES = st.sampled_from([0.0, 0.005, 0.02, 0.05, 0.5, 1.5, 4.0])


class ObjectMachine(RuleBasedStateMachine):
    """Programs at work on objects of one kind (`model`, and those that it `needs`)."""

    model: ClassVar[type[KindModel]]
    happened: ClassVar[Counter[str]]

    @initialize(durable=st.booleans(), mishaps=st.sampled_from([frozenset(), RARE, EVERY, EVERY]))
    def begin(self, durable: bool, mishaps: frozenset[str]) -> None:
        self.mishaps = mishaps
        self._patches = ExitStack()
        self._patches.enter_context(mock.patch.object(calls, "MAX_LOST", MAX_LOST))
        self._patches.enter_context(mock.patch.object(named_pipes, "WINDOW_BYTES", WINDOW * item_bytes(encode(0))))
        self._patches.enter_context(mock.patch.object(client, "_logger"))
        self.folder = Path(tempfile.mkdtemp(prefix="objects-")) if durable else None
        self.timeline = Timeline()
        self.story: list[str] = []
        self.ops = count(1)
        self.names = (f"s{number}" for number in count(1))
        model = ObjectModel(KINDS, MAX_LOST)
        self.coordinator = SimCoordinator(self.timeline, model, self.folder, self.happened, self.story)
        self.programs: list[SimProgram] = []
        self.gone: list[SimProgram] = []
        for _ in range(PROGRAMS):
            self._join()
        self._pass(0.05)

    def step(self, actions: list[tuple[str, tuple[Any, ...]]], pause_s: float) -> None:
        """Let some things happen at about the same time."""
        try:
            for name, arguments in actions:
                if name not in EVERY or name in self.mishaps:
                    getattr(self, f"_{name}")(*arguments)
            self._pass(pause_s)
        except BaseException:
            self._tell()
            raise

    def _work(
        self, who: int, name: str, operation: tuple[str, tuple[Any, ...]], fate: Fate, given_up_after_s: float | None
    ) -> None:
        thread = self._thread(who)
        if thread.op is None:
            if fate is not Fate.ARRIVES:
                thread.program.fates.append(fate)
            method, args = operation
            op = Op(self.model.kind, name, method, args, next(self.ops))
            thread.begin(op)
            if given_up_after_s is not None:
                self.timeline.after(given_up_after_s, lambda: self._press_ctrl_c(thread, op))

    def _trouble(self, who: int, fates: list[Fate], polls: list[Fate]) -> None:
        program = self._thread(who).program
        program.fates.extend(fates)
        program.poll_fates.extend(polls)

    def _interrupt(self, who: int) -> None:
        thread = self._thread(who)
        self._press_ctrl_c(thread, thread.op)

    def _press_ctrl_c(self, thread: ProgramThread, op: Op | None) -> None:
        if op is not None and thread.op == op and not thread.is_interrupted and not thread.sim.is_over:
            self.happened["Ctrl-C"] += 1
            thread.interrupt()

    def _cut_off(self, who: int, seconds: float) -> None:
        self.happened["program cut off" + (" beyond its lease" if seconds > LEASE_S else "")] += 1
        waiting = [thread for thread in self._threads() if thread.key and self.coordinator.model.is_waiting(thread.key)]
        thread = waiting[who % len(waiting)] if waiting else self._thread(who)
        thread.program.cut_off_until = self.timeline.now + seconds

    def _die(self, who: int) -> None:
        self.happened["program killed"] += 1
        program = self._thread(who).program
        program.die()
        self._replace(program)

    def _leave(self, who: int) -> None:
        self.happened["program left"] += 1
        program = self._thread(who).program
        program.leave()
        self._replace(program)

    def _crash(self, point: Any, passes: int, away_s: float) -> None:
        if not self.coordinator.is_durable or not self.coordinator.is_up:
            return
        if point is None:
            self.happened["coordinator killed between two calls"] += 1
            self.coordinator.crash()
            self.timeline.after(away_s, self.coordinator.open)
        else:
            self.coordinator.fuse.set(point, passes)

    def teardown(self) -> None:
        if not hasattr(self, "coordinator"):
            return
        try:
            if sys.exc_info()[0] is None:
                self._end()
        except BaseException:
            self._tell()
            raise
        finally:
            for program in [*self.programs, *self.gone]:
                program.die()
            self.coordinator.close()
            self._patches.close()
            if self.folder is not None:
                shutil.rmtree(self.folder)

    def _tell(self) -> None:
        note("\n".join(self.story[-60:]))

    def _end(self) -> None:
        """Let there be no more trouble, and see that nobody waits in vain, and nothing is left over."""
        self.coordinator.fuse.clear()
        for program in self.programs:
            program.fates.clear()
            program.poll_fates.clear()
            program.cut_off_until = 0.0
        self._pass(CALM_S)
        for _ in range(2):  # a `wait` of a condition that is interrupted waits for its lock
            if any(thread.op for thread in self._threads()):
                for thread in self._threads():
                    self._check_waits(thread)
                    thread.interrupt()
                self._pass(CALM_S)
        assert not any(thread.op for thread in self._threads()), "a thread that was interrupted hangs"
        self._read_all()
        for program in self.programs:
            program.leave()
        self._pass(LEASE_S + LATE_S)
        self._check_no_rows()
        for thing in self.coordinator.model.objects.values():
            assert not thing.waiting
            thing.check_idle()
        if self.coordinator.is_durable:
            self.coordinator.crash()
            self.coordinator.open()
            self._check_no_rows()

    def _check_waits(self, thread: ProgramThread) -> None:
        """A thread that is still at work must be in a line."""
        model = self.coordinator.model
        waits = thread.key is not None and model.is_waiting(thread.key)
        assert thread.op is None or waits, f"{thread.program.session} waits in vain for {thread.op}"

    def _check_no_rows(self) -> None:
        """Of sessions that have gone only answers are kept, and of few."""
        lost = [row.session for row in self.coordinator.rows(SessionRow)]
        assert len(lost) <= MAX_LOST
        assert all(row.lost_at is not None for row in self.coordinator.rows(SessionRow))
        assert {row.session for row in self.coordinator.rows(CallerRow)} <= set(lost)
        assert self.coordinator.rows(WaitRow) == self.coordinator.rows(UseRow) == []

    def _read_all(self) -> None:
        """Let a program that has just come read all."""
        self._join()
        self._pass(0.1)
        thread = self.programs[-1].threads[0]
        for kind, name in list(self.coordinator.model.objects):
            for method, args in KINDS[kind].last_reads:
                self._do(thread, Op(kind, name, method, args))

    def _do(self, thread: ProgramThread, op: Op) -> None:
        thread.begin(replace(op, number=next(self.ops)))
        self._pass(0.2)
        assert thread.op is None, f"{op} hangs"
        assert not isinstance(thread.last, Raised), f"{op} raised {thread.last}"

    def _join(self) -> None:
        self.programs.append(SimProgram(next(self.names), self.coordinator, KINDS, self.happened, THREADS))

    def _replace(self, program: SimProgram) -> None:
        self.programs.remove(program)
        self.gone.append(program)
        self._join()

    def _threads(self) -> list[ProgramThread]:
        return [thread for program in self.programs for thread in program.threads]

    def _thread(self, who: int) -> ProgramThread:
        return self._threads()[who]

    def _pass(self, seconds: float) -> None:
        self.timeline.run_for(seconds)


def actions_of(model: type[KindModel]) -> st.SearchStrategy[tuple[str, tuple[Any, ...]]]:
    """Draw something that happens: mostly that a thread does something with an object."""
    fate = st.sampled_from([*[Fate.ARRIVES] * 7, *[Fate.SLOW] * 2, *Fate])
    fates = st.lists(st.sampled_from(Fate), max_size=3)
    point = st.sampled_from([None, *FUSES])
    given_up = st.sampled_from([*[None] * 9, *GIVEN_UP_AFTER_S])
    kinds: dict[str, tuple[int, st.SearchStrategy[tuple[Any, ...]]]] = {
        "work": (14, st.tuples(_WHO, st.sampled_from(NAMES), model.operations, fate, given_up)),
        "trouble": (1, st.tuples(_WHO, fates, fates)),
        "interrupt": (1, st.tuples(_WHO)),
        "cut_off": (2, st.tuples(_WHO, st.sampled_from([0.3, 3.0, 7.0]))),
        "die": (1, st.tuples(_WHO)),
        "leave": (1, st.tuples(_WHO)),
        "crash": (1, st.tuples(point, st.sampled_from([1, 1, 2, 3]), st.sampled_from([0.1, 1.0, 4.0]))),
    }
    names = [name for name, (weight, _) in kinds.items() for _ in range(weight)]
    return st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), kinds[name][1]))


def machine_for(model: type[KindModel]) -> type[ObjectMachine]:
    """Return the machine of a kind."""

    class Machine(ObjectMachine):
        @rule(actions=st.lists(actions_of(model), min_size=1, max_size=8), pause_s=_PAUSES)
        def step(self, actions: list[tuple[str, tuple[Any, ...]]], pause_s: float) -> None:
            super().step(actions, pause_s)

    Machine.__name__ = Machine.__qualname__ = f"{model.kind}Machine"
    Machine.model, Machine.happened = model, Counter()
    return Machine
