"""Finds the encoding of a page, and decodes it. Pure; it never raises for any header or page.

Only labels of the WHATWG Encoding Standard count, so that no name from the network reaches Python's own codecs (`idna`,
`zlib_codec`, ...). Order: byte order mark, header, the page's own `<meta>`, UTF-8 if it is valid, windows-1252.
"""

from __future__ import annotations

import re
from functools import lru_cache

# A browser scans one kilobyte before it parses, and starts over at a later `<meta>`. Here this much is scanned at once.
PRESCAN_BYTES = 64 * 1024
FALLBACK = "cp1252"
_FIRST_BYTES = 1024

MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16-be"), (b"\xff\xfe", "utf-16-le"))

# Python codec: its labels in the standard. Left out: "replacement" encodings, x-user-defined.
_LABELS = {
    "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
    "cp866": "866 cp866 csibm866 ibm866",
    "iso8859-2": "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2",
    "iso8859-3": "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3",
    "iso8859-4": "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4",
    "iso8859-5": "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988",
    "iso8859-6": "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e "
    "iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987",
    "iso8859-7": "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597 "
    "iso_8859-7 iso_8859-7:1987 sun_eu_greek",
    "iso8859-8": "csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598 "
    "iso_8859-8 iso_8859-8:1988 visual csiso88598i iso-8859-8-i logical",
    "iso8859-10": "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    "iso8859-13": "iso-8859-13 iso8859-13 iso885913",
    "iso8859-14": "iso-8859-14 iso8859-14 iso885914",
    "iso8859-15": "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9",
    "iso8859-16": "iso-8859-16",
    "koi8-r": "cskoi8r koi koi8 koi8-r koi8_r",
    "koi8-u": "koi8-ru koi8-u",
    "mac-roman": "csmacintosh mac macintosh x-mac-roman",
    "cp874": "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874",
    "cp1250": "cp1250 windows-1250 x-cp1250",
    "cp1251": "cp1251 windows-1251 x-cp1251",
    "cp1252": "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 "
    "iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252",
    "cp1253": "cp1253 windows-1253 x-cp1253",
    "cp1254": "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5 "
    "windows-1254 x-cp1254",
    "cp1255": "cp1255 windows-1255 x-cp1255",
    "cp1256": "cp1256 windows-1256 x-cp1256",
    "cp1257": "cp1257 windows-1257 x-cp1257",
    "cp1258": "cp1258 windows-1258 x-cp1258",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "gb18030": "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030",
    "big5hkscs": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "euc-jp": "cseucpkdfmtjapanese euc-jp x-euc-jp",
    "iso2022-jp": "csiso2022jp iso-2022-jp",
    "cp932": "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis",
    "cp949": "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 "
    "windows-949",
    "utf-16-be": "unicodefffe utf-16be",
    "utf-16-le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
}
_CODECS = {label: codec for codec, labels in _LABELS.items() for label in labels.split()}

_HEADER_CHARSET = re.compile(r"charset\s*+=\s*+[\"']?\s*+([^\s\"';,]+)", re.IGNORECASE)
_CONTENT_CHARSET = re.compile(r"charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s;\"'][^\s;]*))", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"<\?xml[^>]*?[\s\"']encoding\s*=\s*(?:\"([^\">]*)\"|'([^'>]*)')")

# One step of the prescan (HTML, 13.2.3.2): a comment, a tag with its attributes, or other markup; unclosed markup ends
# the scan. Repeats are possessive, so that nothing is scanned twice.
_VALUE = rb"(?:\"([^\"]*+)(?:\"|\Z)|'([^']*+)(?:'|\Z)|([^\s>\"'][^\s>]*+)|(?=>))"
_ATTRIBUTE = rb"[\s/]*+([^\s/>][^\s/>=]*+)(?:\s*+=\s*+" + _VALUE + rb")?+"
_STEP = re.compile(
    rb"<!(?=--).*?(?:-->|\Z)"
    rb"|<(?:(?P<meta>meta)(?=[\s/])|/?+[a-z][^\s>]*+)(?P<attributes>(?:%b)*+)[\s/]*+(?P<closed>>?+)"
    rb"|<[!/?][^>]*+" % re.sub(rb"(?<!\\)\((?!\?)", b"(?:", _ATTRIBUTE),
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTES = re.compile(_ATTRIBUTE)


def codec_of(label: str) -> str | None:
    """Return the Python codec of a label of the standard; None if it is not one."""
    return _CODECS.get(label.strip(" \t\r\n\f").lower())


def declared_codec(body: bytes, content_type: str) -> tuple[str | None, int]:
    """Return the codec that mark, header or page declare, or None, and the length of the mark."""
    for mark, codec in MARKS:
        if body.startswith(mark):
            return codec, len(mark)
    match = _HEADER_CHARSET.search(content_type)
    return (match and codec_of(match[1])) or _prescan(body[:PRESCAN_BYTES]), 0


def as_utf8(body: bytes, content_type: str = "") -> bytes:
    """Return a body in UTF-8; one declared as UTF-8 only loses its mark, even if not all of it is valid."""
    codec, mark = declared_codec(body, content_type)
    if codec == "utf-8":
        return body[mark:]
    if (codec is None or codec == FALLBACK) and body.isascii():
        return body
    return decode(body, content_type).encode()


def decode(body: bytes, content_type: str = "") -> str:
    """Return the text of a body; bytes that are invalid in its encoding become U+FFFD."""
    codec, mark = declared_codec(body, content_type)
    if codec is not None:
        return body[mark:].decode(codec, "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode(FALLBACK, "replace")


def _prescan(head: bytes) -> str | None:
    """Find the encoding in `<meta>` or the XML declaration. If either is readable, the page is not in UTF-16."""
    codec = _codec_of_beginning(_beginning(head))
    if codec is None and b"charset" in head.lower():
        codec = _codec_in_meta(head)
    if codec is None:
        match = _XML_ENCODING.match(head)
        codec = match and codec_of((match[1] or match[2] or b"").decode("latin-1"))
    return "utf-8" if codec and codec.startswith("utf-16") else codec


def _beginning(head: bytes) -> bytes:
    """Return the beginning that usually holds the `<meta>` and is the same in all pages of a site; empty if absent.

    It ends with a `>`. If this belongs to a value or a comment, the cut leaves that open, so that no `<meta>` is found
    that the whole page does not have.
    """
    named = head.find(b"charset", 0, _FIRST_BYTES)
    return head[: head.find(b">", named, _FIRST_BYTES) + 1] if named >= 0 else b""


def _codec_in_meta(markup: bytes) -> str | None:
    for step in _STEP.finditer(markup):
        codec = _meta_codec(step["attributes"]) if step["meta"] and step["closed"] else None
        if codec is not None:
            return codec
    return None


_codec_of_beginning = lru_cache(1_000)(_codec_in_meta)


def _meta_codec(source: bytes) -> str | None:
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTES.findall(source):
        found.setdefault(name.decode("latin-1").lower(), (double or single or bare).decode("latin-1"))
    if "charset" in found:
        return codec_of(found["charset"])
    if found.get("http-equiv", "").lower() != "content-type":
        return None
    match = _CONTENT_CHARSET.search(found.get("content", ""))
    return codec_of(match[1] or match[2] or match[3] or "") if match else None
