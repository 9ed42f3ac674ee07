"""What one page gives, for a user: tables that fit the terminal, plain lines elsewhere, or one JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http.client import responses
from textwrap import wrap
from typing import Any

import msgspec
from rich.cells import cell_len
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from crawlfleet.screen.console import Console
from crawlfleet.shared.inert import inert, inert_json
from crawlfleet.shared.notes import Note
from crawlfleet.shared.quantities import duration_text
from crawlfleet.shared.reasons import Reason, meaning_of
from crawlfleet.shared.web.link_records import MEANINGS
from crawlfleet.tried import READ, REFUSED, WAITS, Link, Tried

SHOWN_ROWS = 20
# As lists on a terminal, which has few lines.
SHOWN_LISTS = 3
SHOWN_GAPS = 40
SHOWN_LINKS = 5
SHOWN_REJECTED = 5
MAX_VALUE_CHARS = 200
MAX_LINE_CHARS = 2_000
# A table has columns of this many signs at least; of more columns than fit, a row is shown as a list.
LEAST_CELL_CHARS = 10
MOST_CELL_CHARS = 48
_EDGE_CHARS = 3
# Whoever copies an address wants it in one piece.
_WRAPPING: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "drop_whitespace": True}
_NULL = "null"
_STYLES = {READ: "green", WAITS: "yellow", REFUSED: "yellow"}


def show_tried(tried: Tried, console: Console, *, as_json: bool) -> None:
    """Print what one page gives."""
    if as_json:
        print(inert_json(msgspec.json.encode(tried).decode()), flush=True)
        return
    labels = list(_head(tried))
    for label, text, style in labels:
        _say(console, f"{label:<9}{inert(text, MAX_LINE_CHARS)}", style, 9)
    for item in _items(tried):
        rows = [row for row in tried.rows if row.get("item") == item]
        console.say("")
        console.say(f"{inert(item, MAX_VALUE_CHARS)}: {_number(len(rows), 'row')}", "bold")
        _show_rows(rows, console)
    _show_lines(_rejected_lines(tried), console, "yellow")
    _show_lines(_gap_lines(tried), console, None)
    _show_lines(_link_lines(tried.links), console, None)
    if tried.left_out:
        console.say(tried.left_out, "yellow")


def _head(tried: Tried) -> Iterator[tuple[str, str, str | None]]:
    """Yield what is said before the rows: a label, a text, its style."""
    yield "page", tried.url if not tried.file else f"{tried.url} (read from {tried.file})", "bold"
    if tried.asked != tried.url and not tried.hops:
        yield "", f"asked for as {tried.asked}", None
    for hop in tried.hops:
        yield "redirect", f"{hop.status} {hop.url} -> {hop.location}", None
    if tried.status:
        yield "answer", " · ".join(_answer_parts(tried)), None
    for each in tried.robots:
        pause = f"; it asks for {duration_text(each.delay_s)} between requests" if each.delay_s else ""
        yield "robots", f"{each.url}: {each.verdict}{pause}", None
    for note in tried.notes:
        yield "note", f"{note}: {Note(note).meaning}", "yellow"
    yield "result", _verdict(tried), _STYLES.get(tried.state, "bold red")
    if tried.detail:
        yield "", tried.detail, None


def _answer_parts(tried: Tried) -> Iterator[str]:
    yield f"{tried.status} {responses.get(tried.status, '')}".strip()
    if tried.content_type:
        yield tried.content_type
    if tried.encoding:
        yield f"{tried.encoding} ({'declared' if tried.declared else 'not declared'})"
    if tried.reason != Reason.CONTENT_TYPE:  # else they were not read
        yield f"{tried.size_bytes:,} bytes"
    if not tried.file:
        yield f"fetched in {tried.elapsed_s:.3f} s"
    if tried.cpu_s:
        yield f"read in {tried.cpu_s:.3f} s of CPU time"


def _verdict(tried: Tried) -> str:
    why = f": {tried.reason}. {tried.meaning}" if tried.reason else ""
    if tried.state == READ:
        rejected = f", {_number(len(tried.rejected), 'row')} rejected" if tried.rejected else ""
        return f"read: {_number(len(tried.rows), 'row')}{rejected}{why}"
    if tried.state == WAITS:
        return f"not read now{why} A crawl tries again later."
    return f"{tried.state}{why}{' A crawl of this job does not fetch it.' if tried.state == REFUSED else ''}"


def _items(tried: Tried) -> list[str]:
    return list(dict.fromkeys(str(row.get("item")) for row in tried.rows))


def _show_rows(rows: list[dict[str, Any]], console: Console) -> None:
    fields = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in ("url", "item")]
    shown = rows[:SHOWN_ROWS]
    if console.is_terminal and len(fields) * (LEAST_CELL_CHARS + _EDGE_CHARS) < console.width:
        console.print(_table(fields, shown, console.width))
    else:
        shown = rows[: SHOWN_LISTS if console.is_terminal else SHOWN_ROWS]
        wide = max((cell_len(inert(name)) for name in fields), default=0)
        for number, row in enumerate(shown, 1):
            for place, name in enumerate(fields):
                label = inert(name)
                label += " " * (wide - cell_len(label))
                text = _value(row.get(name), MAX_VALUE_CHARS)
                _say(console, f"{number if not place else '':>4}  {label}  {text}", None, wide + 8)
    if len(rows) > len(shown):
        _say(console, f"      and {_number(len(rows) - len(shown), 'row')} more (--json has all)", None, 6)


def _table(fields: list[str], rows: list[dict[str, Any]], console_width: int) -> Table:
    table = Table(title_justify="left")
    headers = [Text(inert(name, MOST_CELL_CHARS)) for name in fields]
    columns = [[_cell(row.get(name), console_width) for row in rows] for name in fields]
    natural = [max(text.cell_len for text in (header, *cells)) for header, cells in zip(headers, columns, strict=True)]
    widths = _fitting(natural, console_width - _EDGE_CHARS * len(fields) - 1)
    for name, header, width in zip(fields, headers, widths, strict=True):
        is_number = any(isinstance(row.get(name), int | float) for row in rows)
        justify: JustifyMethod = "right" if is_number else "left"
        table.add_column(header, no_wrap=True, overflow="ellipsis", width=width, justify=justify)
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    return table


def _fitting(widths: list[int], room: int) -> list[int]:
    """Return the widths of columns, the widest ones narrowed, so that together they take no more than the room."""
    widths = list(widths)
    while sum(widths) > room and max(widths) > LEAST_CELL_CHARS:
        widths[widths.index(max(widths))] -= 1
    return widths


def _cell(value: Any, most_chars: int) -> Text:
    text = Text(_value(value, most_chars))
    if value is None:
        text.stylize("dim red")
    return text


def _value(value: Any, most_chars: int) -> str:
    if value is None:
        return _NULL
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = f"[{', '.join(value)}]"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return inert(text, most_chars)


def _rejected_lines(tried: Tried) -> Iterator[str]:
    if tried.rejected:
        yield f"rejected: {_number(len(tried.rejected), 'row')}"
    for each in tried.rejected[:SHOWN_REJECTED]:
        fields = {name: value for name, value in each.row.items() if name not in ("url", "item")}
        yield f"  {each.row.get('item')}: {each.reason}: {_value(fields, MAX_VALUE_CHARS)}"


def _gap_lines(tried: Tried) -> Iterator[str]:
    if tried.gaps:
        yield "empty fields:"
    for gap in tried.gaps[:SHOWN_GAPS]:
        hint = f": {gap.hint}" if gap.hint else ""
        if gap.field:
            yield f"  {gap.item}.{gap.field} in {gap.empty:,} of {_number(gap.rows, 'row')}{hint}"
        else:
            yield f"  {gap.item}: no rows{hint}"
    if len(tried.gaps) > SHOWN_GAPS:
        yield f"  and {_number(len(tried.gaps) - SHOWN_GAPS, 'field')} more (--json has all)"


def _link_lines(links: tuple[Link, ...]) -> Iterator[str]:
    """Yield the addresses that are followed, and the others by the rule that refuses them."""
    by_rule: dict[str, dict[str, None]] = {}
    for link in links:
        by_rule.setdefault(link.why, {})[link.url] = None
    followed = by_rule.pop("", {})
    for url in followed:  # what another link leads to, too
        for others in by_rule.values():
            others.pop(url, None)
    refused = sum(map(len, by_rule.values()))
    if links:
        yield f"links: {len(followed):,} followed, {refused:,} not"
    yield from _some(followed)
    for rule, urls in sorted(by_rule.items(), key=lambda each: -len(each[1])):
        if urls:
            yield f"  {len(urls):,} {rule}: {MEANINGS.get(rule) or meaning_of(rule)}"
            yield from _some(urls, "    ")


def _some(urls: Iterable[str], indent: str = "  ") -> Iterator[str]:
    listed = list(urls)
    yield from (f"{indent}{url[:MAX_VALUE_CHARS]}" for url in listed[:SHOWN_LINKS])
    if len(listed) > SHOWN_LINKS:
        yield f"{indent}and {len(listed) - SHOWN_LINKS:,} more (--json has all)"


def _show_lines(lines: Iterable[str], console: Console, style: str | None) -> None:
    """Print lines below an empty one, if there are any."""
    for number, line in enumerate(lines):
        if not number:
            console.say("")
        _say(console, inert(line, MAX_LINE_CHARS), style, len(line) - len(line.lstrip()) + 2)


def _say(console: Console, line: str, style: str | None, indent: int) -> None:
    """Print a line; on a terminal in as many as it takes, between words."""
    if not console.is_terminal:
        console.say(line)
        return
    for part in wrap(line, console.width, subsequent_indent=" " * indent, **_WRAPPING) or [line]:
        console.say(part, style)


def _number(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number:,} {what}s"
