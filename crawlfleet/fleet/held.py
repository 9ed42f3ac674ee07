"""What a thread of a user's program holds: a task, with its outlinks and its value so far."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from crawlfleet.shared.messages import VALUE_ITEM, Outcome, Report, Row
from crawlfleet.shared.plain_values import VALUE_DEPTH, refuse_odd_parts
from crawlfleet.shared.wire import payload
from crawlfleet.worker.extract.plain import plain
from crawlfleet.worker.fitting import fit
from crawlfleet.worker.lanes import Attempt
from crawlfleet.worker.talk.outbox import Delivery


class Held:
    """A task that a thread got and has not settled."""

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.url = attempt.task.url
        self.key = attempt.key
        self.outlinks: dict[str, None] = {}
        self._rows: tuple[Row, ...] = ()

    def stage(self, value: Any) -> None:
        """Keep a copy of a value until the task is settled.

        Raise a `TypeError` that names a type that cannot be kept, `ValueError` for such a number, text or depth; both
        name the place.
        """
        value = plain(value)
        refuse_odd_parts(value, "value", VALUE_DEPTH)
        self._rows = (Row(item=VALUE_ITEM, index=0, fields={VALUE_ITEM: msgspec.Raw(payload.dumps(value))}),)

    def delivery(self, outcome: Outcome, reason: str, max_bytes: int) -> Delivery:
        """Return the report that settles the task; if it is too large to be sent, a report that the task failed."""
        report = Report(lease=self.key.lease_id, ref=self.key.ref, outcome=outcome, reason=reason)
        if outcome is Outcome.FETCHED:
            report = replace(report, status=200, rows=self._rows, outlinks=tuple(self.outlinks))
        return fit(self.attempt, report, max_bytes)
