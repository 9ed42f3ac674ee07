"""What a crawl came to: the numbers at its end, as a value, as JSON, and as a table."""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from coordinator.verify import Proof

__all__ = ["Console", "Summary", "show", "show_proof", "write"]


_WHAT_NEXT = {
    True: "Nothing is lost: the same command goes on from here.",
    False: "The items so far are kept. The next run starts afresh, with --fresh.",
}


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a crawl. `ended` is `finished`, `interrupted` or `failed`, `detail` says why if it failed."""

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
    leases_lost: int
    reasons: dict[str, int]
    sinks: tuple[str, ...]
    resumable: bool
    exit_code: int

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


def _lines(summary: Summary) -> list[tuple[str, str]]:
    lines = [
        ("pages fetched", f"{summary.fetched:,}"),
        ("redirects followed", f"{summary.redirected:,}"),
        ("failed", f"{summary.failed:,}"),
        ("dropped", f"{summary.dropped:,}"),
        ("URLs discovered", f"{summary.discovered:,}"),
        ("rows", f"{summary.rows:,}"),
        ("retries", f"{summary.retries:,}"),
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
