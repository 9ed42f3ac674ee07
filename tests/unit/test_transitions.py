"""What the table of transitions does not have cannot happen."""

from __future__ import annotations

import pytest

from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.coordinator.core.transitions import TRANSITIONS, ImpossibleTransition, moved
from tests.unit.rule_turns import page

MISSING = [(state, event) for state in TaskState for event in TaskEvent if (state, event) not in TRANSITIONS]


@pytest.mark.parametrize(("state", "event"), MISSING)
def test_what_is_not_in_the_table_is_our_bug(state: TaskState, event: TaskEvent) -> None:
    with pytest.raises(ImpossibleTransition, match="cannot happen"):
        moved(page("1", state=state), event)
