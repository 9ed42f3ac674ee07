"""A zoo of markup that is hard on parsers: each animal is a page, as large as one may be, or a part of that.

Every page ends with a link to `found(name)`, which a browser would see too, unless the animal is in `SWALLOWS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

MAX_BYTES = 10 * 1024 * 1024


class Animal(NamedTuple):
    """A page: its markup, which it ends with a link after `close`, and its type."""

    markup: Callable[[float], bytes]
    close: bytes = b""
    content_type: str = "text/html"


def _full(unit: bytes) -> Callable[[float], bytes]:
    """Repeat markup up to the size of a page."""
    return lambda scale: unit * int(MAX_BYTES * scale * 0.99 / len(unit))


def _times(number: int, unit: bytes, before: bytes = b"") -> Callable[[float], bytes]:
    """Repeat markup so many times."""
    return lambda scale: before + unit * int(number * scale)


def _numbered(number: int, unit: str, before: str = "", after: str = "") -> Callable[[float], bytes]:
    """Repeat markup so many times, with a number in place of `{}`."""
    return lambda scale: (before + "".join(unit.format(each) for each in range(int(number * scale))) + after).encode()


def _both(number: int, opened: bytes, closed: bytes) -> Callable[[float], bytes]:
    return lambda scale: opened * int(number * scale) + closed * int(number * scale)


def _open_fonts(scale: float) -> bytes:
    fonts = "".join(f"<font size={each}>" for each in range(int(6_000 * scale)))
    return (fonts + "<p>x" * int(6_000 * scale)).encode()


NESTING = {
    "nested-div": Animal(_full(b"<div>")),
    "nested-list": Animal(_full(b"<ul><li>")),
    "nested-table": Animal(_full(b"<table><tr><td>")),
    "nested-svg": Animal(_times(1_000_000, b"<g>", b"<svg>"), b"</svg>"),
    "nested-foreign": Animal(_times(200_000, b"<svg><foreignObject>")),
    "nested-math": Animal(_times(200_000, b"<math><mi><annotation-xml encoding=text/html>")),
    "nested-template": Animal(_both(100_000, b"<template>", b"</template>")),
    "nested-shadow": Animal(_both(100_000, b"<div><template shadowrootmode=open>", b"</template></div>")),
    "nested-button": Animal(_times(200_000, b"<button><p>")),
    "nested-object": Animal(_times(200_000, b"<object><ruby><p></ruby>")),
    "nested-frameset": Animal(_times(200_000, b"<frameset>")),
    "nested-select": Animal(_times(500_000, b"<select><option><optgroup>"), b"</select>"),
    "nested-closed": Animal(_both(1_000_000, b"<b>", b"</b>")),
}
FORMATTING = {
    "links-in-links": Animal(_times(300_000, b"<a href=x>")),
    "bold-in-paragraphs": Animal(_both(30_000, b"<b><p>", b"</b>")),
    "bold-numbered": Animal(_numbered(60_000, "<p><b id={}></p>")),
    "bold-in-blocks": Animal(_numbered(60_000, "<div><b id={}></div>")),
    "fonts-open": Animal(_open_fonts),
    "nobr": Animal(_times(200_000, b"<nobr><p>")),
    "ends-without-begin": Animal(_full(b"</p></br></x>")),
    "marquee": Animal(_both(100_000, b"<a><marquee><b>", b"</marquee>")),
    "headings": Animal(_full(b"<h1><h2>")),
}
TABLES = {
    "foster-text": Animal(_times(300_000, b"x<tr>", b"<table>"), b"</table>"),
    "foster-tags": Animal(_times(100_000, b"<b>x<tr>", b"<table>"), b"</table>"),
    "foster-tables": Animal(_times(200_000, b"<table>x")),
    "foster-forms": Animal(_times(300_000, b"<form><input type=hidden>", b"<table>"), b"</table>"),
    "captions": Animal(_times(300_000, b"<caption><col><td>", b"<table>"), b"</table>"),
}
ATTRIBUTES = {
    "attributes": Animal(_numbered(60_000, " a{}=1", "<p", ">")),
    "attributes-equal": Animal(_times(2_000_000, b" a=1", b"<p"), b">"),
    "attributes-of-body": Animal(_numbered(30_000, "<body a{}=1>")),
    "attributes-of-html": Animal(_numbered(30_000, "<html a{}=1>")),
    "attribute-long": Animal(_times(9_000_000, b"x", b"<p a='"), b"'>"),
    "attribute-name-long": Animal(_times(5_000_000, b"x", b"<p "), b">"),
    "tag-name-long": Animal(_times(5_000_000, b"x", b"<"), b">"),
    "attributes-slashes": Animal(_times(5_000_000, b"/", b"<p "), b">"),
    "classes": Animal(_times(2_000_000, b"x y ", b"<p class='"), b"'>"),
}
SIGNS = {
    "less-than": Animal(_full(b"<")),
    "less-than-slash": Animal(_full(b"</"), b">"),
    "less-than-mark": Animal(_full(b"<!"), b">"),
    "less-than-question": Animal(_full(b"<?"), b">"),
    "less-than-a": Animal(_full(b"<a "), b">"),
    "comments-open": Animal(_full(b"<!--"), b"-->"),
    "comments-dashes": Animal(_times(9_000_000, b"-", b"<!--"), b">-->"),
    "comments-empty": Animal(_full(b"<!---->")),
    "doctypes": Animal(_full(b"<!doctype html>")),
    "cdata": Animal(_times(500_000, b"<![CDATA[x]]>", b"<svg>"), b"</svg>"),
    "ampersands": Animal(_full(b"&")),
    "entities": Animal(_full(b"&amp;")),
    "entities-long": Animal(_full(b"&CounterClockwiseContourIntegral;")),
    "entities-open": Animal(_full(b"&notin")),
    "entities-unknown": Animal(_times(5_000_000, b"x", b"&"), b";"),
    "references": Animal(_full(b"&#x10FFFF;")),
    "references-huge": Animal(_times(5_000_000, b"9", b"&#"), b";"),
    "nul": Animal(_full(b"\0")),
    "not-utf-8": Animal(_full(b"\xff\xc0\xed\xa0\x80")),
    "returns": Animal(_full(b"\r")),
    "text": Animal(_full(b"x")),
    "blanks": Animal(_full(b" ")),
    "surrogates-utf-16": Animal(
        lambda scale: b"\xff\xfe" + b"\x00\xd8" * int(5_000_000 * scale), b"", "text/html; charset=utf-16le"
    ),
    "escapes-jis": Animal(_full(b"\x1b$B\x1b(J"), b"\x1b(B", "text/html; charset=iso-2022-jp"),
    "octets-gb18030": Animal(_full(b"\x81\x30\x81\x30"), b"", "text/html; charset=gb18030"),
}
MANY = {
    "links": Animal(_numbered(500_000, "<a href=/l/{}>")),
    "links-closed": Animal(_numbered(300_000, "<a href=/l/{}>x</a>")),
    "links-equal": Animal(_full(b"<a href=/l>x</a>")),
    "links-up": Animal(_numbered(2_000, "<a href='{}" + "/.." * 1_500 + "'>x</a>")),
    "links-long": Animal(_numbered(1_200, "<a href='/{}" + "x" * 8_000 + "'>x</a>")),
    "links-odd": Animal(_numbered(300_000, "<a href='http://[{}'>x</a>")),
    "links-idna": Animal(_numbered(100_000, "<a href='http://xn--{}\u00fc\u4e2d.test/'>x</a>")),
    "tags": Animal(_times(1_000_000, b"<br>")),
    "tags-with-text": Animal(_times(1_000_000, b"<p>x")),
    "bases": Animal(_full(b"<base href=/b/>")),
    "metas": Animal(_full(b"<meta name=robots content=follow>")),
    "refreshes": Animal(_full(b"<meta http-equiv=refresh content='9;url=/r'>")),
    "forms": Animal(_full(b"<form><div></form></div>")),
    "scripts": Animal(_full(b"<script>x</script>")),
    "script-escaped": Animal(_full(b"<script><!--<script>"), b"--></script></script>"),
    "textarea": Animal(_times(9_000_000, b"<", b"<textarea>"), b"</textarea>"),
    "titles": Animal(_full(b"<title>x</title>")),
    "json-ld": Animal(_times(5_000_000, b"[", b"<script type='application/ld+json'>"), b"</script>"),
    "json-ld-many": Animal(_full(b"<script type='application/ld+json'>{}</script>")),
    "microdata": Animal(_times(100_000, b"<div itemscope itemprop=x>")),
    "microdata-references": Animal(
        _numbered(3_000, "<div id=i{0} itemscope itemprop=p itemref='i{0} i1 i2 i3'></div>")
    ),
    "opengraph": Animal(_numbered(150_000, "<meta property='og:x{}' content=y>")),
}
_XHTML = b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><body>"
_LAUGHS = (
    b"<?xml version='1.0'?><!DOCTYPE html [<!ENTITY a 'aaaaaaaaaa'>"
    + b"".join(b"<!ENTITY %c '%b'>" % (letter, b"&%c;" % (letter - 1) * 10) for letter in range(ord("b"), ord("j")))
    + b"]><html xmlns='http://www.w3.org/1999/xhtml'><body>&i;</body></html>"
)
_XML = "application/xhtml+xml"
XML = {
    "xml-nested": Animal(_times(200_000, b"<div>", _XHTML), b"", _XML),
    "xml-attributes": Animal(_numbered(60_000, " a{}='1'", _XHTML.decode() + "<p", "/>"), b"", _XML),
    "xml-entities": Animal(lambda _: _LAUGHS, b"", _XML),
    "xml-namespaces": Animal(_numbered(100_000, "<n{0}:x xmlns:n{0}='urn:{0}'/>", _XHTML.decode()), b"", _XML),
    "xml-external": Animal(
        lambda _: (
            b"<?xml version='1.0'?><!DOCTYPE html SYSTEM 'file:///etc/passwd' [<!ENTITY x SYSTEM "
            b"'file:///etc/passwd'>]><html xmlns='http://www.w3.org/1999/xhtml'><body>&x;</body></html>"
        ),
        b"",
        _XML,
    ),
}

ZOO: dict[str, Animal] = {**NESTING, **FORMATTING, **TABLES, **ATTRIBUTES, **SIGNS, **MANY, **XML}
# What a browser does not see either: the end is within a value, or what is left is no page.
SWALLOWS = frozenset({"nested-frameset", "surrogates-utf-16", *XML})


def found(name: str) -> str:
    """Return the path to which the page of an animal leads at its end."""
    return f"/found/{name}"


def page(name: str, scale: float = 1.0) -> bytes:
    """Build the page of an animal, at a part of its size."""
    animal = ZOO[name]
    end = f'<a href="{found(name)}">end</a>'.encode()
    return animal.markup(scale) + animal.close + (b"" if name in XML else end)
