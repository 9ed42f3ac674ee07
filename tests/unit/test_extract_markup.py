"""Markdown of markup that is odd, or made to take long."""

from __future__ import annotations

import pytest

from crawlfleet.worker.extract.markup import markdown


def _markdown(html: str) -> str:
    return markdown(html, lambda address: address)


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<ol><li>a<li>b<br>c</ol>", "1. a\n2. b  \n   c"),
        ("<ol start=9><li>a<li><p>b</p><p>c</p></ol>", "9. a\n10. b\n\n    c"),
        ("<ol><li>a<ol><li>b<li>c</ol><li><li>d</ol>", "1. a\n   1. b\n   2. c\n3. d"),
        ("<ul><li>a<li>b</ul><li>c", "- a\n- b\n\n- c"),
        ("<ol start=\u00b2><li>a</ol>", "1. a"),
        (f"<ol start={'9' * 5_000}><li>a</ol>", "1. a"),
    ],
    ids=["numbers", "first number", "list in a list", "no list of numbers", "no number", "too large a number"],
)
def test_items_of_lists_are_numbered(html: str, expected: str) -> None:
    assert _markdown(html) == expected


@pytest.mark.parametrize(("colspan", "columns"), [("2", 2), ("\u00b2", 1), ("999", 1), ("-1", 1), ("", 1)])
def test_cells_take_as_many_columns_as_they_say_in_a_sound_number(colspan: str, columns: int) -> None:
    head, _ = _markdown(f"<table><tr><th colspan='{colspan}'>a</th></tr></table>").split("\n")
    assert head == "| a |" + " |" * (columns - 1)


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("a" + " " * 40 + "b", "a" + " " * 40 + "b"),
        ("a" + " " * 9_999 + "b", "a" + " " * 100 + "b"),
        ("a  \n \n  b", "a\n\n  b"),
        ("a" + "\n" * 9_999 + "  b", "a" + "\n" * 100 + "  b"),
    ],
    ids=["some blanks", "many blanks", "blank lines", "many lines"],
)
def test_preformatted_text_keeps_its_form_but_for_endless_blanks(inside: str, expected: str) -> None:
    assert _markdown(f"<pre>{inside}</pre>") == f"```\n{expected}\n```"
