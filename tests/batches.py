"""Batches for the databases of durable stores, of one task each."""

from __future__ import annotations

from typing import Any

from crawlfleet.coordinator.core.rows import HostRow, OriginRow
from crawlfleet.coordinator.frontier.durable.batch import Batch, NewRows

QUEUE = "http://a.test"


def ref(order: int) -> bytes:
    """Return the fingerprint of a task."""
    return order.to_bytes(16)


def batch(number: int, **more: Any) -> Batch:
    """Return the batch of a commit that admits the task of its number, and records a result of it."""
    born = [(number, ref(number), 1, b"task %d" % number)]
    results = [(number, number, b"result %d" % number)]
    some: dict[str, Any] = {
        "at": float(number),
        "born": born,
        "ready": [(QUEUE, 0, number)],
        "rows": {HostRow: NewRows([(f"host-{number}", True, b"host")], []), OriginRow: NewRows([(QUEUE, b"o")], [])},
        "story": b"story %d" % number,
        "results": results,
        "links": [(number, b"links")],
        "meta": [("counts", b"counts %d" % number)],
    }
    return Batch(number=number, **some | more)
