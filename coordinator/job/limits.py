"""The section of a job that says what a page, its hook and a worker may use. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from crawlfleet.coordinator.core.policy import HostLimits
from crawlfleet.coordinator.job.section import Section, defaults, duration, fault, size, size_in_bytes, within
from crawlfleet.shared.brief import FetchSpec, LimitSpec
from crawlfleet.shared.quantities import size_text

_LIMITS = defaults(LimitSpec, HostLimits)
_HEAD_BYTES = defaults(FetchSpec).head_bytes


class LimitRules(Section):
    """What a page and its hook may use and give, how large the header of an answer may be, and the bodies that a worker
    has, and how many URLs of a host are remembered."""

    hook_wait_s: Annotated[float, duration("100ms", "1h")] = _LIMITS.hook_wait_s
    cpu_s: Annotated[float, duration("100ms", "1h")] = _LIMITS.cpu_s
    parse_time_s: Annotated[float, duration("100ms", "7d")] = _LIMITS.parse_time_s
    known_per_host: Annotated[int, within(1, 10**12)] = _LIMITS.known_per_host
    links: Annotated[int, within(0, 10**7)] = _LIMITS.links
    rows: Annotated[int, within(0, 10**7)] = _LIMITS.rows
    row_bytes: Annotated[int, size_in_bytes("1B", "256MiB"), Field(alias="row_bytes")] = _LIMITS.row_bytes
    report_bytes: Annotated[int, size_in_bytes("1B", "256MiB"), Field(alias="report_bytes")] = _LIMITS.report_bytes
    head_bytes: Annotated[int, size("1KiB", "256KiB")] = _HEAD_BYTES
    bodies_bytes: Annotated[int, size("1KiB", "1024GiB")] = _LIMITS.bodies_bytes

    def check_bodies(self, max_size_bytes: int) -> None:
        """Refuse room for bodies in which the largest page has none; raise at the key that is written."""
        if self.bodies_bytes >= max_size_bytes:
            return
        is_written = "bodies_bytes" in self.model_fields_set
        sizes = size_text(self.bodies_bytes), size_text(max_size_bytes)
        if is_written:
            text = f"{sizes[0]} is less than one page may have (fetch.max_size, {sizes[1]}): write that or more"
            raise fault(("limits", "bodies"), text)
        text = (
            f"{sizes[1]} is more than all bodies of a worker may have together ({sizes[0]}): write limits.bodies, too"
        )
        raise fault(("fetch", "max_size"), text)
