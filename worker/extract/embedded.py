"""Addresses inside of values: `srcset`, a refresh, the header field Link. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_CANDIDATE = re.compile(r"[\t\n\f\r ,]*([^\t\n\f\r ]+)")
# The rest of a candidate after its address, up to the comma outside of brackets that ends it.
_DESCRIPTORS = re.compile(r"((?:[^,(]|\([^)]*(?:\)|\Z))*),?")
_DESCRIPTOR = re.compile(r"(?:\([^)]*(?:\)|\Z)|[^\t\n\f\r (])+")
_WIDTH = re.compile(r"0*[1-9][0-9]*w")
_HEIGHT = re.compile(r"0*[1-9][0-9]*h")
_DENSITY = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?x")

_REFRESH = re.compile(
    r"[\t\n\f\r ]*(?:[0-9]++|(?=\.))[0-9.]*+(?=[;,\t\n\f\r ])[\t\n\f\r ]*[;,]?[\t\n\f\r ]*"
    r"(?:url[\t\n\f\r ]*=[\t\n\f\r ]*)?(?:\"([^\"]*)|'([^']*)|(.*))",
    re.IGNORECASE | re.DOTALL,
)

# RFC 8288, section 3: `<address>` and its parameters, up to the comma outside of quotes that ends them.
_QUOTED = r'"(?:[^"\\]|\\.)*(?:"|\Z)'
_LINK = re.compile(rf'[\s,]*<([^>]*)>((?:{_QUOTED}|[^",])*)', re.DOTALL)
_PARAMETER = re.compile(rf';\s*([^\s=;,"]+)\s*(?:=\s*({_QUOTED}|[^\s;,"]*))?', re.DOTALL)


class HeaderLink(NamedTuple):
    """A link of the header field Link; `rel` and `media_type` are in lower case."""

    address: str
    rel: str
    media_type: str


def srcset_addresses(value: str) -> Iterator[str]:
    """Yield the addresses of a `srcset`, unchanged (HTML, 4.8.4.2.2), without invalid candidates."""
    position = 0
    while candidate := _CANDIDATE.match(value, position):
        position = candidate.end()
        address = candidate[1].rstrip(",")
        if len(address) < len(candidate[1]):
            if address:
                yield address
            continue
        descriptors = _DESCRIPTORS.match(value, position)
        assert descriptors is not None, "it matches nothing at all, too"
        position = descriptors.end()
        if _are_valid(_DESCRIPTOR.findall(descriptors[1])):
            yield address


def _are_valid(descriptors: list[str]) -> bool:
    widths = sum(1 for text in descriptors if _WIDTH.fullmatch(text))
    heights = sum(1 for text in descriptors if _HEIGHT.fullmatch(text))
    densities = sum(1 for text in descriptors if _DENSITY.fullmatch(text) and not text.startswith("-"))
    if widths + heights + densities != len(descriptors):
        return False
    return max(widths, heights, densities) <= 1 and not (densities and widths + heights) and heights <= widths


def refresh_address(content: str) -> str | None:
    """Return the target of a refresh (HTML, 4.2.5.3), by `<meta>` or field, unchanged; None if it only reloads."""
    match = _REFRESH.match(content)
    if match is None:
        return None
    double, single, bare = match.groups()
    return (bare if bare is not None else double if double is not None else single) or None


def header_links(values: Iterable[str]) -> Iterator[HeaderLink]:
    """Yield the links in values of Link whose context is the page itself."""
    for value in values:
        position = 0
        while link := _LINK.match(value, position):
            position = link.end()
            parameters: dict[str, str] = {}
            for name, given in _PARAMETER.findall(link[2]):
                text = re.sub(r"\\(.)", r"\1", given[1:].removesuffix('"')) if given.startswith('"') else given
                parameters.setdefault(name.lower(), text)
            if "anchor" not in parameters:
                rel, media_type = parameters.get("rel", ""), parameters.get("type", "")
                yield HeaderLink(link[1].strip(), rel.lower(), media_type.lower())
