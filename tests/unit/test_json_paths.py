"""JMESPath and XPath of jobs: which can be used, and what JMESPath finds in data."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.shared import json_paths, xpaths
from crawlfleet.shared.web.patterns import finder

DATA: dict[str, Any] = {"a": {"b": [1, 2]}, "c": "x"}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("a.b", [1, 2]),
        ("a.b[0]", 1),
        ("z", None),
        ("@", DATA),
        ("length(a.b)", 2),
        ("sum(a.b)", 3),
        ("sum(c)", None),
        ("a.b[?@ > `1`]", [2]),
        ("to_number(c)", None),
    ],
)
def test_an_expression_finds_a_part_or_nothing(expression: str, found: Any) -> None:
    assert json_paths.compiled(expression)(DATA) == found


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "wants 1 to 1000 characters"),
        ("a" * 1001, "wants 1 to 1000 characters"),
        ("a[", "is no JMESPath"),
        ("nope(a)", "is no JMESPath (Unknown function"),
        ("length()", "is no JMESPath"),
        ("(" * 999, "is no JMESPath|nested too deep"),
        ("!" * 900 + "a", "nested too deep"),
    ],
)
def test_an_expression_that_cannot_be_used_is_told(expression: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", "[(]")):
        json_paths.compiled(expression)


def test_an_xpath_that_cannot_be_used_is_told() -> None:
    for expression, said in (("", "wants 1 to"), ("//a[", "is no XPath"), ("f(1)", "Unregistered function")):
        with pytest.raises(ValueError, match=said):
            xpaths.compiled(expression)
    assert callable(xpaths.compiled("//a"))


def test_a_regular_expression_finds_its_first_group_or_nothing() -> None:
    assert finder("b(.)(.)")("abcd") == "c"
    assert finder("b.")("abcd") == "bc"
    assert finder("x")("abcd") is None
    assert finder("(x)?b")("abcd") is None
    assert finder("b")("b\ud800") is None
