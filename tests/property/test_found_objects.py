"""Bugs of named objects that the state machines found, each as a short story."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.property.object_coordinator import SimCoordinator
from tests.property.object_kinds import KINDS
from tests.property.object_model import ObjectModel, Op
from tests.property.object_program import Fate, ProgramThread, SimProgram
from tests.simulation.timeline import Timeline


class Story:
    """Programs of two threads each, at a coordinator that can be killed."""

    def __init__(self, folder: Path) -> None:
        self.timeline = Timeline()
        self.coordinator = SimCoordinator(self.timeline, ObjectModel(KINDS, 2), folder, Counter(), [])
        self.programs = [SimProgram(name, self.coordinator, KINDS, Counter(), 2) for name in "abc"]
        self._number = 0
        self.go_on(0.1)

    def thread(self, program: int, thread: int = 0) -> ProgramThread:
        """Return a thread of a program."""
        return self.programs[program].threads[thread]

    def do(self, thread: ProgramThread, kind: str, method: str, *args: Any, seconds: float = 0.2) -> Any:
        """Let a thread begin an operation; return its outcome if it is over after some seconds, else None."""
        self._number += 1
        thread.last = None
        thread.begin(Op(kind, "x", method, args, self._number))
        self.go_on(seconds)
        return thread.last

    def go_on(self, seconds: float) -> None:
        """Let time pass."""
        self.timeline.run_for(seconds)

    def restart(self) -> None:
        """Kill the coordinator, and start it again."""
        self.coordinator.crash()
        self.coordinator.open()


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    story = Story(tmp_path)
    yield story
    for program in story.programs:
        program.die()
    story.coordinator.close()


def test_a_call_that_is_given_up_without_a_coordinator_is_given_up_once_there_is_one(story: Story) -> None:
    holder, waiter, third = (story.thread(number) for number in range(3))
    assert story.do(holder, "Lock", "acquire", None) == 1
    assert story.do(waiter, "Lock", "acquire", None) is None
    waiter.program.cut_off_until = story.timeline.now + 2.0
    waiter.interrupt()
    story.go_on(4.0)
    story.do(holder, "Lock", "release")
    assert story.do(third, "Lock", "acquire", None) == 2


def test_the_first_answer_after_a_restart_is_collected(story: Story) -> None:
    holder, waiter, other = story.thread(0), story.thread(1), story.thread(1, 1)
    story.do(holder, "Lock", "acquire", None)
    assert story.do(waiter, "Lock", "acquire", 0.5, seconds=1.0) is False
    assert story.do(waiter, "Lock", "acquire", None) is None
    waiter.program.poll_fates.append(Fate.LOST)
    story.restart()
    assert story.do(other, "Lock", "acquire", 0.01, seconds=20.0) is False


def test_an_answer_may_be_collected_before_it_is_known_that_its_call_waits(story: Story) -> None:
    holder, waiter, other = story.thread(0), story.thread(1), story.thread(1, 1)
    story.do(holder, "Lock", "acquire", None)
    story.do(other, "Lock", "acquire", 0.0)
    story.do(waiter, "Lock", "acquire", None)
    waiter.program.fates.append(Fate.SLOW)
    assert story.do(other, "Lock", "acquire", 0.01, seconds=10.0) is False
