"""Rows as stores keep them, in msgpack. Each function raises `msgspec.DecodeError` for anything else."""

from __future__ import annotations

import msgspec

from crawlfleet.coordinator.core.later_rows import LeadOnRow, SeedLineRow
from crawlfleet.coordinator.core.rows import HostRow, LeaseRow, Result, TaskRow

lease_in = msgspec.msgpack.Decoder(LeaseRow).decode
task_in = msgspec.msgpack.Decoder(TaskRow).decode
host_in = msgspec.msgpack.Decoder(HostRow).decode
leading_on_in = msgspec.msgpack.Decoder(LeadOnRow).decode
result_in = msgspec.msgpack.Decoder(Result).decode
seed_line_in = msgspec.msgpack.Decoder(SeedLineRow).decode
