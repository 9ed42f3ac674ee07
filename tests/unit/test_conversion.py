"""Texts of pages, and values of JSON documents, become values of the types of their fields, or are refused."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from crawlfleet.shared.brief import FieldRule
from crawlfleet.shared.dates import reader
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.field_types import fits
from crawlfleet.worker.extract.conversion import Unconvertible, converter
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.fetch.port import Fetched, Headers

HTML = Headers((("Content-Type", "text/html"),))
PAGE = Page(Fetched(url="http://h.test/a/b", status=200, headers=HTML, body=b"<base href=/base/>"))
REFUSED = object()
JMES = "jmespath"


def convert(kind: str, value: Any, **hints: Any) -> Any:
    """Return a converted value, or `REFUSED`. What is converted has the form of its type."""
    try:
        made = converter(FieldRule(name="f", type=kind, **hints))(value, PAGE)
    except Unconvertible:
        return REFUSED
    assert fits(kind, made)
    return made


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", "0"),
        ("12", "12"),
        (" 12.30 ", "12.30"),
        ("-1", "-1"),
        ("\u22125", "-5"),
        ("+7", "7"),
        ("1,234", "1234"),
        ("1,234,567.50", "1234567.50"),
        ("1 234", "1234"),
        ("1\u00a0234\u00a0567", "1234567"),
        ("1\u202f234", "1234"),
        ("1'234.5", "1234.5"),
        ("1\u2019234", "1234"),
        (".5", "0.5"),
        ("5.", "5"),
        ("007", "7"),
        ("1e3", "1000"),
        ("1.5E-2", "0.015"),
        ("\u0663\u0664", "34"),
        ("9" * 38, "9" * 38),
        ("0." + "1" * 37, "0." + "1" * 37),
        (12, "12"),
        (12.5, "12.5"),
        (1e22, "10000000000000000000000"),
        ("", REFUSED),
        ("abc", REFUSED),
        ("12 in stock", REFUSED),
        ("1.234,50", REFUSED),
        ("1,23", REFUSED),
        ("1,234 567", REFUSED),
        ("1234,567", REFUSED),
        ("1.2.3", REFUSED),
        ("--1", REFUSED),
        ("nan", REFUSED),
        ("inf", REFUSED),
        ("12%", REFUSED),
        ("0x10", REFUSED),
        ("9" * 39, REFUSED),
        ("1e9999", REFUSED),
        ("1e99999999", REFUSED),
        ("1" * 2000, REFUSED),
        (True, REFUSED),
        (None, REFUSED),
        ([1], REFUSED),
        (float("nan"), REFUSED),
    ],
)
def test_a_decimal_is_a_number_and_nothing_else(text: Any, number: Any) -> None:
    assert convert("decimal", text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.234,50", "1234.50"),
        ("12,5", "12.5"),
        ("1.234", "1234"),
        ("1 234,5", "1234.5"),
        ("1,234.5", REFUSED),
        (1.5, "1.5"),
    ],
)
def test_the_decimal_separator_of_a_field_may_be_a_comma(text: Any, number: Any) -> None:
    assert convert("decimal", text, decimal_separator=",") == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1,234", 1234),
        ("12.00", 12),
        ("-3", -3),
        (7, 7),
        (7.0, 7),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", REFUSED),
        ("12.5", REFUSED),
        ("1e30", REFUSED),
        (2**64, REFUSED),
        (True, REFUSED),
        ("", REFUSED),
    ],
)
def test_an_int_has_64_bits_and_no_fraction(text: Any, number: Any) -> None:
    assert convert("int", text) == number


@pytest.mark.parametrize(
    ("text", "number"), [("1,234.5", 1234.5), ("1e300", 1e300), (3, 3.0), ("1e309", REFUSED), ("x", REFUSED)]
)
def test_a_float_is_finite(text: Any, number: Any) -> None:
    assert convert("float", text) == number


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("true", True),
        (" Yes ", True),
        ("ON", True),
        ("1", True),
        ("false", False),
        ("No", False),
        ("off", False),
        ("0", False),
        (True, True),
        (0, False),
        ("maybe", REFUSED),
        ("", REFUSED),
        (2, REFUSED),
        (1.0, REFUSED),
        (["true"], REFUSED),
    ],
)
def test_a_bool_is_a_word_that_says_so(value: Any, said: Any) -> None:
    assert convert("bool", value) is said


DATES = [
    ("2024-05-06", "2024-05-06T00:00:00"),
    ("2024-05-06T07:08", "2024-05-06T07:08:00"),
    ("2024-05-06 07:08:09.5", "2024-05-06T07:08:09.500000"),
    ("2024-05-06T07:08:09Z", "2024-05-06T07:08:09+00:00"),
    ("2024-05-06T07:08:09-05:30", "2024-05-06T07:08:09-05:30"),
    ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37+00:00"),
    ("6 Nov 1994 08:49 EST", "1994-11-06T08:49:00-05:00"),
    ("6 Nov 1994 08:49 +0200", "1994-11-06T08:49:00+02:00"),
    ("March 3, 2024 5:06 pm", "2024-03-03T17:06:00"),
    ("3rd of March 2024", "2024-03-03T00:00:00"),
    ("3 Mar 2024", "2024-03-03T00:00:00"),
    ("13/04/2024", "2024-04-13T00:00:00"),
    ("03/04/2024", REFUSED),
    ("13/04/24", REFUSED),
    ("May 2024", REFUSED),
    ("2024", REFUSED),
    ("Monday", REFUSED),
    ("yesterday", REFUSED),
    ("10:00", REFUSED),
    ("6 Nov 1994 08:49 XYZT", REFUSED),
    ("31 February 2024", REFUSED),
    ("99999999999999999999", REFUSED),
    ("", REFUSED),
    ("x" * 200, REFUSED),
    (1714979289, REFUSED),
    ("2024-05-06T07:08:09+01:02:03", REFUSED),
]


@pytest.mark.parametrize(("text", "moment"), DATES)
def test_a_datetime_is_complete_and_means_one_moment(text: Any, moment: Any) -> None:
    assert convert("datetime", text) == moment


@pytest.mark.parametrize(("text", "moment"), [each for each in DATES if "+01:02:03" not in str(each[0])])
def test_a_date_is_the_day_that_the_page_names(text: Any, moment: Any) -> None:
    assert convert("date", text) == (moment if moment is REFUSED else moment[:10])


def test_a_date_may_have_a_format_of_its_own() -> None:
    assert convert("date", "03/04/2024", format="%d/%m/%Y") == "2024-04-03"
    assert convert("date", "3 April 2024", format="%d/%m/%Y") is REFUSED
    assert convert("datetime", "2024-04-03", format="iso") == "2024-04-03T00:00:00"
    assert convert("datetime", "3 April 2024", format="iso") is REFUSED


def test_a_date_may_be_in_other_languages() -> None:
    assert convert("date", "3. M\u00e4rz 2024", languages=("de", "fr")) == "2024-03-03"
    assert convert("date", "03.04.2024", languages=("de",)) == "2024-04-03"
    assert convert("date", "le 3 ao\u00fbt 2024", languages=("de", "fr")) == "2024-08-03"
    assert convert("date", "2024-05-06", languages=("de",)) == "2024-05-06"
    assert convert("date", "03.04.2024", languages=("de", "en")) == "2024-04-03"
    assert convert("date", "03/04/2024", languages=("en", "de")) == "2024-03-04"
    for vague in ("gestern", "M\u00e4rz 2024", "10:00", "Unsinn"):
        assert convert("date", vague, languages=("de",)) is REFUSED


def test_a_missing_library_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dateparser.date", None)
    with pytest.raises(UsageError, match=r"pip install 'crawlfleet\[dates\]'"):
        converter(FieldRule(name="f", type="date", languages=("de",)))
    assert convert("date", "3 March 2024") == "2024-03-03"


@pytest.mark.parametrize(
    ("form", "languages", "said"),
    [
        ("%d %b", (), "does not tell year, month and day"),
        ("%Q", (), "is no format of dates"),
        ("", ("xx",), "write codes of languages"),
    ],
)
def test_a_hint_that_cannot_be_used_is_told(form: str, languages: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        reader(form, languages)


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("c", "http://h.test/base/c"),
        (" /x?y=\u00e4#z ", "http://h.test/x?y=%C3%A4"),
        ("//E.org", "http://e.org/"),
        ("https://E.org:443/a/../b", "https://e.org/b"),
        ("mailto:a@e.org", REFUSED),
        ("javascript:void(0)", REFUSED),
        ("http://", REFUSED),
        ("a" * 9000, REFUSED),
        (5, REFUSED),
    ],
)
def test_a_url_is_absolute_and_canonical(value: Any, url: Any) -> None:
    assert convert("url", value) == url


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("\u00a351.77", "51.77", "\u00a3"),
        ("EUR 1,234.50", "1234.50", "EUR"),
        ("1.234,56 \u20ac", "1234.56", "\u20ac"),
        ("now only $5!", "5", "$"),
        ("-5.00 \u20ac", "-5.00", "\u20ac"),
        ("12,5", "12.5", None),
        (19.9, "19.9", None),
    ],
)
def test_a_price_has_an_amount_and_a_currency(text: Any, amount: str, currency: str | None) -> None:
    assert convert("price", text) == {"amount": amount, "currency": currency}


@pytest.mark.parametrize("text", ["sold out", "", "9" * 50 + " \u20ac", "1" * 2000, True, None, {"amount": "1"}])
def test_what_has_no_amount_is_no_price(text: Any) -> None:
    assert convert("price", text) is REFUSED


def test_a_price_takes_the_hints_of_its_field() -> None:
    assert convert("price", "1.234", decimal_separator=".") == {"amount": "1.234", "currency": None}
    assert convert("price", "12.50", currency="EUR") == {"amount": "12.50", "currency": "EUR"}
    assert convert("price", "$12.50", currency="EUR") == {"amount": "12.50", "currency": "$"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, null, "x"]}', {"a": [1, 2.5, None, "x"]}),
        ("5", 5),
        ('{"a": 1', REFUSED),
        ("NaN", REFUSED),
        ("[" * 40 + "]" * 40, REFUSED),
        ("[" * 100_000, REFUSED),
        ("null", REFUSED),
    ],
)
def test_json_in_a_text_is_parsed(text: str, value: Any) -> None:
    assert convert("json", text) == value


def test_json_of_a_document_is_kept_if_it_can_be() -> None:
    assert convert("json", "5", by=JMES) == "5"
    assert convert("json", {"a": "b"}, by=JMES) == {"a": "b"}
    assert convert("json", {"a": float("inf")}, by=JMES) is REFUSED


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (1, "1"), (1.5, "1.5"), (True, "true"), (False, "false"), ({}, REFUSED), ([], REFUSED)],
)
def test_a_text_may_be_a_number_of_a_document(value: Any, text: Any) -> None:
    assert convert("text", value) == text
