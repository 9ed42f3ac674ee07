"""Where a crawl is stored, as the environment and a person say beside the job."""

from __future__ import annotations

from typing import Any

from crawlfleet.coordinator.frontier.crawl_address import VARIABLE, without_password
from crawlfleet.coordinator.job.source import Setting


def frontier_settings(known: str | None, said: Any, origin: str) -> tuple[Setting, ...]:
    """Return the settings of what the environment's variable and an option or parameter say; the later beats the
    earlier.

    An address may have a password in the environment: that is left out, and looked up when the store is opened. What
    the option says is told by no error, since it may be one: errors call it by its `origin`.
    """
    found = [Setting("frontier", without_password(known), VARIABLE)] if known else []
    return (*found, *([] if said is None else [Setting("frontier", said, origin)]))
