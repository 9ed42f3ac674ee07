"""The form of each type of field in a row, and what is not of that form."""

from __future__ import annotations

from typing import Any

import pytest

from crawlfleet.shared.brief import FieldRule
from crawlfleet.shared.field_types import FIELD_TYPES, fits

FITTING: dict[str, list[Any]] = {
    "text": ["", "a"],
    "int": [0, -(2**63), 2**63 - 1],
    "float": [0.0, -1.5e300],
    "decimal": ["12.30", "-0.5", "0", "9" * 38],
    "bool": [True, False],
    "date": ["2024-02-29"],
    "datetime": ["2024-02-29T23:59:59", "2024-02-29T23:59:59.000001", "2024-02-29T23:59:59-05:30"],
    "url": ["https://e.org/", "http://e.org/a?b=%20"],
    "price": [{"amount": "1.20", "currency": "EUR"}, {"amount": "1", "currency": None}],
    "json": ["a", 1, 1.5, True, [], {"a": [None]}],
}
OTHERS: dict[str, list[Any]] = {
    "text": [1, b"a", "\ud800"],
    "int": [True, 1.0, "1", 2**63],
    "float": [1, "1.0", float("nan"), float("inf")],
    "decimal": [1, "1e3", ".5", "1.", "+1", "1,0", "9" * 39, "٣"],
    "bool": [0, "true"],
    "date": ["2023-02-29", "20240229", "2024-02-29T00:00:00", 20240229],
    "datetime": ["2024-02-30T00:00:00", "2024-02-29", "2024-02-29 00:00:00", "2024-02-29T00:00:00Z", 5],
    "url": ["/a", "https://E.org/", "https://e.org/#a", "mailto:a@e.org", 5, "https://e.org/" + "a" * 9000],
    "price": [{"amount": "1"}, {"amount": 1, "currency": None}, {"amount": "1", "currency": ""}, "1 EUR"],
    "json": [{1: 2}, float("inf"), {"a": object()}],
}


def test_every_type_has_examples_of_its_form() -> None:
    assert set(FIELD_TYPES) == set(FITTING) == set(OTHERS)


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in FITTING.items() for value in values])
def test_a_value_in_the_form_of_its_type_fits(kind: str, value: Any) -> None:
    assert fits(kind, value)


@pytest.mark.parametrize(("kind", "value"), [(kind, value) for kind, values in OTHERS.items() for value in values])
def test_any_other_value_does_not_fit(kind: str, value: Any) -> None:
    assert not fits(kind, value)


@pytest.mark.parametrize("kind", FIELD_TYPES)
def test_no_value_is_of_no_type(kind: str) -> None:
    assert not fits(kind, None)


def test_a_field_is_a_text_unless_its_rule_says_otherwise() -> None:
    assert FieldRule(name="a").type == "text"
