"""The programs of a seed: how many there are, what becomes of them, and their end.

They draw from a chance of their own, so that a seed without programs is what it would be if there were none at all.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.simulation.aims import ASKING, Aim
from tests.simulation.asker import Asker
from tests.simulation.chronicle import Chronicle, Fault
from tests.simulation.drawing import LEASE_S
from tests.simulation.lines import Lines
from tests.simulation.machine import Machine
from tests.simulation.network import Network
from tests.simulation.timeline import Timeline

#: How many programs a seed has that is not out for them.
NUMBERS = (0, 0, 0, 0, 0, 0, 1, 1, 2)
OUT_FOR_THEM = 0.5
#: Aims that can give seeds away to those of `ASKING`, and those that programs would be in the way of.
COMMON = ("anything", "process")
CHECKING = 0.5
#: Aims whose faults need many results, of which there are fewer while a host is out of the scope.
LONG = ("sink", "full disk")
SHY = ("deadly robots", "late robots")


class AskingDraw:
    """What a seed draws for its programs: their number, and maybe an aim in the place of the one that it has drawn."""

    def __init__(self, seed: int, name: str, drawn: Aim) -> None:
        self.random = Random(f"programs of seed {seed}")
        is_out = name in COMMON and self.random.random() < OUT_FOR_THEM
        self.name = self.random.choice(list(ASKING)) if is_out else name
        self.aim = ASKING[self.name] if is_out else drawn
        self.number = 0 if name in SHY else self.random.choice((1, 2) if is_out else NUMBERS)
        #: Links that lead out of the scope are checked: in some of the seeds without programs.
        self.checks_links = not self.number and name not in (*SHY, *LONG) and self.random.random() < CHECKING


class Askers:
    """The programs of a seed at work."""

    def __init__(
        self,
        draw: AskingDraw,
        machine: Machine,
        lines: Lines,
        network: Network,
        timeline: Timeline,
        chronicle: Chronicle,
        aim: Aim,
    ) -> None:
        self._random = draw.random
        self._network = network
        self._timeline = timeline
        self._chronicle = chronicle
        self._is_calm = False
        favourites: list[str] = []
        self._all = [
            Asker(f"p{number}", machine, lines, timeline, self._random, chronicle, favourites, aim)
            for number in range(draw.number)
        ]
        for asker in self._all:
            fate = self._random.choice([self._kill, self._kill, self._cut_off, None])
            if fate is not None:
                self._plan(fate, asker, self._random.uniform(5.0, aim.lasts_s))

    def calm(self) -> None:
        """Let the programs want nothing more, and come to their end."""
        self._is_calm = True
        for asker in self._all:
            asker.is_calm = True

    def judge(self) -> None:
        """Check what the programs have at the end, and end them."""
        for asker in self._all:
            if asker.is_alive:
                asker.check()
            asker.die()

    def _plan(self, fate: Callable[[Asker], None], asker: Asker, after_s: float) -> None:
        def happen() -> None:
            if not self._is_calm and not asker.has_left:
                fate(asker)

        self._timeline.after(after_s, happen)

    def _kill(self, asker: Asker) -> None:
        self._chronicle.fault(self._timeline.now, Fault.PROGRAM_KILLED, asker.session)
        asker.die()

    def _cut_off(self, asker: Asker) -> None:
        self._chronicle.fault(self._timeline.now, Fault.PROGRAM_CUT_OFF, asker.session)
        self._network.cut_off(asker.session, LEASE_S * self._random.uniform(1.0, 1.6))
