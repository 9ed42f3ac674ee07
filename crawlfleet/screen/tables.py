"""The end of a crawl, its proof and its audit, as tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec
from rich.table import Table
from rich.text import Text

from crawlfleet.screen.causes import cause_lines
from crawlfleet.screen.console import Console
from crawlfleet.screen.sentences import capped_lines, full_lines, robots_lines, sitemap_lines
from crawlfleet.shared.inert import inert, inert_json, inert_lines
from crawlfleet.shared.notes import Note

if TYPE_CHECKING:
    from crawlfleet.coordinator.offline.audit import Audit
    from crawlfleet.coordinator.offline.verify import Proof
    from crawlfleet.coordinator.summary import Summary
    from crawlfleet.shared.status import ItemCount

SHOWN_HOSTS = 50
SHOWN_FIELDS = 10
SHOWN_CHARS = 60


def show_end(summary: Summary, console: Console, *, as_json: bool) -> None:
    """Print a summary as tables and lines, or as one JSON object; to a quiet console, only what is wrong: why the crawl
    failed, and what is not as its job expects."""
    if as_json:
        print(inert_json(msgspec.json.encode(summary).decode()), flush=True)
    elif console.quiet:
        for line in (*([summary.detail] if summary.detail else []), *summary.unmet):
            print(inert_lines(f"crawlfleet: {line}"), file=sys.stderr, flush=True)
    else:
        show_summary(summary, console)


def show_summary(summary: Summary, console: Console) -> None:
    """Print a summary as a table; then its sinks, its notices and what to do next."""
    table = Table(title=f"{summary.job}: {summary.ended}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, value in _lines(summary):
        table.add_row(name, value)
    console.print(table)
    for line in (*_item_lines(summary), *cause_lines(summary.causes)):
        console.say(line)
    for line in (
        *(f"items: {sink}" for sink in summary.sinks),
        *(f"table: {file}" for file in summary.tables),
        *summary.notices,
        *robots_lines(summary),
        *sitemap_lines(summary),
        *full_lines(summary),
        *capped_lines(summary),
        *_note_lines(summary),
        *_costly_lines(summary),
    ):
        console.say(line)
    for warning in summary.warnings:
        console.say(warning, style="yellow")
    for sentence in summary.unmet:
        console.say(sentence, style="bold red")
    if summary.detail:
        console.say(summary.detail, style="bold red")
    if summary.ended == "interrupted" and summary.resumable:
        command = "the same command without --fresh" if summary.fresh else "the same command"
        console.say(f"Nothing is lost: {command} resumes the crawl.")
    elif summary.ended == "interrupted":
        console.say("The items so far are kept. The next run has to start again, with --fresh.")


def show_proof(proof: Proof, console: Console) -> None:
    """Print the invariants that `verify` checked: how often each was checked, and where one is violated."""
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
            console.say(f"{invariant.name}: {where}", style="red")
    for line in (*_item_lines(proof), *cause_lines(proof.causes), *full_lines(proof), *capped_lines(proof)):
        console.say(line)
    if proof.unfinished:
        console.say(f"The crawl is not finished: {proof.unfinished:,} URLs wait.")


def show_audit(audit: Audit, console: Console) -> None:
    """Print the smallest gap between requests to each host, in the order of the audit."""
    if not audit.hosts:
        console.say("No host of this crawl has a delay: there is nothing to audit.")
        return
    table = Table(title_justify="left")
    table.add_column("host", overflow="fold")
    for name in ("requests", "smallest gap", "allowed", "too soon"):
        table.add_column(name, justify="right")
    for host in audit.hosts[:SHOWN_HOSTS]:
        gap = "" if host.gap_s is None else f"{host.gap_s:.3f} s"
        allowed = "" if host.gap_s is None else f"{host.allowed_s:.3f} s"
        table.add_row(Text(inert(host.host)), f"{host.starts:,}", gap, allowed, f"{host.too_soon:,}")
    console.print(table)
    if len(audit.hosts) > SHOWN_HOSTS:
        console.say(f"... and {len(audit.hosts) - SHOWN_HOSTS:,} hosts more")


def _item_lines(numbers: Summary | Proof) -> list[str]:
    """Return a line for each rule or item: its rows, the pages that gave them, the share of rows with empty fields; and
    one for each field with values that could not be converted, and for rows that were rejected."""
    lines = ["rows:"] if numbers.items else []
    for item in numbers.items:
        empty = sorted(item.empty.items(), key=lambda each: -each[1])
        shares = ", ".join(f"{field} {number / item.rows:.0%}" for field, number in empty[:SHOWN_FIELDS])
        pages = "1 page" if item.pages == 1 else f"{item.pages:,} pages"
        lines.append(f"  {item.rows:,} {item.name}, on {pages}{f'; empty: {shares}' if shares else ''}")
        lines += _misfit_lines(item)
    return lines


def _misfit_lines(item: ItemCount) -> list[str]:
    most = sorted(item.unconverted.items(), key=lambda each: -each[1])
    lines = [f"    {field}: {values(number)} not converted, such as {sample(item, field)}" for field, number in most]
    more = len(lines) - SHOWN_FIELDS
    lines[SHOWN_FIELDS:] = [f"    and {more:,} fields more"] if more > 0 else []
    if item.rejected:
        rows = "1 row" if item.rejected == 1 else f"{item.rejected:,} rows"
        lines.append(f"    {rows} rejected: {item.rejected_for}")
    return lines


def values(number: int) -> str:
    """Return a number of values in words."""
    return "1 value" if number == 1 else f"{number:,} values"


def sample(item: ItemCount, field: str) -> str:
    """Return a value of a field that could not be converted, as it is shown."""
    text = item.samples.get(field, "")
    return repr(text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}...")


def _note_lines(summary: Summary) -> list[str]:
    """Say of how many pages something is noted, a line for each note."""
    return [
        f"noted of {'1 page' if number == 1 else f'{number:,} pages'}: {note}: {Note(note).meaning}"
        for note, number in summary.noted.items()
    ]


_COSTS = {
    "pages": ("the fetched pages", "{:,.0f}"),
    "size_bytes": ("the bytes received", "{:,.0f}"),
    "links": ("the links", "{:,.0f}"),
    "cpu_s": ("the CPU time of reading pages", "{:,.1f} s"),
    "lookup_s": ("the time of looking names up", "{:,.1f} s"),
}


def _costly_lines(summary: Summary) -> list[str]:
    """Name the hosts that took an outstanding part of the crawl: a line each."""
    parts: dict[str, list[str]] = {}
    for each in summary.costly_hosts:
        what, written = _COSTS[each.kind]
        parts.setdefault(each.host, []).append(f"{each.part:.0%} of {what} ({written.format(each.amount)})")
    return [f"{host} took {', '.join(some)}" for host, some in parts.items()]


def _external_lines(summary: Summary) -> list[tuple[str, str]]:
    """Return the numbers of external links, if there are any."""
    numbers = (
        ("external links checked", summary.external_checked),
        ("  broken", summary.external_broken),
        ("  not checked", summary.external_unchecked),
        ("  not finished", summary.external_waiting),
    )
    return [(name, f"{number:,}") for name, number in numbers if number]


def _lines(summary: Summary) -> list[tuple[str, str]]:
    lines = [
        ("pages fetched", f"{summary.fetched:,}"),
        ("redirects followed", f"{summary.redirected:,}"),
        ("failed", f"{summary.failed:,}"),
        ("dropped", f"{summary.dropped:,}"),
        ("URLs discovered", f"{summary.discovered:,}"),
        *_external_lines(summary),
        ("rows", f"{summary.rows:,}"),
        *([("  rejected", f"{summary.rows_rejected:,}")] if summary.rows_rejected else []),
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
    return lines
