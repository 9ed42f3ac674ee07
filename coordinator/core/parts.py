"""Reports in parts: what is larger than a message is kept under its lease, piece by piece, until the last one comes.

Then it is one report like any other, so that a page's rows are recorded, and its links admitted, as a whole or not at
all. With the lease what was kept is discarded; so it is when the lease ends in another way.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from crawlfleet.coordinator.core import judging
from crawlfleet.coordinator.core.kept_parts import KeptParts
from crawlfleet.coordinator.core.later_rows import KeptPartRow
from crawlfleet.coordinator.core.rows import LeaseRow, succeed
from crawlfleet.coordinator.core.turn import Turn, existing
from crawlfleet.shared.errors import WireError
from crawlfleet.shared.messages import Ack, AckState, Kind, Report
from crawlfleet.shared.parts import PART_BYTES, join

#: So many parts may be smaller than an honest worker makes them.
SMALL_PARTS = 100


def gathered(turn: Turn, report: Report) -> Report | Ack:
    """Return the whole report of a page whose last part this is, or what answers another part.

    Anything else is returned as it is. The report is of a task under its current lease, though that may be lost.
    """
    if not (report.part or report.place) or existing(turn.tasks[report.ref]).kind is not Kind.PAGE:
        return report
    lease = turn.leases[report.lease]
    if lease is None:
        return _ack(report, AckState.STALE)
    kept = _kept(lease, report.ref)
    if report.place > len(kept.orders) or (report.more and report.place < len(kept.orders)):
        return _ack(report, AckState.MORE, len(kept.orders))
    limit = turn.policy.limits.report_bytes
    if kept.size_bytes + len(report.part) > limit + PART_BYTES or len(kept.orders) > limit // PART_BYTES + SMALL_PARTS:
        return judging.refused(report, "its parts are larger than limits.report_bytes allows")
    if report.more:
        _keep(turn, lease, kept, report.part)
        return _ack(report, AckState.MORE, len(kept.orders) + 1)
    rows = turn.table(KeptPartRow)
    rows.read(kept.orders)
    try:
        bulk = join([*(existing(rows[order]).data for order in kept.orders[: report.place]), report.part])
    except WireError:
        return judging.refused(report, "its parts are damaged")
    return replace(report, rows=bulk.rows, kept=bulk.links, links=bulk.listed, outlinks=(), part=b"", place=0)


def without(turn: Turn, lease: LeaseRow, refs: Collection[bytes]) -> tuple[KeptParts, ...]:
    """Discard what is kept of these tasks under a lease; return the rest."""
    table = turn.table(KeptPartRow)
    for kept in lease.parts:
        if kept.ref in refs:
            table.read(kept.orders)
            for order in kept.orders:
                turn.remove(succeed(existing(table[order])))
    return tuple(kept for kept in lease.parts if kept.ref not in refs)


def _keep(turn: Turn, lease: LeaseRow, kept: KeptParts, piece: bytes) -> None:
    order = turn.next_order()
    turn.put(KeptPartRow(order=order, data=piece))
    after = KeptParts(kept.ref, (*kept.orders, order), kept.size_bytes + len(piece))
    others = (each for each in lease.parts if each.ref != kept.ref)
    turn.put(succeed(lease, parts=(*others, after)))


def _kept(lease: LeaseRow, ref: bytes) -> KeptParts:
    return next((each for each in lease.parts if each.ref == ref), KeptParts(ref))


def _ack(report: Report, state: AckState, parts: int = 0) -> Ack:
    return Ack(lease=report.lease, ref=report.ref, state=state, parts=parts)
