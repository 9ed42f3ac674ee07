"""The table of all kinds of rows: turns and stores know kinds from here only."""

from __future__ import annotations

from crawlfleet.coordinator.core.awaited_rows import AwaitedRow
from crawlfleet.coordinator.core.later_rows import KeptLinksRow, KeptPartRow, LeadOnRow, SeedLineRow
from crawlfleet.coordinator.core.objects.queues import TakenRow
from crawlfleet.coordinator.core.objects.registry import OBJECTS
from crawlfleet.coordinator.core.objects.rows import CallerRow, ObjectsRow, PartRow, SessionRow, UseRow, WaitRow
from crawlfleet.coordinator.core.pool_rows import PoolRow
from crawlfleet.coordinator.core.rows import HostRow, LeaseRow, OriginRow, StoreRow, TaskRow, TrapRow
from crawlfleet.coordinator.core.unit_rows import AskedDelayRow

# The kinds of rows that are looked up by key, with the name of each one's table. The ledger is a single row, without
# one.
KINDS: dict[type[StoreRow], str] = {
    TaskRow: "tasks",
    LeaseRow: "leases",
    HostRow: "hosts",
    OriginRow: "origins",
    TrapRow: "traps",
    KeptLinksRow: "kept_links",
    KeptPartRow: "kept_parts",
    SeedLineRow: "seed_lines",
    LeadOnRow: "leading_on",
    AwaitedRow: "awaited",
    AskedDelayRow: "asked_delays",
    PoolRow: "pools",
    ObjectsRow: "objects",
    SessionRow: "object_sessions",
    UseRow: "object_uses",
    CallerRow: "object_callers",
    WaitRow: "object_waits",
    PartRow: "object_parts",
    TakenRow: "queue_taken",
    **{kind.row: kind.table for kind in OBJECTS.values()},
}
