"""Tells the elements of XML that is not well-formed: what expat stops at, this passes over.

A bare `&`, an undeclared prefix, characters that XML does not allow, anything before the declaration, end tags that are
missing or too many: each is read as a reader would who wants the addresses. It takes one pass, and keeps no more than
an incomplete token.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import Protocol

# A longer token than this is none: the reading ends before it.
MAX_TOKEN_CHARS = 4 * 1024 * 1024
MAX_TAG_CHARS = 16 * 1024
# With more brackets than these that open nothing it is no XML.
MAX_STRAYS = 10_000

_NAME = re.compile(r"[A-Za-z_][\w.:-]{0,200}")
_ATTRIBUTE = re.compile(r"(?<![\w.:-])([A-Za-z_][\w.:-]{0,200}+)\s{0,9}+=\s{0,9}+(?:\"([^\"]*)\"|'([^']*)')")
_REFERENCE = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6}));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
# What begins so is passed over up to its end.
_PASSED_OVER = (("<!--", "-->"), ("<?", "?>"))
# Elements that never contain another of their name: one that begins ends the one before.
_ENTRIES = frozenset({"url", "sitemap", "item", "entry"})
_CDATA, _CDATA_END = "<![CDATA[", "]]>"


class Handlers(Protocol):
    """What is told, as expat tells it: names are of the form `prefix local`. A handler may raise to end the reading."""

    def start(self, name: str, attributes: dict[str, str], /) -> None: ...
    def end(self, name: str, /) -> None: ...
    def text(self, text: str, /) -> None: ...
    def doctype(self) -> None: ...


class Repair:
    """Reads blocks of UTF-8. `is_whole` says afterwards that every element was closed."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers
        self._open: list[str] = []
        self._begun = False
        self._strays = 0
        self._line = 1

    @property
    def is_whole(self) -> bool:
        return self._begun and not self._open and self._strays <= MAX_STRAYS

    @property
    def end(self) -> str:
        """In which element and line the document ends too early; empty if it is whole, or is no XML at all."""
        if not self._open or self._strays > MAX_STRAYS:
            return ""
        return f"it ends within <{self._open[-1]}>, in line {self._line}"

    def read(self, blocks: Iterable[bytes]) -> None:
        """Read a whole document."""
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        rest = ""
        for block in blocks:
            self._line += block.count(b"\n")
            rest = self._take(rest + decode(block))
            if len(rest) > MAX_TOKEN_CHARS or self._strays > MAX_STRAYS:
                return
        self._take(rest + decode(b"", True))

    def _take(self, text: str) -> str:
        """Tell the tokens of a text; return what may go on."""
        at = 0
        while (opens := text.find("<", at)) >= 0 and self._strays <= MAX_STRAYS:
            if opens > at:
                self._tell_text(text[at:opens])
            after = self._token(text, opens)
            if after < 0:
                return text[opens:]
            at = after
        self._tell_text(text[at:])
        return ""

    def _token(self, text: str, at: int) -> int:
        """Tell the token that begins at a `<`; return where it ends, -1 if it is incomplete."""
        if text.startswith(_CDATA, at):
            end = text.find(_CDATA_END, at)
            if end >= 0:
                self._handlers.text(_FORBIDDEN.sub("", text[at + len(_CDATA) : end]))
            return end + len(_CDATA_END) if end >= 0 else -1
        for opens, closes in _PASSED_OVER:
            if text.startswith(opens, at):
                end = text.find(closes, at + len(opens))
                return end + len(closes) if end >= 0 else -1
        if text[at : at + 9].lower() == "<!doctype":
            self._handlers.doctype()
        end = text.find(">", at, at + MAX_TAG_CHARS)
        is_end = text.startswith("</", at)
        name = _NAME.match(text, at + 1 + is_end)
        if end < 0 and len(text) - at < MAX_TAG_CHARS:
            return -1
        if end < 0 or name is None:
            self._strays += 1
            self._tell_text(text[at])
            return at + 1
        if is_end:
            self._end(name[0])
        else:
            self._start(name[0], text[name.end() : end])
        return end + 1

    def _start(self, name: str, rest: str) -> None:
        local = name.rpartition(":")[2]
        if local in _ENTRIES and name in self._open:
            self._end(name)
        self._begun = True
        self._open.append(name)
        found = {match[1]: _plain(match[2] or match[3] or "") for match in _ATTRIBUTE.finditer(rest)}
        self._handlers.start(_split(name), found)
        if rest.endswith("/"):
            self._end(name)

    def _end(self, name: str) -> None:
        """Close an element, and with it what was left open in it; an end without a begin is passed over."""
        while name in self._open:
            last = self._open.pop()
            self._handlers.end(_split(last))
            if last == name:
                return

    def _tell_text(self, text: str) -> None:
        if self._open and text:
            self._handlers.text(_plain(text))


def _split(name: str) -> str:
    prefix, _, local = name.rpartition(":")
    return f"{prefix} {local}" if prefix else local


def _plain(text: str) -> str:
    """Return a text without references and forbidden characters; a bare `&` stays."""
    return _FORBIDDEN.sub("", _REFERENCE.sub(_referred, text) if "&" in text else text)


def _referred(match: re.Match[str]) -> str:
    if match[1]:
        return _NAMED[match[1]]
    number = int(match[2]) if match[2] else int(match[3], 16)
    return chr(number) if 0 < number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else ""
