"""The page about scale: its arithmetic is right, and made of nothing but figures that are measured or assumed there.

Tables whose last column is `figure` or `where`, `assumed` and `arithmetic` say which is which.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import floor, log10
from pathlib import Path
from typing import NamedTuple

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "explanation" / "scale.md"
TEXT = PAGE.read_text(encoding="utf-8")
TABLE = re.compile(r"(?:^\|.*\|\n)+", re.MULTILINE)
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e\d+)?")
LINK = re.compile(r"\]\(([^)#]+)")
# Of units: seconds of a day and of a minute, bits of a byte.
OF_UNITS = {86_400.0, 60.0, 8.0}


class Line(NamedTuple):
    """A line of a table of arithmetic."""

    what: str
    arithmetic: str
    result: str


def tables(column: str) -> Iterator[list[str]]:
    """Yield the cells of each line of the tables that have a column of that name."""
    for table in TABLE.findall(TEXT):
        head, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
        if column in head:
            yield from lines


def number(text: str) -> float:
    return float(text.replace(",", ""))


def numbers(text: str) -> list[str]:
    return NUMBER.findall(text)


LINES = [Line(*cells) for cells in tables("arithmetic")]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.what)
def test_the_arithmetic_is_right(line: Line) -> None:
    expression = line.arithmetic.replace("\N{MULTIPLICATION SIGN}", "*").replace(",", "")
    assert re.fullmatch(r"[\d.e+*/() ]+", expression)
    value = eval(expression)
    # The result is as exact as it is written: 6,800 is any number that is rounded to hundreds so.
    assert abs(value - number(line.result)) <= 0.5 * unit(line.result), value


def unit(text: str) -> float:
    """Return what one more in the last digit that counts would add to a number."""
    written = number(text)
    _, point, decimals = text.partition(".")
    if point:
        return float(10.0 ** -len(decimals))
    digits = f"{written:.0f}"
    return float(10 ** (len(digits) - len(digits.rstrip("0"))))


def test_the_arithmetic_is_made_of_what_is_measured_or_assumed_or_results() -> None:
    known = {number(text) for column in ("figure", "assumed") for cells in tables(column) for text in numbers(cells[1])}
    named = {number(text) for cells in tables("figure") for text in numbers(cells[0])}
    known |= named | OF_UNITS
    for line in LINES:
        used = {number(text) for text in numbers(line.arithmetic)}
        assert {each for each in used - known if not is_power_of_ten(each)} == set(), line
        known.add(number(line.result))


def is_power_of_ten(value: float) -> bool:
    return value >= 1 and floor(log10(value)) == log10(value)


def test_each_figure_stands_where_its_link_leads() -> None:
    source = ""
    for what, figure, where in tables("figure"):
        found = LINK.search(where)
        if found is not None:
            source = (PAGE.parent / found[1]).read_text(encoding="utf-8")
        (written,) = numbers(figure)
        assert written in numbers(source), what
