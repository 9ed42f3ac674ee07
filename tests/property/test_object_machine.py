"""A state machine for each kind of named objects: see `object_machine`."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.property.object_coordinator import FUSES
from tests.property.object_kinds import OPENED
from tests.property.object_machine import machine_for
from tests.property.object_model import KindModel
from tests.property.object_program import Fate

_IS_LONG = os.environ.get("CRAWLFLEET_HYPOTHESIS") == "ci"
EXAMPLES = int(os.environ.get("CRAWLFLEET_OBJECT_EXAMPLES", "300" if _IS_LONG else "20"))
#: So many examples have all faults.
MANY = 100
SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=50 if _IS_LONG else 30,
    deadline=None,
    # Shrinking takes minutes: a failure tells its whole story, and CRAWLFLEET_HYPOTHESIS=ci makes it a short one.
    phases=[phase for phase in Phase if _IS_LONG or phase is not Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
FAULTS = (
    *(*Fate, *FUSES, "coordinator killed between two calls", "Ctrl-C", "program killed", "program left"),
    *("program cut off", "program cut off beyond its lease", "session lost", "no coordinator in time"),
)


@pytest.mark.timeout(60 + EXAMPLES)
@pytest.mark.parametrize("model", OPENED, ids=lambda model: model.kind)
def test_nothing_is_done_twice_nor_lost_and_nobody_waits_in_vain(model: type[KindModel]) -> None:
    machine = machine_for(model)

    run_state_machine_as_test(machine, settings=SETTINGS)

    print(model.kind, dict(sorted(machine.happened.items())))
    if EXAMPLES >= MANY:
        assert [fault for fault in FAULTS if not machine.happened[fault]] == []
