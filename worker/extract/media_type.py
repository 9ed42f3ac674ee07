"""The media type of an answer: Content-Type as MIME Sniffing parses it (4.4), of several fields as Fetch extracts it.

Pure; nothing here raises for any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from crawlfleet.worker.fetch.port import Headers

# Longer values are not remembered, so that a hostile site cannot fill the memory.
MEMO_CHARS = 200

_BLANKS = "\t\n\r "
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ESSENCE = re.compile(r"([^/]*+)/([^;]*+)", re.DOTALL)
_TEXT = re.compile("[\t\x20-\x7e\x80-\xff]*")
_QUOTED = re.compile(r'"((?:[^"\\]++|\\.)*+)(\\?)(?:"|\Z)', re.DOTALL)
# One value of several, up to the comma outside of quotes that ends it.
_VALUE = re.compile(r'(?:[^",]++|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z))*+', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
# As MIME Sniffing has it, these say nothing (7); `*/*` counts for nothing before that.
_UNKNOWN = frozenset({"unknown/unknown", "application/unknown"})
_ANY = "*/*"


class MediaType(NamedTuple):
    """Type and subtype, in lower case; parameters by their names, in lower case, in order."""

    essence: str
    parameters: Mapping[str, str]


def field_of(headers: Headers) -> str:
    """Return Content-Type, of several fields all values; empty if there is none."""
    return ", ".join(headers.get_all("content-type")) if "content-type" in headers else ""


def essence_of(field: str) -> str:
    """Return the media type without its parameters; empty if it is none, or unknown."""
    found = _of_field(field)[0]
    return "" if found in _UNKNOWN else found


def charset_of(field: str) -> str:
    """Return the label of the encoding, empty if there is none."""
    return _of_field(field)[1]


def _of_field(field: str) -> tuple[str, str]:
    return _remembered(field) if len(field) <= MEMO_CHARS else _extracted(field)


def _extracted(field: str) -> tuple[str, str]:
    """Return essence and charset (Fetch, "extract a MIME type")."""
    essence, charset = "", ""
    for value in _values(_octets(field)):
        found = parsed(value)
        if found is None or found.essence == _ANY:
            continue
        given = found.parameters.get("charset", "")
        if given or found.essence != essence:
            charset = given
        essence = found.essence
    return essence, charset


def _octets(field: str) -> str:
    """Return a field as octets, which the standards have; some were read as UTF-8."""
    if field.isascii():
        return field
    return field if max(field) <= "\xff" else field.encode("utf-8", "replace").decode("latin-1")


_remembered = lru_cache(1_000)(_extracted)


def parsed(text: str) -> MediaType | None:
    """Parse one value; None if it is no media type."""
    text = text.strip(_BLANKS)
    match = _ESSENCE.match(text)
    if match is None:
        return None
    kind, subtype = match[1], match[2].rstrip(_BLANKS)
    if not _TOKEN.fullmatch(kind) or not _TOKEN.fullmatch(subtype):
        return None
    parameters: dict[str, str] = {}
    for name, value in _parameters(text, match.end()):
        if _TOKEN.fullmatch(name) and _TEXT.fullmatch(value):
            parameters.setdefault(name, value)
    return MediaType(f"{kind}/{subtype}".lower(), parameters)


def _parameters(text: str, at: int) -> Iterator[tuple[str, str]]:
    """Yield the parameters after a semicolon, valid or not, the names in lower case."""
    while at < len(text):
        end = _end(text, at + 1, ";")
        equals = text.find("=", at + 1, end)
        # A quoted value may have semicolons.
        quoted = _QUOTED.match(text, equals + 1) if equals >= 0 else None
        name = text[at + 1 : equals if equals >= 0 else end].lstrip(_BLANKS).lower()
        if quoted is not None:
            yield name, _ESCAPED.sub(r"\1", quoted[1]) + quoted[2]
            end = _end(text, quoted.end(), ";")
        elif equals >= 0:
            value = text[equals + 1 : end].rstrip(_BLANKS)
            if value:
                yield name, value
        at = end


def _values(field: str) -> Iterator[str]:
    """Yield the values of a field (Fetch, "get, decode, and split")."""
    at = 0
    while at <= len(field):
        match = _VALUE.match(field, at)
        assert match is not None, "it matches nothing at all, too"
        yield match[0]
        at = match.end() + 1


def _end(text: str, at: int, sign: str) -> int:
    found = text.find(sign, at)
    return found if found >= 0 else len(text)
