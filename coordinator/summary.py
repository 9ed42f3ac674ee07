"""What a crawl came to: the numbers at its end, as a value, as JSON, and as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shared.quantities import told

if TYPE_CHECKING:
    from coordinator.audit import Audit
    from coordinator.verify import Proof

__all__ = ["Console", "Summary", "show", "show_audit", "show_proof", "write"]

SHOWN_HOSTS = 50


_WHAT_NEXT = {
    True: "Nothing is lost: the same command goes on from here.",
    False: "The items so far are kept. The next run starts afresh, with --fresh.",
}


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a crawl. `ended` is `finished`, `interrupted` or `failed`, `detail` says why if it failed.

    `robots_given_up` is on how many hosts no page was fetched, since their robots.txt could not be had within
    `robots_wait_s`; `robots_waiting` how many were still waited for.
    """

    job: str
    ended: str
    detail: str = ""
    started_at: str
    elapsed_s: float
    discovered: int
    done: int
    fetched: int
    fetched_before: int
    redirected: int
    failed: int
    dropped: int
    unfinished: int
    rows: int
    retries: int
    retried: dict[str, int]
    leases_lost: int
    reasons: dict[str, int]
    sinks: tuple[str, ...]
    resumable: bool
    exit_code: int
    robots_wait_s: float = 0.0
    robots_waiting: int = 0
    robots_given_up: int = 0
    robots_given_up_on: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def pages_per_s(self) -> float:
        """The rate of this run, not of those that it went on from."""
        return (self.fetched - self.fetched_before) / self.elapsed_s if self.elapsed_s > 0 else 0.0


def write(summary: Summary, path: Path) -> None:
    """Leave a summary as JSON, whole or not at all; raise `OSError` if that cannot be."""
    draft = path.with_suffix(".tmp")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    draft.replace(path)


def show(summary: Summary, console: Console) -> None:
    """Print a summary as a table, and what the user has to know beside it."""
    table = Table(title=f"{summary.job}: {summary.ended}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in _lines(summary):
        table.add_row(name, value)
    console.print(table)
    for sink in summary.sinks:
        console.print(f"items: {sink}", highlight=False, soft_wrap=True)
    for line in (*summary.notices, *_robots_lines(summary)):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    if summary.detail:
        console.print(summary.detail, style="bold red", highlight=False, soft_wrap=True)
    if summary.ended == "interrupted":
        console.print(_WHAT_NEXT[summary.resumable], highlight=False)


def show_proof(proof: Proof, console: Console) -> None:
    """Print what `verify` found: each invariant with its count, and where it does not hold."""
    table = Table(title_justify="left", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for invariant in proof.invariants:
        verdict = f"{invariant.broken:,} broken" if invariant.broken else "holds"
        table.add_row(invariant.name, f"{invariant.checked:,}", verdict)
    console.print(table)
    for invariant in proof.invariants:
        for where in invariant.where:
            console.print(f"{invariant.name}: {where}", style="red", highlight=False, soft_wrap=True, markup=False)
    if proof.unfinished:
        console.print(f"The crawl is not finished: {proof.unfinished:,} URLs wait.", highlight=False)


def show_audit(audit: Audit, console: Console) -> None:
    """Print how far apart the requests to each host were, those first that came nearest to what was allowed."""
    table = Table(title_justify="left")
    table.add_column("host", overflow="fold")
    for name in ("requests", "smallest gap", "allowed", "too soon"):
        table.add_column(name, justify="right")
    for host in audit.hosts[:SHOWN_HOSTS]:
        gap = "" if host.gap_s is None else f"{host.gap_s:.3f} s"
        allowed = "" if host.gap_s is None else f"{host.allowed_s:.3f} s"
        table.add_row(Text(host.host), f"{host.starts:,}", gap, allowed, f"{host.too_soon:,}")
    console.print(table)
    if len(audit.hosts) > SHOWN_HOSTS:
        console.print(f"... and {len(audit.hosts) - SHOWN_HOSTS:,} hosts more", highlight=False)
    if not audit.hosts:
        console.print("No host of this crawl has a delay.", highlight=False)


def hosts(number: int) -> str:
    """Say how many hosts, in words."""
    return "1 host" if number == 1 else f"{number:,} hosts"


def _robots_lines(summary: Summary) -> list[str]:
    """Say which hosts were left out for a robots.txt that could not be had, and what decided it."""
    lines = []
    if summary.robots_given_up:
        some = ", ".join(summary.robots_given_up_on)
        more = summary.robots_given_up - len(summary.robots_given_up_on)
        lines.append(
            f"robots.txt could not be had within politeness.robots_wait ({told(summary.robots_wait_s)}), so nothing "
            f"was fetched from {hosts(summary.robots_given_up)}: {some}{f' and {more:,} more' if more else ''}"
        )
    if summary.robots_waiting:
        lines.append(f"the pages of {hosts(summary.robots_waiting)} still waited for robots.txt")
    return lines


def _lines(summary: Summary) -> list[tuple[str, str]]:
    lines = [
        ("pages fetched", f"{summary.fetched:,}"),
        ("redirects followed", f"{summary.redirected:,}"),
        ("failed", f"{summary.failed:,}"),
        ("dropped", f"{summary.dropped:,}"),
        ("URLs discovered", f"{summary.discovered:,}"),
        ("rows", f"{summary.rows:,}"),
        ("retries", f"{summary.retries:,}"),
        *((f"  {name}", f"{count:,}") for name, count in sorted(summary.retried.items(), key=lambda item: -item[1])),
        ("time", f"{summary.elapsed_s:,.1f} s"),
        ("pages a second", f"{summary.pages_per_s:,.1f}"),
    ]
    if summary.unfinished:
        lines.insert(4, ("not finished", f"{summary.unfinished:,}"))
    if summary.fetched_before:
        lines.insert(1, ("  before this run", f"{summary.fetched_before:,}"))
    if summary.leases_lost:
        lines.append(("leases lost", f"{summary.leases_lost:,}"))
    reasons = sorted(summary.reasons.items(), key=lambda reason: -reason[1])
    return lines + [(f"  {name}", f"{count:,}") for name, count in reasons if count]
