"""Finds the encoding of a page, and decodes it. Pure; it never raises for any header or page.

Only labels of the WHATWG Encoding Standard count, so that no name from the network reaches Python's own names (`idna`,
`zlib_name`, ...). Order: byte order mark, header, the page's own `<meta>`, UTF-8 if it is valid, windows-1252.
"""

from __future__ import annotations

import re
from functools import lru_cache

from crawlfleet.worker.extract.encoding import FALLBACK, UTF_8, UTF_16, decoded, name_of
from crawlfleet.worker.extract.media_type import charset_of

# A browser scans one kilobyte before it parses, and starts over at a later `<meta>`. Here this much is scanned at once.
PRESCAN_BYTES = 64 * 1024
_FIRST_BYTES = 1024
_DECLARATION_BYTES = 200

MARKS = ((b"\xef\xbb\xbf", UTF_8), *zip((b"\xfe\xff", b"\xff\xfe"), UTF_16, strict=True))

_CONTENT_CHARSET = re.compile(r"charset\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s;\"'][^\s;]*))", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"<\?xml[^>]*?[\s\"']encoding\s*=\s*(?:\"([^\">]*)\"|'([^'>]*)')")

# What a declaration in the markup cannot mean (HTML, 13.2.3.2).
_IN_MARKUP = dict.fromkeys(UTF_16, UTF_8) | {"x-user-defined": FALLBACK}

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


def declared_encoding(body: bytes, content_type: str) -> tuple[str | None, int]:
    """Return the encoding that mark, header or page declare, or None, and the length of the mark."""
    for mark, name in MARKS:
        if body.startswith(mark):
            return name, len(mark)
    return name_of(charset_of(content_type)) or _prescan(body[:PRESCAN_BYTES]), 0


def encoding_of(body: bytes, content_type: str = "") -> tuple[str, int]:
    """Return the encoding of a body, and the length of its mark."""
    name, mark = declared_encoding(body, content_type)
    if name is not None:
        return name, mark
    try:
        if not body.isascii():
            body.decode(UTF_8)
    except UnicodeDecodeError:
        return FALLBACK, 0
    return UTF_8, 0


def xml_encoding_of(body: bytes, content_type: str) -> tuple[str, int]:
    """Return the encoding of an XML page, and the length of its mark: it may be declared by its header, too."""
    name, mark = xml_encoding(body[:PRESCAN_BYTES])
    return name if mark else name_of(charset_of(content_type)) or name, mark


def xml_encoding(head: bytes) -> tuple[str, int]:
    """Return the encoding of XML with this beginning, and the length of its mark: UTF-8 unless it declares another."""
    for mark, name in MARKS:
        if head.startswith(mark):
            return name, len(mark)
    declared = _XML_ENCODING.match(head.lstrip()[:_DECLARATION_BYTES])
    named = name_of((declared[1] or declared[2] or b"").decode("latin-1")) if declared else None
    # If the declaration is readable, it is not in UTF-16.
    return (UTF_8 if named is None or named in UTF_16 else named), 0


def decode(body: bytes, content_type: str = "") -> str:
    """Return the text of a body; bytes that are invalid in its encoding become U+FFFD."""
    name, mark = encoding_of(body, content_type)
    return decoded(body[mark:], name)


def _prescan(head: bytes) -> str | None:
    """Find the encoding in `<meta>` or the XML declaration. If either is readable, the page is not in UTF-16."""
    name = _declared_in_beginning(_beginning(head))
    if name is None and b"charset" in head.lower():
        name = _declared_in_meta(head)
    if name is None:
        match = _XML_ENCODING.match(head)
        name = match and name_of((match[1] or match[2] or b"").decode("latin-1"))
    return _IN_MARKUP.get(name, name) if name else None


def _beginning(head: bytes) -> bytes:
    """Return the beginning that usually holds the `<meta>` and is the same in all pages of a site; empty if absent.

    It ends with a `>`. If this belongs to a value or a comment, the cut leaves that open, so that no `<meta>` is found
    that the whole page does not have.
    """
    named = head.find(b"charset", 0, _FIRST_BYTES)
    return head[: head.find(b">", named, _FIRST_BYTES) + 1] if named >= 0 else b""


def _declared_in_meta(markup: bytes) -> str | None:
    for step in _STEP.finditer(markup):
        name = _declared_by(step["attributes"]) if step["meta"] and step["closed"] else None
        if name is not None:
            return name
    return None


_declared_in_beginning = lru_cache(1_000)(_declared_in_meta)


def _declared_by(source: bytes) -> str | None:
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTES.findall(source):
        found.setdefault(name.decode("latin-1").lower(), (double or single or bare).decode("latin-1"))
    if "charset" in found:
        return name_of(found["charset"])
    if found.get("http-equiv", "").lower() != "content-type":
        return None
    match = _CONTENT_CHARSET.search(found.get("content", ""))
    return name_of(match[1] or match[2] or match[3] or "") if match else None
