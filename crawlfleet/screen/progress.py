"""The progress of a run: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from crawlfleet.screen.console import Console
from crawlfleet.screen.sentences import hosts
from crawlfleet.shared.inert import inert
from crawlfleet.shared.quantities import duration_text
from crawlfleet.shared.status import Status

PLAIN_EVERY_S = 2.0
RATE_WINDOW_S = 5.0
NAMED = 2


@contextmanager
def open_progress(console: Console) -> Iterator[Callable[[Status], None]]:
    """Provide an object that shows each status: one updated line on a terminal, a line every few seconds elsewhere."""
    rate = Rate()
    if console.is_terminal:
        spinner = Spinner("dots", text="starting")
        with Live(spinner, console=console, transient=True, refresh_per_second=8):
            yield lambda status: spinner.update(text=Text(inert(words(status, rate.of(status)))))
        return
    next_at = 0.0

    def show(status: Status) -> None:
        nonlocal next_at
        pages_per_s = rate.of(status)
        if time.monotonic() >= next_at:
            next_at = time.monotonic() + PLAIN_EVERY_S
            console.say(words(status, pages_per_s))

    yield show


class Rate:
    """Pages a second over the last few seconds."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def of(self, status: Status) -> float:
        """Return the rate, with this status as the latest."""
        self._seen.append((status.elapsed_s, status.fetched))
        while self._seen[0][0] < status.elapsed_s - RATE_WINDOW_S:
            self._seen.pop(0)
        began, fetched = self._seen[0]
        return (status.fetched - fetched) / (status.elapsed_s - began) if status.elapsed_s > began else 0.0


def _external(status: Status) -> str:
    """Return how far the external links are in words."""
    broken = f", {status.external_broken:,} broken" if status.external_broken else ""
    left = f", {status.external_waiting:,} to go" if status.external_waiting else ""
    links = "1 external link" if status.external_checked == 1 else f"{status.external_checked:,} external links"
    return f"{links} checked{broken}{left}"


def _adding(status: Status) -> str:
    """Return how far the seeds are; empty if all are known."""
    if status.seeds_added >= status.seeds:
        return ""
    return f"adding seeds: {status.seeds_added:,} of {'about ' if status.seeds_estimated else ''}{status.seeds:,}"


def words(status: Status, rate: float) -> str:
    """Return the progress of a crawl as one line."""
    adding = _adding(status)
    if adding and not status.fetched:
        return f"{status.job}: {adding} · {status.elapsed_s:,.0f} s"
    parts = [
        "1 page" if status.fetched == 1 else f"{status.fetched:,} pages",
        f"{rate:,.0f}/s",
        f"{status.unfinished:,} to go",
        "1 row" if status.rows == 1 else f"{status.rows:,} rows",
    ]
    parts += [adding] if adding else []
    if status.failed:
        parts.append(f"{status.failed:,} failed")
    if status.dropped:
        parts.append(f"{status.dropped:,} dropped")
    if status.external_checked or status.external_waiting:
        parts.append(_external(status))
    if status.robots_waiting:
        some = ", ".join(status.robots_waiting_for[:NAMED])
        waits = f"waiting for robots.txt of {hosts(status.robots_waiting)}{f' ({some})' if some else ''}"
        if status.robots_last_s is None:
            parts.append(f"{waits}, {duration_text(status.robots_wait_s)} at most")
        else:
            end = time.strftime("%H:%M:%S", time.localtime(time.time() + status.robots_last_s))
            parts.append(f"{waits} until {end} (politeness.robots_wait_last says how long), as nothing else is left")
        if status.unanswered:
            parts.append("no name server and no host has answered so far: is this machine connected?")
    if status.awaits_programs and not status.unfinished:
        parts.append("waiting for programs")
    workers = "1 worker" if status.workers == 1 else f"{status.workers} workers"
    return f"{status.job}: {' · '.join(parts)} · {workers} · {status.elapsed_s:,.0f} s"
