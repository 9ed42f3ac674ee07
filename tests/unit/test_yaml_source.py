"""YAML means what was typed, with places; whatever else it could do is a problem."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from crawlfleet.coordinator.job import yaml_source
from crawlfleet.coordinator.job.yaml_source import MAX_BYTES, Place, Problem, parse, read


@pytest.fixture(params=["SafeLoader", "CSafeLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test with both parsers of the library."""
    if not hasattr(yaml, request.param):
        pytest.skip("this build of the library has no C parser")
    monkeypatch.setattr(yaml_source, "_LOADER", getattr(yaml, request.param))


def texts(text: str) -> list[str]:
    return [problem.text for problem in parse(text).problems]


def test_values_are_plain_and_frozen() -> None:
    document = parse("a: [1, -2.5, true, ~, x]\nb: {c: '5'}\n")
    assert document.value == {"a": (1, -2.5, True, None, "x"), "b": {"c": "5"}}
    assert document.complete
    assert document.problems == ()


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "yes",
        "on",
        "off",
        "y",
        "12:30",
        "12:30:45",
        "010",
        "0x1f",
        "0o7",
        "1_000",
        "1e3",
        ".5",
        "2020-01-01",
        ".nan",
        ".inf",
        "9" * 6000,
        "1.0.0",
        "+",
        "=",
        "True1",
    ],
)
def test_traps_of_yaml_stay_the_text_that_was_typed(text: str) -> None:
    assert parse(f"a: {text}").value == {"a": text}


def test_keys_stay_text() -> None:
    assert parse("no: 1\n5: 2\ntrue: 3\n").value == {"no": 1, "5": 2, "true": 3}


def test_places_count_lines_and_columns_from_one() -> None:
    document = parse("é: x\nlist:\n  - {k: ü, m: v}\n")
    assert document.keys["list", 0, "m"] == Place(3, 12)
    assert document.values["list", 0, "m"] == Place(3, 15)
    assert document.values["list", 0] == Place(3, 5)


def test_repeated_key_names_both_lines_and_keeps_the_first() -> None:
    document = parse("a: 1\nb: 2\na: 3\n")
    assert document.value == {"a": 1, "b": 2}
    assert document.problems == (Problem(Place(3, 1), ("a",), "is written twice, first on line 1: keep one"),)


def test_repeated_key_is_found_below_a_list() -> None:
    assert texts("a:\n  - {b: 1, b: 2}\n") == ["is written twice, first on line 2: keep one"]


def test_alias_and_anchor_are_refused_with_their_names() -> None:
    assert texts("a: &x [1]\nb: *x\n") == [
        "the anchor &x is not accepted: take it away",
        "the alias *x is not accepted: write the value out",
    ]


def test_value_of_an_alias_is_marked_broken() -> None:
    document = parse("a: &x 1\nb: *x\n")
    assert document.value == {"a": 1, "b": None}
    assert document.broken == {("b",)}


@pytest.mark.parametrize("tag", ["!!python/object:os.system", "!!str", "!", "!mine"])
def test_tags_are_refused(tag: str) -> None:
    assert texts(f"a: {tag} x\n") == [f"the tag {tag} is not accepted: take it away"]


def test_merge_key_is_refused() -> None:
    assert texts("<<: {a: 1}\n") == ["the merge key << is not accepted: write the keys out"]


def test_key_that_is_no_text_is_refused_and_reading_goes_on() -> None:
    document = parse("? [a, b]\n: 1\nc: 2\n")
    assert document.value == {"c": 2}
    assert [problem.text for problem in document.problems] == [
        "a key must be plain text: put quotes around text with braces"
    ]


@pytest.mark.parametrize("opening", ["[", "{", "- ", "? "])
def test_deep_nesting_ends_the_reading(opening: str) -> None:
    document = parse(opening * 100_000)
    assert not document.complete
    assert document.problems[-1].text == "the value is nested deeper than 32 levels: make it flatter"


def test_alias_bomb_is_refused_without_growing() -> None:
    lines = ["a0: &a0 x"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    document = parse("\n".join(lines))
    assert document.value is not None
    assert "alias" in document.problems[-1].text


@pytest.mark.parametrize("text", ["", "# only a comment\n", "\n\n", "---\n# x\n", "~\n"])
def test_empty_file_is_reported(text: str) -> None:
    assert texts(text) == ["the file is empty: describe a crawl, beginning with name and seeds"]


def test_second_document_is_refused() -> None:
    assert texts("a: 1\n---\nb: 2\n") == ["a second document begins here: one file holds one document"]


@pytest.mark.parametrize("text", ["seeds: [https://e.org/{1..50}]\n", "seeds: [\n  https://e.org/{1..50},\n  x]\n"])
def test_range_in_flow_form_says_that_ranges_need_quotes(text: str) -> None:
    problem = parse(text).problems[0]
    assert "ranges need quotes or block form" in problem.text


def test_tab_is_named() -> None:
    problem = parse("a:\n\t- b\n").problems[0]
    assert problem == Problem(Place(2, 1), (), "a tab begins this line: YAML indents with spaces")


def test_syntax_error_has_its_place() -> None:
    problem = parse("a: 1\nb: c: d\n").problems[0]
    assert problem.place == Place(2, 5)
    assert problem.text.startswith("this is not YAML (mapping values are not allowed")


def test_unclosed_quote_names_the_line_where_it_begins() -> None:
    assert "begun on line 2" in texts("a: 1\nb: 'x\nc: d\ne: f\n")[0]


def test_problems_before_a_syntax_error_are_kept() -> None:
    assert texts("a: 1\na: 2\nb: ]\n")[0] == "is written twice, first on line 1: keep one"


def test_control_character_is_named_with_its_place() -> None:
    assert parse("a: b\nc: \x07\n").problems == (
        Problem(Place(2, 4), (), "the character U+0007 has no place in YAML: take it out"),
    )


def test_byte_order_mark_and_crlf_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb:\r\n  - x\r\n")
    document = read(path)
    assert document.value == {"a": 1, "b": ("x",)}
    assert document.keys["a",] == Place(1, 1)


def test_file_that_is_no_utf8_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    document = read(path)
    assert not document.complete
    assert "is not UTF-8 text" in document.problems[0].text


def test_file_that_is_too_large_is_told_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    document = read(path)
    assert not document.complete
    assert "is larger than 64 MiB: write addresses as ranges, or put them into a file" in document.problems[0].text


def test_bad_bytes_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    assert read(path).problems[0].place == Place(2, 1)


def test_missing_file_and_folder_are_reported(tmp_path: Path) -> None:
    assert read(tmp_path / "no.yaml").problems[0].text == "there is no such file: check the path"
    assert read(tmp_path).problems[0].text == "this is a folder: name the file in it"
    assert "cannot be read" in read(tmp_path / "a\0b").problems[0].text
