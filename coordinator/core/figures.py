"""Figures in rows: what hosts took, what limits left out, of which hosts no more may be known, and for whose robots.txt
pages wait."""

from __future__ import annotations

from typing import Any

import msgspec


class Costs(msgspec.Struct, frozen=True, array_like=True):
    """What one host, or all, took: fetched pages, bytes, links, CPU time to read pages, and time to look names up."""

    pages: int = 0
    size_bytes: int = 0
    links: int = 0
    cpu_s: float = 0.0
    lookup_s: float = 0.0


class HostCosts(msgspec.Struct, frozen=True, array_like=True):
    """The costs of a host."""

    host: str
    costs: Costs


class ShortMaps(msgspec.Struct, frozen=True, array_like=True):
    """Sitemaps that gave nothing, or not all: how many, and some of them, each with a sentence why."""

    number: int = 0
    named: tuple[tuple[str, str], ...] = ()


class LeftOut(msgspec.Struct, frozen=True, array_like=True):
    """What limits left out of pages: how many links and rows, of how many pages."""

    pages: int = 0
    links: int = 0
    rows: int = 0


class FullHosts(msgspec.Struct, frozen=True, array_like=True):
    """Hosts of which as many URLs are known as the job allows: how many, some of them, how many links were refused."""

    hosts: int = 0
    named: tuple[str, ...] = ()
    links: int = 0


class RobotsWaits(msgspec.Struct, frozen=True, array_like=True):
    """Origins with an unavailable robots.txt: how many are waited for, and how many were given up.

    Each list names a few of the origins that its number counts, with the reason.
    """

    waiting: int = 0
    waiting_for: tuple[tuple[str, str], ...] = ()
    given_up: int = 0
    given_up_on: tuple[tuple[str, str], ...] = ()
    #: Only origins that are waited for are left: they are given up at this time. None: there is something else to do.
    last_until: float | None = None

    def but(self, **changed: Any) -> RobotsWaits:
        """Return a copy with other numbers."""
        return msgspec.structs.replace(self, **changed)
