"""The lines of text files that somebody else made: encodings, line ends, gzip, limits, files that cannot be read on."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from crawlfleet.coordinator.job import text_lines
from crawlfleet.coordinator.job.text_lines import MAX_LINE_CHARS, TextLines, Unreadable

LINES = ["one", "", "zwei ü", "three"]


def read(data: bytes, folder: Path) -> list[str | None]:
    path = folder / "lines"
    path.write_bytes(data)
    lines = TextLines(path)
    try:
        return list(lines)
    finally:
        lines.close()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("is_packed", [False, True])
def test_lines_are_read_whatever_the_encoding_the_line_ends_and_the_packing(
    end: str, encoding: str, is_packed: bool, tmp_path: Path
) -> None:
    data = end.join(LINES).encode(encoding)
    assert read(gzip.compress(data) if is_packed else data, tmp_path) == LINES


def test_a_file_that_grew_is_several_members_of_gzip(tmp_path: Path) -> None:
    assert read(gzip.compress(b"one\n") + gzip.compress(b"two\n"), tmp_path) == ["one", "two"]


def test_an_empty_file_has_no_line(tmp_path: Path) -> None:
    assert read(b"", tmp_path) == []


def test_what_is_not_utf_8_is_marked(tmp_path: Path) -> None:
    assert read("ü\nü".encode("latin-1"), tmp_path) == ["\ufffd"] * 2


@pytest.mark.parametrize("longer", [0, 1, MAX_LINE_CHARS, 3 * MAX_LINE_CHARS])
@pytest.mark.parametrize("end", ["", "\n", "\nnext\n"])
def test_a_line_that_is_too_long_is_passed_over_and_the_next_one_is_read(longer: int, end: str, tmp_path: Path) -> None:
    text = "x" * (MAX_LINE_CHARS + longer)
    found = read(f"first\n{text}{end}".encode(), tmp_path)
    assert found == ["first", None if longer else text, *(["next"] if "next" in end else [])]


def test_it_is_known_how_far_a_file_is_read_and_which_line_it_is(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"x" * 99 + b"\n" + b"y\n" * 100_000)
    lines = TextLines(path)
    assert (lines.number, next(iter(lines)), lines.number) == (0, "x" * 99, 1)
    assert 0 < lines.fraction < 1
    assert sum(1 for _ in lines) == 100_000
    assert (lines.number, lines.fraction, lines.has_changed) == (100_001, 1.0, False)
    with path.open("ab") as file:
        file.write(b"more\n")
    assert lines.has_changed
    lines.close()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (gzip.compress(os.urandom(50_000).hex().encode())[:-20_000], "is cut short: its gzip data end in the middle"),
        (gzip.compress(b"x\n" * 99)[:-6] + b"123456", "has damaged gzip data"),
        (b"\x1f\x8b\x09" + b"x" * 20, "has damaged gzip data"),
        (b"PK\x03\x04\x00\x00", "holds no text: save it as text in UTF-8"),
        (b"a\0b\0", "holds no text"),
    ],
    ids=["cut short", "damaged", "no gzip", "packed otherwise", "no text"],
)
def test_a_file_that_is_damaged_or_no_text_says_so(data: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=why):
        read(data, tmp_path)


@pytest.mark.parametrize("data", [b"\n", b"x"])
def test_a_bomb_is_not_read_on(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_lines, "EXPANDED_FREELY_BYTES", 1024 * 1024)
    with pytest.raises(Unreadable, match="expands to more than 200 times its size"):
        read(gzip.compress(b"http://a.test/\n" + data * 20_000_000), tmp_path)


def test_a_list_that_expands_as_lists_do_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_lines, "EXPANDED_FREELY_BYTES", 1024)
    text = "".join(f"https://example.org/item/{number}\n" for number in range(20_000))
    assert len(read(gzip.compress(text.encode()), tmp_path)) == 20_000


def test_what_is_no_file_or_not_there_is_refused_and_nobody_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, why in {"pipe": "is no file", "": "is no file", "none": "is not there", "a\0": "cannot be read"}.items():
        with pytest.raises(Unreadable, match=why):
            TextLines(tmp_path / name)
