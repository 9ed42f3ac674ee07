"""Texts of others on a terminal."""

from __future__ import annotations

import json

from crawlfleet.shared.inert import inert, inert_json, inert_lines


def test_what_can_be_printed_stays() -> None:
    assert inert("a £ € 東京 \U0001f600") == "a £ € 東京 \U0001f600"


def test_what_controls_a_terminal_or_turns_the_writing_is_escaped() -> None:
    assert inert("\x1b[2J\r\n\x9b\u202e\u2028\ud800") == r"\x1b[2J\r\n\x9b\u202e\u2028\ud800"


def test_lines_and_tabs_stay_where_a_text_has_several() -> None:
    assert inert_lines("a\n\tb\x1b\r\n\u2066") == "a\n\tb\\x1b\\r\n\\u2066"


def test_json_means_the_same_when_it_is_shown() -> None:
    value = {"a\x9b": ["\u202e\U000e0001", "東京"]}
    assert inert_json('{"a": 1}') == '{"a": 1}'
    text = json.dumps(value, ensure_ascii=False, indent=1)
    assert all(line.isprintable() for line in inert_json(text).split("\n"))
    assert json.loads(inert_json(text)) == value
    assert "\\udb40\\udc01" in inert_json(text)


def test_a_long_text_is_cut() -> None:
    assert inert("abcdef", 4) == "abc…"
    assert inert("abcd", 4) == "abcd"
