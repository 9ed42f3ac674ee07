"""The encoding of a page: the order of what declares it, and names that must not reach Python's codecs."""

from __future__ import annotations

import time

import pytest

from crawlfleet.worker.extract.charset import PRESCAN_BYTES, decode
from crawlfleet.worker.extract.encoding import name_of


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"\xef\xbb\xbfh\xc3\xa9", "text/html; charset=latin1", "hé"),
        ("hé".encode("utf-16"), "text/html", "hé"),
        (b"\xfe\xff\x00h", "text/html", "h"),
        (b"h\xe9", "text/html; charset=iso-8859-1", "hé"),
        (b"h\xe9", 'text/html;Charset = "Latin1"', "hé"),
        (b"<meta charset=utf-8>h\xe9", "text/html; charset=latin1", "<meta charset=utf-8>hé"),
        ("<meta charset='gbk'>中".encode("gbk"), "text/html", "<meta charset='gbk'>中"),
        ("日本".encode("shift_jis"), "text/html; charset=Shift_JIS", "日本"),
        ("日本".encode("euc-jp"), "text/html; charset=euc-jp", "日本"),
        (b"\x80", "text/html; charset=ascii", "€"),
        ("hé".encode(), "text/html", "hé"),
        (b"h\xe9\x80", "text/html", "hé€"),
        (b"h\xe9", "text/html; charset=utf-8", "h\ufffd"),
        (b"", "", ""),
    ],
)
def test_mark_then_header_then_page_then_what_fits(body: bytes, content_type: str, text: str) -> None:
    assert decode(body, content_type) == text


@pytest.mark.parametrize(
    ("meta", "text"),
    [
        (b'<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=koi8-r">', "ж"),
        (b"<meta charset = koi8-r />", "ж"),
        (b'<meta name="x" content="charset=koi8-r">', "Ö"),
        (b"<!-- <meta charset=koi8-r> -->", "Ö"),
        (b"<meta charset=nonsense><meta charset=koi8-r>", "ж"),
        (b"<meta charset=utf-16>", "\ufffd"),
        (b" " * 2048 + b"<meta charset=koi8-r>", "ж"),
        (b" " * PRESCAN_BYTES + b"<meta charset=koi8-r>", "Ö"),
        (b"<meta charset=koi8-r", "Ö"),
        (b"<meta charset='koi8-r>", "Ö"),
        (b"<!--><meta charset=koi8-r>", "ж"),
        (b"<!-- <meta charset=koi8-r>", "Ö"),
        (b"<p title='<meta charset=koi8-r>'>", "Ö"),
        (b"<p title='charset>'><meta charset=koi8-r>", "ж"),
        (b"<!-- charset> <meta charset=koi8-r> -->", "Ö"),
        (b'<meta name="a>charset" content=">" charset=koi8-r>', "ж"),
        (b"<br/><?php <x> ?><meta a=/ charset=koi8-r x>", "ж"),
        (b'<meta content="text/html; charset=koi8-r">', "Ö"),
        (b"<?xml version='1.0' encoding='koi8-r'?><html>", "ж"),
        (b"<?xml version='1.0' encoding='idna'?><html>", "Ö"),
        (b"<?xml version='1.0' encoding='koi8-r'?><meta charset=cp1251>", "Ц"),
    ],
)
def test_the_page_declares_itself_near_its_beginning(meta: bytes, text: str) -> None:
    assert decode(meta + b"\xd6", "text/html")[-1] == text


@pytest.mark.parametrize(
    "label", ["idna", "undefined", "zlib_codec", "rot13", "punycode", "utf-7", "unicode_escape", "a\0b", "", "x" * 9999]
)
def test_a_name_that_the_web_does_not_know_counts_for_nothing(label: str) -> None:
    assert name_of(label) is None
    assert decode(b"caf\xc3\xa9", f"text/html; charset={label}") == "café"
    assert decode(b"<meta charset=" + label.encode() + b">caf\xc3\xa9", "").endswith("café")


def test_no_header_takes_long() -> None:
    began = time.process_time()
    assert decode(b"text", f"text/html; charset={' ' * 90_000};") == "text"
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    ("label", "data", "text"),
    [
        ("euc-jp", b"\xad\xa1 \xad\xea \xa1\xc1", "\u2460 \u3231 \uff5e"),
        ("gbk", b"\x80 \xc4\xe3\xa3\xa0\xba\xc3", "€ 你\u3000好"),
        ("koi8-u", b"\xae\xbe", "ўЎ"),
        ("x-mac-cyrillic", b"\xff", "€"),
        ("windows-1252", b"\x81\x8d", "\x81\x8d"),
        ("shift_jis", b"\x81<a>", "\ufffd<a>"),
        ("iso-2022-kr", b"<p>", "\ufffd"),
        ("x-user-defined", b"a\x80", "a\uf780"),
    ],
)
def test_a_legacy_encoding_is_that_of_the_standard(label: str, data: bytes, text: str) -> None:
    assert decode(data, f"text/html; charset={label}") == text


def test_a_page_cannot_declare_itself_user_defined() -> None:
    assert decode(b"<meta charset=x-user-defined>\x80").endswith("€")
