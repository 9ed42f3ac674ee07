"""Whatever a page says: a converted value has the form of its type, or there is none; and it is the same every time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from crawlfleet.shared.brief import FieldRule
from crawlfleet.shared.field_types import FIELD_TYPES, fits
from crawlfleet.worker.extract.conversion import Unconvertible, converter
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.fetch.port import Fetched, Headers

PAGE = Page(Fetched(url="http://h.test/", status=200, headers=Headers(()), body=b""))
SIGNS = some.text(alphabet="0123456789-+.,'eE \u00a0\u2212\u0663%:/TZ", max_size=40)
DAYS = some.builds(
    "{} {} {} {}".format,
    some.sampled_from(["", "Mon", "3", "03", "31", "2024", "12:30", "+05:30", "EST", "XYZT", "th"]),
    some.sampled_from(["", "March", "mars", "3", "/", "2024-03-01", "24:00", "pm", "at"]),
    some.sampled_from(["", "2024", "24", "99999", "-1", "T10:00:00Z", "UTC", "1e5", "today"]),
    some.sampled_from(["", "10:00", "25:61", ".5", "GMT+3", "BC", "\u00a0"]),
)
PRICES = some.builds(
    "{}{}{}".format, some.sampled_from(["", "-", "€", "US$ ", "Free "]), SIGNS, some.sampled_from(["", " kr", "¤"])
)
SCALARS = (
    some.just("\ud800")
    | some.none()
    | some.booleans()
    | some.integers()
    | some.floats()
    | some.text(max_size=30)
    | some.binary(max_size=5)
)
DATA = some.recursive(
    SCALARS, lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3)
)
VALUES = some.text(max_size=60) | SIGNS | DAYS | PRICES | DATA
COMMA: list[dict[str, Any]] = [{}, {"decimal_separator": ","}]
HINTS: dict[str, list[dict[str, Any]]] = {
    "date": [{}, {"format": "%d.%m.%Y"}, {"languages": ("fr",)}],
    "datetime": [{}, {"format": "iso"}, {"languages": ("fr",)}],
    "json": [{}, {"by": "jmespath"}],
    **dict.fromkeys(("int", "float", "decimal", "price"), COMMA),
}


def converted(convert: Any, value: Any) -> Any:
    try:
        return convert(value, PAGE)
    except Unconvertible:
        return None


@pytest.mark.parametrize(
    ("kind", "hints"), [(kind, hints) for kind in FIELD_TYPES for hints in HINTS.get(kind, [{}])], ids=str
)
def test_a_value_has_the_form_of_its_type_or_there_is_none(kind: str, hints: dict[str, Any]) -> None:
    convert = converter(FieldRule(name="f", type=kind, **hints))

    @given(VALUES)
    def holds(value: Any) -> None:
        made = converted(convert, value)
        assert made is None or fits(kind, made)
        assert repr(converted(convert, value)) == repr(made)

    holds()
