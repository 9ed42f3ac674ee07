"""A network that drops, delays, repeats and reorders what workers and coordinator say to each other."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.simulation.chronicle import Chronicle, Fault
from tests.simulation.timeline import Action, Timeline

USUAL_S = 0.05
LATE_S = 3.0


class Network:
    """Carries calls as closures. `trouble` is the chance of each kind of mishap, 0 once faults are over."""

    def __init__(self, random: Random, timeline: Timeline, chronicle: Chronicle, trouble: float) -> None:
        self._random = random
        self._timeline = timeline
        self._chronicle = chronicle
        self.trouble = trouble
        self._cut_off: dict[str, float] = {}

    def cut_off(self, session: str, seconds: float) -> None:
        """Let nothing to or from a session arrive for a while."""
        self._cut_off[session] = self._timeline.now + seconds

    def heal(self) -> None:
        """Let there be no more trouble."""
        self.trouble = 0.0
        self._cut_off.clear()

    def to_coordinator(self, session: str, deliver: Action) -> None:
        """Carry a request."""
        if self._carry(session, Fault.REQUEST_DROPPED, deliver) and self._happens():
            self._chronicle.fault(self._timeline.now, Fault.REQUEST_REPEATED, session)
            self._timeline.after(self._random.uniform(0, 2 * LATE_S), deliver)

    def to_worker(self, session: str, deliver: Action) -> None:
        """Carry an answer."""
        self._carry(session, Fault.ANSWER_DROPPED, deliver)

    def _carry(self, session: str, lost: Fault, deliver: Callable[[], None]) -> bool:
        now = self._timeline.now
        if self._cut_off.get(session, 0.0) > now:
            return False
        if self._happens():
            self._chronicle.fault(now, lost, session)
            return False
        delay_s = self._random.uniform(0, USUAL_S)
        if self._happens():
            self._chronicle.fault(now, Fault.MESSAGE_DELAYED, session)
            delay_s = self._random.uniform(USUAL_S, LATE_S)
        self._timeline.after(delay_s, deliver)
        return True

    def _happens(self) -> bool:
        return self._random.random() < self.trouble
