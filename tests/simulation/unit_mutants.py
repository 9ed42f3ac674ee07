"""Mutants of what joins hosts in units, and looks at them: see `mutants`."""

from __future__ import annotations

ADMISSION = "coordinator/core/admission.py"
LEASES = "coordinator/core/leases.py"
GRANTING = "coordinator/core/granting.py"
GATES = "coordinator/core/gates.py"
UNITS = "coordinator/core/units.py"
DUE = "coordinator/frontier/due_hosts.py"

# Why a mutant may live.
LATE = "what waits is looked at later, not never; found by tests/unit/test_rule_admission.py"

UNIT_MUTANTS: tuple[tuple[str, ...], ...] = (
    (ADMISSION, "    note_waiting(turn, key, not_before)\n", "    pass\n"),
    (
        ADMISSION,
        "if host.unit and (host.ready_at is None or host.ready_at > at):",
        "if host.unit and not host.ready_at:",
        LATE,
    ),
    (LEASES, "**changed)\n    note_waiting(turn, task.host)\n", "**changed)\n"),
    (LEASES, "task.host,\n    )\n    note_waiting(turn, task.host)\n", "task.host,\n    )\n"),
    (GRANTING, "next_at = turn.now if is_left else found.next_at", "next_at = found.next_at"),
    (GRANTING, "(offer.others_at, *(each.next_at", "(*(each.next_at"),
    (UNITS, "ready_at=turn.now if may_wait else None", "ready_at=None"),
    (UNITS, "        count_asked(turn, key, 0.0, row.asked_delay_s)\n", "        pass\n"),
    (UNITS, "if key == name or host.unit or host.is_unit or unit.unit:", "if key == name or unit.unit:"),
    (GATES, "        units.count_asked(turn, unit, before.asked_delay_s, after.asked_delay_s)\n", "        pass\n"),
    (DUE, " and host.unit == unit:", ":"),
    (DUE, " or before.unit != host.unit:", ":"),
)
