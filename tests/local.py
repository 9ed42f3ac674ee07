"""This machine, as crawls of tests reach it where their seeds do not open it."""

from __future__ import annotations

from typing import Any

from crawlfleet.shared.brief import FetchSpec

LOCAL = ("127.0.0.0/8", "::1")


def local_spec(**values: Any) -> FetchSpec:
    """Return how to fetch from servers of this machine."""
    return FetchSpec(**{"allow_private": LOCAL, **values})
