"""The encodings of the WHATWG Encoding Standard: their labels, their decoders, and the escapes of a query. Pure.

Python's own codecs differ from the standard's in thousands of codes, and in what they give back after an error. So
legacy encodings are decoded by turbohtml's codecs, which follow the standard; what its encoders give is worked out from
these decoders (`escapes`). Only labels of the standard count, so that no name from the network reaches Python's codecs.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache

UTF_8 = "utf-8"
UTF_16 = ("utf-16be", "utf-16le")
REPLACEMENT = "replacement"
FALLBACK = "windows-1252"
ISO_2022_JP = "iso-2022-jp"

# Encoding: its labels.
_LABELS = {
    UTF_8: "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
    "ibm866": "866 cp866 csibm866 ibm866",
    "iso-8859-2": "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
    "iso-8859-3": "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3",
    "iso-8859-4": "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4",
    "iso-8859-5": "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988",
    "iso-8859-6": "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e "
    "iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987",
    "iso-8859-7": "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597 "
    "iso_8859-7 iso_8859-7:1987 sun_eu_greek",
    "iso-8859-8": "csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598 "
    "iso_8859-8 iso_8859-8:1988 visual",
    "iso-8859-8-i": "csiso88598i iso-8859-8-i logical",
    "iso-8859-10": "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    "iso-8859-13": "iso-8859-13 iso8859-13 iso885913",
    "iso-8859-14": "iso-8859-14 iso8859-14 iso885914",
    "iso-8859-15": "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9",
    "iso-8859-16": "iso-8859-16",
    "koi8-r": "cskoi8r koi koi8 koi8-r koi8_r",
    "koi8-u": "koi8-ru koi8-u",
    "macintosh": "csmacintosh mac macintosh x-mac-roman",
    "windows-874": "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874",
    "windows-1250": "cp1250 windows-1250 x-cp1250",
    "windows-1251": "cp1251 windows-1251 x-cp1251",
    FALLBACK: "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 "
    "iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252",
    "windows-1253": "cp1253 windows-1253 x-cp1253",
    "windows-1254": "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5 "
    "windows-1254 x-cp1254",
    "windows-1255": "cp1255 windows-1255 x-cp1255",
    "windows-1256": "cp1256 windows-1256 x-cp1256",
    "windows-1257": "cp1257 windows-1257 x-cp1257",
    "windows-1258": "cp1258 windows-1258 x-cp1258",
    "x-mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "gbk": "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk",
    "gb18030": "gb18030",
    "big5": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "euc-jp": "cseucpkdfmtjapanese euc-jp x-euc-jp",
    ISO_2022_JP: "csiso2022jp iso-2022-jp",
    "shift_jis": "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis",
    "euc-kr": "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 "
    "windows-949",
    REPLACEMENT: "csiso2022kr hz-gb-2312 iso-2022-cn iso-2022-cn-ext iso-2022-kr replacement",
    "utf-16be": "unicodefffe utf-16be",
    "utf-16le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
    "x-user-defined": "x-user-defined",
}
_NAMES = {label: name for name, labels in _LABELS.items() for label in labels.split()}
_UNICODE = frozenset((UTF_8, *UTF_16))
_APART = frozenset((*UTF_16, ISO_2022_JP, REPLACEMENT))

# A query is escaped in UTF-8 where its page's encoding has no encoder (Encoding, 4.3: "output encoding").
_WITHOUT_ENCODER = frozenset((*_UNICODE, REPLACEMENT))
_FEW_TABLES = 4
# The bytes of a query that are written as they are (URL, 1.3: "special-query percent-encode set").
_PLAIN = frozenset(range(0x21, 0x7F)) - frozenset(b"\"#<>'")
_TRIMMED = "".join(map(chr, range(0x21)))  # around an address (URL, 4.4)
_DROPPED = re.compile("[\t\n\r]")
_SHIFTS = re.compile("[\x0e\x0f\x1b]")


def name_of(label: str) -> str | None:
    """Return the name, in lower case, of the encoding that a label stands for; None if it is not one."""
    return _NAMES.get(label.strip(" \t\r\n\f").lower())


def covers_ascii(name: str) -> bool:
    """Say whether bytes of ASCII mean the same in an encoding."""
    return name not in _APART


def decoded(data: bytes, name: str) -> str:
    """Return bytes in an encoding as text; what is invalid in it becomes U+FFFD. A mark is not looked for."""
    if name in _UNICODE:
        return data.decode(name, "replace")
    # Imported at the first page in a legacy encoding: that takes 80 ms.
    import turbohtml.detect  # noqa: F401  # it registers the codecs

    return data.decode(f"whatwg-{name}")


def decoded_blocks(blocks: Iterator[bytes], name: str) -> Iterator[str]:
    """Decode the blocks of a text, as if they were one."""
    if name in _UNICODE:
        decoder = codecs.getincrementaldecoder(name)("replace")
        yield from map(decoder.decode, blocks)
        yield decoder.decode(b"", True)
        return
    kept = b""
    for block in blocks:
        kept += block
        # No sequence of a legacy encoding goes on behind a `>` or a line's end, but in one that has states.
        end = 0 if name == ISO_2022_JP else max(kept.rfind(b">"), kept.rfind(b"\n")) + 1
        if end:
            yield decoded(kept[:end], name)
            kept = kept[end:]
    yield decoded(kept, name)


def query_escaped(href: str, name: str) -> str:
    """Return an address with its query escaped in the encoding of its page (URL, 4.4: "query state").

    What a browser would leave to UTF-8, and what is ASCII in every encoding, is left as it is.
    """
    if name in _WITHOUT_ENCODER or "?" not in href or (href.isascii() and not _may_shift(href, name)):
        return href
    address, mark, fragment = href.strip(_TRIMMED).partition("#")
    address, question, query = address.partition("?")
    query = _DROPPED.sub("", query)
    escaped = _shifted(query) if name == ISO_2022_JP else _escaped(query, escapes(name))
    return "".join((address, question, escaped, mark, fragment))


def _may_shift(href: str, name: str) -> bool:
    return name == ISO_2022_JP and _SHIFTS.search(href) is not None


def _escaped(text: str, table: Mapping[str, str]) -> str:
    if text.isascii():
        return text
    return "".join(char if char.isascii() else table.get(char) or _reference(char) for char in text)


def _reference(char: str) -> str:
    """Return what stands in a query for a character that an encoding lacks: `&#…;`, escaped."""
    return f"%26%23{ord(char)}%3B"


def _percent(data: bytes) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in data)


@lru_cache(_FEW_TABLES)
def escapes(name: str) -> Mapping[str, str]:
    """Return what the characters beyond ASCII become in the query of a URL, in a legacy encoding without states.

    A character of several codes has the first one, but for exceptions (Encoding, 5 and 8 to 13).
    """
    table: dict[str, str] = {}
    for code in _codes(name):
        text = decoded(code, name)
        if len(text) == 1 and text != "\ufffd":
            table.setdefault(text, _percent(code))
    if name in ("gbk", "gb18030"):
        return _with_gb18030(table, name)
    if name in ("euc-jp", "shift_jis"):
        table |= {"\u2212": table["\uff0d"], "\u00a5": "\\", "\u203e": "~"}
    return table


def _codes(name: str) -> Iterator[bytes]:
    """Yield the codes that the encoder of a legacy encoding may give, those of the first choice first."""
    high = range(0x80, 0x100)
    if name not in _LEADS:
        yield from (bytes((byte,)) for byte in high)
        return
    if name == "shift_jis":
        yield from (bytes((byte,)) for byte in (0x80, *range(0xA1, 0xE0)))
    if name == "euc-jp":
        yield from (bytes((0x8E, byte)) for byte in range(0xA1, 0xE0))
    if name == "big5":
        # Of these characters the last code counts.
        yield from (
            text.encode("latin-1") for text in ("\xf9\xf9", "\xf9\xe9", "\xf9\xeb", "\xf9\xea", "\xa4Q", "\xa4\xca")
        )
    yield from (bytes((lead, trail)) for lead in _LEADS[name] for trail in range(0x30, 0x100))


# The first bytes of codes of two bytes. Left out are those that only decoders know: the extensions of Hong Kong, codes
# for private use, and NEC's selection of IBM's characters.
_LEADS = {
    "gbk": range(0x81, 0xFF),
    "gb18030": range(0x81, 0xFF),
    "big5": range(0xA1, 0xFF),
    "euc-jp": range(0xA1, 0xFF),
    "euc-kr": range(0x81, 0xFF),
    "shift_jis": [
        lead for lead in (*range(0x81, 0xA0), *range(0xE0, 0xF0), *range(0xFA, 0xFD)) if lead not in (0xED, 0xEE)
    ],
}
# Characters for private use whose codes now stand for characters of Unicode (Encoding, 10.2.2).
_ONCE_PRIVATE = {
    "\ue81e": "\xfeY", "\ue826": "\xfea", "\ue82b": "\xfef", "\ue82c": "\xfeg", "\ue832": "\xfem", "\ue843": "\xfe~",
    "\ue854": "\xfe\x90", "\ue864": "\xfe\xa0", "\ue78d": "\xa6\xd9", "\ue78e": "\xa6\xda", "\ue78f": "\xa6\xdb",
    "\ue790": "\xa6\xdc", "\ue791": "\xa6\xdd", "\ue792": "\xa6\xde", "\ue793": "\xa6\xdf", "\ue794": "\xa6\xec",
    "\ue795": "\xa6\xed", "\ue796": "\xa6\xf3",
}  # fmt: skip
_BMP_POINTERS = 39_420
_ASTRAL_POINTER = 189_000


def _with_gb18030(table: dict[str, str], name: str) -> Mapping[str, str]:
    table |= {char: _percent(code.encode("latin-1")) for char, code in _ONCE_PRIVATE.items()}
    if name == "gbk":
        return table | {"\u20ac": "%80"}
    codes = list(map(_four_bytes, range(_BMP_POINTERS)))
    for char, code in zip(decoded(b"".join(codes), name), codes, strict=True):
        table.setdefault(char, _percent(code))
    return _Gb18030(table)


class _Gb18030(dict[str, str]):
    """A table to which characters beyond U+FFFF are added as they come."""

    def get(self, char: str, default: str | None = None) -> str | None:  # type: ignore[override]  # of one kind of keys
        if char > "\uffff":
            return _percent(_four_bytes(_ASTRAL_POINTER + ord(char) - 0x10000))
        return super().get(char, default)


def _four_bytes(pointer: int) -> bytes:
    pointer, fourth = divmod(pointer, 10)
    pointer, third = divmod(pointer, 126)
    first, second = divmod(pointer, 10)
    return bytes((first + 0x81, second + 0x30, third + 0x81, fourth + 0x30))


_ASCII, _ROMAN, _KANJI = "%1B(B", "%1B(J", "%1B$B"
_IN_ROMAN = {"\u00a5": "\\", "\u203e": "~"}
# NFKC makes combining marks of these two.
_WIDE = {"\uff9e": "\u309b", "\uff9f": "\u309c"}


def _shifted(text: str) -> str:
    """Escape a query in ISO-2022-JP, which goes from one set of characters to another by escape sequences."""
    kanji = _kanji()
    parts, state = [], _ASCII
    for char in map(_widened, text):
        code = kanji.get(char)
        if _SHIFTS.match(char):
            code, wanted = _reference("\ufffd"), _ASCII if state == _KANJI else state
        elif char.isascii():
            code, wanted = char, _ROMAN if state == _ROMAN and char not in "\\~" else _ASCII
        elif char in _IN_ROMAN:
            code, wanted = _IN_ROMAN[char], _ROMAN
        elif code is not None:
            wanted = _KANJI
        else:
            code, wanted = _reference(char), _ASCII if state == _KANJI else state
        parts += [wanted] * (wanted != state) + [code]
        state = wanted
    return "".join((*parts, _ASCII * (state != _ASCII)))


def _widened(char: str) -> str:
    """Return a character, of the katakana of half width the one of full width (Encoding, 12.2)."""
    return _WIDE.get(char) or (unicodedata.normalize("NFKC", char) if "\uff61" <= char <= "\uff9f" else char)


@lru_cache(1)
def _kanji() -> Mapping[str, str]:
    table: dict[str, str] = {}
    for lead in range(0x21, 0x7F):
        for trail in range(0x21, 0x7F):
            char = decoded(bytes((lead | 0x80, trail | 0x80)), "euc-jp")
            if len(char) == 1 and char != "\ufffd":
                table.setdefault(char, _percent(bytes((lead, trail))))
    return table | {"\u2212": table["\uff0d"]}
