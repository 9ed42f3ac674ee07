"""The progress of a run: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol, Self

from rich.live import Live
from rich.spinner import Spinner

from crawlfleet.screen.console import Console
from crawlfleet.screen.tables import hosts
from crawlfleet.shared.quantities import duration_text
from crawlfleet.shared.status import Status

PLAIN_EVERY_S = 2.0
RATE_WINDOW_S = 5.0
NAMED = 2


class Progress(Protocol):
    """Shows statuses as they come, between enter and exit."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, status: Status) -> None:
        """Show where the crawl is."""
        ...


def open_progress(console: Console) -> Progress:
    """Return a live line for a terminal, plain lines for anything else."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


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


def words(status: Status, rate: float) -> str:
    """Say where a crawl is, in one line."""
    parts = [
        f"{status.fetched:,} pages",
        f"{rate:,.0f}/s",
        f"{status.unfinished:,} to go",
        f"{status.rows:,} rows",
    ]
    if status.failed:
        parts.append(f"{status.failed:,} failed")
    if status.dropped:
        parts.append(f"{status.dropped:,} dropped")
    if status.robots_waiting:
        some = ", ".join(status.robots_waiting_for[:NAMED])
        waits = (
            f"waiting for robots.txt of {hosts(status.robots_waiting)}, {duration_text(status.robots_wait_s)} at most"
        )
        parts.append(f"{waits} ({some})" if some else waits)
    workers = "1 worker" if status.sessions == 1 else f"{status.sessions} workers"
    return f"{status.job}: {' · '.join(parts)} · {workers} · {status.elapsed_s:,.0f} s"


class LiveProgress:
    """One line, updated in place."""

    def __init__(self, console: Console) -> None:
        self._rate = Rate()
        self._spinner = Spinner("dots", text="starting")
        self._live = Live(self._spinner, console=console, transient=True, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, status: Status) -> None:
        """Update the line."""
        self._spinner.update(text=words(status, self._rate.of(status)))


class PlainProgress:
    """A line every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._rate = Rate()
        self._next_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, status: Status) -> None:
        """Print a line, unless the last one is recent."""
        rate = self._rate.of(status)
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + PLAIN_EVERY_S
            self._console.say(words(status, rate))
