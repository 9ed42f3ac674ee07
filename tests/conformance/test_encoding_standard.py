"""Every label, byte and code of the Encoding Standard's encodings, against its own indexes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import product

import pytest

from crawlfleet.shared.web.urls import canonicalize
from crawlfleet.worker.extract.encoding import decoded, decoded_blocks, name_of, query_escaped
from tests.conformance import encoding_standard as standard
from tests.conformance.vectors import published, vectors

SINGLE = [
    "ibm866", "iso-8859-2", "iso-8859-3", "iso-8859-4", "iso-8859-5", "iso-8859-6", "iso-8859-7", "iso-8859-8",
    "iso-8859-8-i", "iso-8859-10", "iso-8859-13", "iso-8859-14", "iso-8859-15", "iso-8859-16", "koi8-r", "koi8-u",
    "macintosh", "windows-874", "windows-1250", "windows-1251", "windows-1252", "windows-1253", "windows-1254",
    "windows-1255", "windows-1256", "windows-1257", "windows-1258", "x-mac-cyrillic", "x-user-defined",
]  # fmt: skip
MULTI = ["gbk", "gb18030", "big5", "euc-jp", "shift_jis", "euc-kr"]
STATES = (b"\x1b(B", b"\x1b(J", b"\x1b(I", b"\x1b$@", b"\x1b$B")
BROKEN_ESCAPES = (b"\x1b", b"\x1b(", b"\x1b(X", b"\x1b$")
# What follows a sequence shows what of it was given back.
BEHIND = (b"", b"A", b"0A", b"\xa1\xa1")
ALL = range(256)


def _encodings() -> Iterator[tuple[str, list[str]]]:
    for group in json.loads(vectors(f"{standard.FOLDER}/encodings.json").read_text(encoding="utf-8")):
        for encoding in group["encodings"]:
            yield encoding["name"].lower(), encoding["labels"]


def _agree(row: str, wrong: Sequence[object], number: int) -> None:
    assert wrong[:5] == []
    assert published(row) == (number, number)


def _decode(row: str, encoding: str, sequences: Iterator[bytes]) -> None:
    number, wrong = 0, []
    for data in sequences:
        number += 1
        expected = standard.decoded(encoding, data)
        if decoded(data, encoding) != expected:
            wrong.append((data, decoded(data, encoding), expected))
    _agree(row, wrong, number)


def _sequences(encoding: str) -> Iterator[bytes]:
    """Yield every byte, every two bytes, and every longer code."""
    yield from (bytes((byte,)) + behind for byte in ALL for behind in BEHIND)
    if encoding in SINGLE or encoding == "replacement":
        return
    if encoding == "iso-2022-jp":
        for state in STATES:
            yield from (state + bytes(pair) + b"!A" for pair in product(ALL, ALL))
            yield from (
                state + escape + b"!!" for escape in (*STATES, b"\x1b", b"\x1b(", b"\x1b(X", b"\x1b$", b"!\x1b(B")
            )
        return
    yield from (bytes(pair) + behind for pair in product(range(0x80, 256), ALL) for behind in BEHIND)
    if encoding == "euc-jp":
        yield from (bytes((0x8F, *pair)) + b"A" for pair in product(range(0x80, 256), range(0x20, 256)))
    if encoding == "gb18030":
        digits = range(0x30, 0x3A)
        leads = (*range(0x81, 0x86), 0x8F, 0x90, 0x91, 0xE3, 0xE4, 0xFE)
        yield from (bytes(code) for code in product(leads, digits, range(0x81, 0xFF), digits))
        yield from (bytes((0x81, 0x30, third, fourth)) + b"A" for third, fourth in product(ALL, ALL))


def test_every_label_names_its_encoding() -> None:
    labels = [(label, name) for name, labels in _encodings() for label in labels]
    wrong = [label for label, name in labels if name_of(label) != name or name_of(f"\t{label.upper()} ") != name]
    _agree("labels", wrong, len(labels))
    assert {name for name, _ in _encodings()} == {
        *SINGLE,
        *MULTI,
        "iso-2022-jp",
        "replacement",
        "utf-8",
        "utf-16be",
        "utf-16le",
    }


@pytest.mark.parametrize("encoding", [*MULTI, "iso-2022-jp", "replacement"])
def test_every_code_is_decoded(encoding: str) -> None:
    _decode(f"{encoding}, decoded", encoding, _sequences(encoding))


def test_every_code_of_single_bytes_is_decoded() -> None:
    number, wrong = 0, []
    for encoding in SINGLE:
        for data in _sequences(encoding):
            number += 1
            if decoded(data, encoding) != standard.decoded(encoding, data):
                wrong.append((encoding, data))
    _agree("single bytes, decoded", wrong, number)


def _in_query(data: bytes | None, code: int) -> str:
    if data is None:
        return f"%26%23{code}%3B"
    return "".join(chr(byte) if 0x20 < byte < 0x7F and byte not in b"\"#<>'" else f"%{byte:02X}" for byte in data)


def _characters() -> Iterator[int]:
    yield from (code for code in range(0x80, 0x10000) if not 0xD800 <= code < 0xE000)
    yield from (*range(0x10000, 0x30000, 251), 0x10FFFF, *set(standard.index("big5").values()) - set(range(0x10000)))


@pytest.mark.parametrize("encoding", [*MULTI, *SINGLE])
def test_every_character_of_a_query_is_escaped_in_the_encoding_of_its_page(encoding: str) -> None:
    number, wrong = 0, []
    for code in _characters():
        number += 1
        expected = f"?{_in_query(standard.encoded(encoding, code), code)}#"
        if query_escaped(f"?{chr(code)}#", encoding) != expected:
            wrong.append((hex(code), query_escaped(f"?{chr(code)}#", encoding), expected))
    _agree("each encoding, encoded" if encoding in SINGLE else f"{encoding}, encoded", wrong, number)


def test_states_are_left_and_entered_as_they_are_needed() -> None:
    for code in (code for code in range(0x80, 0x10000) if not 0xD800 <= code < 0xE000):
        text = f"a{chr(code)}\\~{chr(code)}"
        escaped = query_escaped(f"?{text}", "iso-2022-jp")[1:]
        data = re.sub(rb"%([0-9A-F]{2})", lambda escape: bytes((int(escape[1], 16),)), escaped.encode())
        back = standard.decoded("iso-2022-jp", data)
        if f"&#{code};" not in back:
            assert back == _as_wide(text)
        assert standard.encoded("euc-jp", code) is None or 0xFF61 <= code <= 0xFF9F or f"&#{code};" not in back


def _as_wide(text: str) -> str:
    katakana = standard.index("iso-2022-jp-katakana")
    text = text.replace("\u2212", "\uff0d")
    return "".join(chr(katakana[ord(char) - 0xFF61]) if "\uff61" <= char <= "\uff9f" else char for char in text)


def test_every_query_is_escaped_as_browsers_do() -> None:
    rows = json.loads(vectors("wpt-url/percent-encoding.json").read_text(encoding="utf-8"))
    cases = [
        (row["input"], name, escaped)
        for row in rows
        if isinstance(row, dict)
        for name, escaped in row["output"].items()
    ]
    wrong = [
        case
        for case in cases
        if canonicalize(query_escaped(f"/?{case[0]}#x", case[1]), "http://h/") != f"http://h/?{case[2]}"
    ]
    _agree("`percent-encoding.json`", wrong, len(cases))


@pytest.mark.parametrize("encoding", [*MULTI, "iso-2022-jp", "utf-8", "utf-16le"])
def test_blocks_are_decoded_as_one_text(encoding: str) -> None:
    data = "<a>中文 \u3042</a>\n<b>中</b>".encode("utf-16le" if encoding == "utf-16le" else "utf-8") + bytes(
        range(0x80, 0x100)
    )
    if encoding == "iso-2022-jp":
        data = b'<a>\x1b$B>>\n>\x1b(B>\x1b$B$"</a>\n'
    whole = decoded(data, encoding)
    for size in (1, 2, 3, 7):
        blocks = (data[at : at + size] for at in range(0, len(data), size))
        assert "".join(decoded_blocks(blocks, encoding)) == whole
