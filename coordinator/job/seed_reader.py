"""Reads the addresses of a seeds file, one after another, and tells of the lines that are none.

A text file has an address a line; blank lines and those that begin with `#` are passed over. A CSV file (RFC 4180; the
separator may also be a semicolon or a tab) has names of columns in its first line, and an address in one of them.
Lines are data, not something that a person typed into the job: no ranges, nothing is believed, all is bounded.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.coordinator.job.seed_ranges import address
from crawlfleet.coordinator.job.text_lines import UNDECODED, TextLines, Unreadable

MAX_COLUMNS = 100
MAX_COLUMN_NAME_CHARS = 64
#: All columns of one line together, but the address.
MAX_COLUMNS_CHARS = 16 * 1024
MAX_LINES_PER_RECORD = 100
MAX_TOLD = 20
SHOWN_NAMES = 10

_SEPARATORS = (",", ";", "\t")
_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_OPEN_QUOTE = "unexpected end of data"


class Form(NamedTuple):
    """How the lines of a CSV file are read: the place of the address, and those of the other columns by their names."""

    separator: str
    address: int
    others: dict[str, int]
    width: int


def is_table(name: str, column: str | None) -> bool:
    """Say whether a seeds file is a CSV file: it has such a name, or a column of it is asked for."""
    return column is not None or name.lower().endswith(_ENDINGS)


def look(path: Path, column: str | None, name: str) -> tuple[str, ...]:
    """Look at the beginning of a seeds file; return the names of its other columns.

    Raise `ValueError` with a sentence if it cannot be read, or has no such column.
    """
    try:
        lines = TextLines(path)
        try:
            if is_table(name, column):
                return tuple(_form(_Records(lines), column).others)
            next(iter(lines), None)
        finally:
            lines.close()
    except Unreadable as why:
        raise ValueError(f"{name[:200]!r} {why}") from why
    return ()


class SeedReader:
    """The seeds of one file, as canonical URLs with their lines. It is iterated once.

    `addresses` and `bad` count lines, as far as the file is read. `fault` says why it was not read to its end; its
    text is a sentence that begins with the file's name.
    """

    def __init__(self, path: Path, name: str, column: str | None, columns: Sequence[str]) -> None:
        self.name = name
        self.addresses = 0
        self.bad = 0
        self.first_bad = ""
        self.fault = ""
        self._path = path
        self._column = column
        self._columns = frozenset(columns)
        self._lines: TextLines | None = None
        self._told: list[str] = []

    def __iter__(self) -> Iterator[tuple[str, SeedLine]]:
        try:
            lines = self._lines = TextLines(self._path)
            try:
                for number, text, others in self._table(lines) if self._is_table else self._list(lines):
                    url = self._address(number, text)
                    if url is not None:
                        self.addresses += 1
                        yield url, SeedLine(text, others)
                if lines.has_changed:
                    self.fault = f"{self.name} was changed while it was read: run the job again to take all of it"
            finally:
                lines.close()
        except Unreadable as why:
            at = f" after line {self._lines.number:,}" if self._lines is not None and self._lines.number else ""
            self.fault = f"{self.name} {why}; nothing was taken from it{at}"

    @property
    def number(self) -> int:
        """The number of the line that was read last."""
        return self._lines.number if self._lines is not None else 0

    @property
    def fraction(self) -> float:
        """How much of the file is read, from 0 to 1."""
        return self._lines.fraction if self._lines is not None else 0.0

    def findings(self) -> Iterator[str]:
        """Yield what the user must know of the file once it is read."""
        if self.fault:
            yield f"{self.fault}."
        if self.bad:
            bad = "1 line is" if self.bad == 1 else f"{self.bad:,} lines are"
            yield f"{self.name}: {bad} skipped, such as {self.first_bad}."
        if not self.addresses and not self.fault:
            yield f"{self.name} holds no address."

    def take_told(self) -> list[str]:
        """Return what is to be said of bad lines since the last time: of the first ones only."""
        told, self._told = self._told, []
        return told

    @property
    def _is_table(self) -> bool:
        return is_table(self.name, self._column)

    def _list(self, lines: TextLines) -> Iterator[tuple[int, str, dict[str, str]]]:
        for line in lines:
            text = line.strip() if line is not None else None
            if text is None:
                self._refuse(lines.number, _TOO_LONG)
            elif text and not text.startswith("#"):
                yield lines.number, text, {}

    def _table(self, lines: TextLines) -> Iterator[tuple[int, str, dict[str, str]]]:
        records = _Records(lines)
        form = _form(records, self._column)
        wanted = [(name, place) for name, place in form.others.items() if name in self._columns]
        for number, cells in records.with_separator(form.separator):
            if isinstance(cells, str):
                self._refuse(number, cells)
            elif len(cells) > form.width:
                self._refuse(number, f"has {len(cells)} columns, the first line {form.width}: put texts in quotes")
            elif any(cells):
                others = {name: cells[place] if place < len(cells) else "" for name, place in wanted}
                why = _fault_of(others)
                if why:
                    self._refuse(number, why)
                else:
                    yield number, cells[form.address].strip() if form.address < len(cells) else "", others

    def _address(self, number: int, text: str) -> str | None:
        try:
            if UNDECODED in text:
                raise ValueError(_NOT_UTF_8)
            return address(text)
        except ValueError as why:
            self._refuse(number, str(why))
            return None

    def _refuse(self, number: int, why: str) -> None:
        self.bad += 1
        if self.bad <= MAX_TOLD:
            self._told.append(f"{self.name}:{number}: {why}")
            self.first_bad = self.first_bad or self._told[-1]
        elif self.bad == MAX_TOLD + 1:
            self._told.append(f"{self.name}:{number}: {why}; further bad lines are counted only")


def _fault_of(others: Mapping[str, str]) -> str:
    """Return what is wrong with the other columns of a line, if anything is."""
    if sum(map(len, others.values())) > MAX_COLUMNS_CHARS:
        return f"has more than {MAX_COLUMNS_CHARS // 1024} KiB of text in its columns: shorten it"
    return _NOT_UTF_8 if any(UNDECODED in text for text in others.values()) else ""


_TOO_LONG = "the line is too long for an address: shorten it"
_NOT_UTF_8 = "is not UTF-8 text: save the file as UTF-8"


class _Records:
    """The records of a CSV file, each with the number of its first line. One may take several lines."""

    def __init__(self, lines: TextLines) -> None:
        self._lines = iter(lines)
        self._source = lines
        # Lines that were read for a record that turned out to be none.
        self._again: deque[tuple[int, str | None]] = deque()

    def first_line(self) -> str:
        """Return the first line that is not blank: the names."""
        return next((line for line in self._lines if line is None or line.strip()), "") or ""

    def with_separator(self, separator: str) -> Iterator[tuple[int, list[str] | str]]:
        """Yield the cells of each record, or why it is none."""
        while (found := self._next()) is not None:
            number, line = found
            if line is None:
                yield number, _TOO_LONG
            elif '"' not in line:
                yield number, line.split(separator) if line else []
            else:
                yield number, self._quoted(line, separator)

    def _quoted(self, line: str, separator: str) -> list[str] | str:
        """Read a record with quotes. If they are not closed, the lines after the first are read again."""
        some = [line]
        taken: list[tuple[int, str | None]] = []
        while True:
            try:
                (cells,) = csv.reader(["\n".join(some)], delimiter=separator, strict=True)
                return cells
            except csv.Error as error:
                more = self._next() if str(error) == _OPEN_QUOTE and len(some) < MAX_LINES_PER_RECORD else None
                if more is not None and more[1] is not None:
                    taken.append(more)
                    some.append(more[1])
                    continue
                self._again.extendleft(reversed([*taken, *([more] if more is not None else [])]))
                is_open = bool(taken) or str(error) == _OPEN_QUOTE
                return "a quote is not closed: close it, or double it" if is_open else f"is no CSV ({error}): mend it"

    def _next(self) -> tuple[int, str | None] | None:
        if self._again:
            return self._again.popleft()
        for line in self._lines:
            return self._source.number, line
        return None


def _form(records: _Records, column: str | None) -> Form:
    """Return the form that the first line of a CSV file gives. Raise `Unreadable` if it has no such column."""
    line = records.first_line()
    if column is None:
        names = _names(line, max(_SEPARATORS, key=line.count))
        raise Unreadable(f"is a CSV file: name the column that has the addresses, column: one of {_listed(names)}")
    for separator in sorted(_SEPARATORS, key=line.count, reverse=True):
        names = _names(line, separator)
        folded = [name.casefold() for name in names]
        if column.casefold() in folded:
            place = names.index(column) if column in names else folded.index(column.casefold())
            return Form(separator, place, _others(names, folded, place), len(names))
    names = _names(line, max(_SEPARATORS, key=line.count))
    raise Unreadable(f"has no column {column[:60]!r}: its first line names {_listed(names)}")


def _names(line: str, separator: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return []


def _others(names: Sequence[str], folded: Sequence[str], address: int) -> dict[str, int]:
    """Return the columns that are kept: of those with one name, whatever its capitals, the first."""
    kept: dict[str, int] = {}
    for place, name in enumerate(names):
        is_name = bool(name) and name.isprintable() and len(name) <= MAX_COLUMN_NAME_CHARS and UNDECODED not in name
        if is_name and place != address and folded.index(folded[place]) == place and len(kept) < MAX_COLUMNS:
            kept[name] = place
    return kept


def _listed(names: Sequence[str]) -> str:
    shown = [repr(name[:MAX_COLUMN_NAME_CHARS]) for name in names[:SHOWN_NAMES] if name]
    more = ["..."] if len(names) > SHOWN_NAMES else []
    return ", ".join(chain(shown, more)) or "none"
