"""Addresses: the only place that parses URLs, by the WHATWG URL Standard (ada), for joining, keys and scope.

The canonical form of an http(s) URL: parsed and serialised by the standard (host in lower case and punycode, default
port dropped, dot segments resolved, path case kept), no fragment, no user info, percent-escapes in upper case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

import ada_url

from crawlfleet.shared.remembered import remembered

# A longer URL counts as a trap unless a job sets another limit; no URL is longer than the second value.
MAX_URL_CHARS = 2_083
LONGEST_URL_CHARS = 8_192
FINGERPRINT_BYTES = 16
# Up to so many are unpacked at once.
_FEW_FINGERPRINTS = 512
_PAGE = blake2b(b"page\n\n", digest_size=FINGERPRINT_BYTES)

_LOWER_ESCAPE = re.compile(r"%(?:[a-f][0-9a-fA-F]|[0-9A-F][a-f])")
_NAME = r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*+"
_PLAIN = re.compile(rf"(?!\?|\Z)(?:/|(?:\.\./)*+)(?:{_NAME}/)*+(?:{_NAME})?+(?:\?[A-Za-z0-9._~/=&+-]*+)?+")
_OTHER_SCHEME = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_PLAIN_HOST = re.compile(r"https?://([a-z0-9.-]+)(?::[0-9]+)?(?=[/\\?#]|\Z)")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_USERINFO = re.compile(r"^(https?://)[^/?#]*@")


class Parts(NamedTuple):
    """The parts of a canonical URL that rules ask for. `path` includes the query."""

    origin: str
    host: str
    path: str


def canonicalize(href: str, base: str | None = None) -> str | None:
    """Return the canonical URL of `href` (found on the page `base`), or None if it is not an http(s) URL."""
    try:
        url: str = ada_url.join_url(base, href) if base is not None else ada_url.normalize_url(href)
    except (ValueError, UnicodeEncodeError):
        return None
    if not url.startswith(("http://", "https://")):
        return None
    url = url.partition("#")[0]
    if "@" in url:
        url = _USERINFO.sub(r"\1", url)
    if "%" in url:
        url = _LOWER_ESCAPE.sub(lambda escape: escape[0].upper(), url)
    return url


def is_canonical(url: str) -> bool:
    """Say whether `canonicalize` leaves a text unchanged; fast for plain URLs."""
    slash = url.find("/", 8)
    is_plain = slash > 0 and _PLAIN.fullmatch(url, slash) is not None and _is_canonical_origin(url[:slash])
    return is_plain or canonicalize(url) == url


@remembered(8192)
def _is_canonical_origin(origin: str) -> bool:
    return canonicalize(f"{origin}/") == f"{origin}/"


def join_plain(folder: str, href: str) -> str | None:
    """Join a relative address with a canonical URL that ends in a slash, as `canonicalize` does, but faster.

    Return None if it is not plain, as most links are: names without an escape or a leading dot, after a `/` or some
    `../`, optionally with a query.
    """
    if not _PLAIN.fullmatch(href):
        return None
    if href[0] == "/":
        return folder[: folder.index("/", 8)] + href
    while href.startswith("../"):
        href = href[3:]
        folder = folder[: folder.rfind("/", 0, -1) + 1] if folder.find("/", 8) < len(folder) - 1 else folder
    return folder + href


def has_other_scheme(href: str) -> bool:
    """Say whether an address clearly has a scheme other than http and https; `canonicalize` returns None for it."""
    return _OTHER_SCHEME.match(href) is not None


def plain_host(href: str) -> str | None:
    """Return the host of an absolute address, as it is written there; None if it is not in plain form.

    The canonical host of the address is the one that `canonicalize` makes of the returned host.
    """
    match = _PLAIN_HOST.match(href)
    return match[1] if match else None


@remembered(2048)
def parts(url: str) -> Parts:
    """Split a canonical URL into origin (scheme, host, port), host and path with query."""
    slash = url.index("/", 8)
    origin = url[:slash]
    authority = origin[origin.index("//") + 2 :]
    if authority.startswith("["):
        host = authority[: authority.index("]") + 1]
    else:
        host = authority.partition(":")[0]
    return Parts(origin, host, url[slash:])


def host_key(url: str) -> str:
    """Return the host name of a canonical URL, to which politeness applies, regardless of port and scheme."""
    return parts(url).host


def origin(url: str) -> str:
    """Return the origin of a canonical URL, to which a robots.txt applies: scheme, host and port (RFC 6454)."""
    return parts(url).origin


def port(url: str) -> int:
    """Return the port of a canonical URL: that of its scheme, unless it names another."""
    scheme, _, authority = origin(url).partition("://")
    named = authority.rpartition("]")[2].partition(":")[2]
    return int(named) if named else _DEFAULT_PORTS[scheme]


def page_fingerprint(url: str) -> bytes:
    """Return the key of a page, by its canonical URL: the same as `fingerprint`, at half its cost."""
    digest = _PAGE.copy()
    digest.update(url.encode())
    return digest.digest()


def fingerprint(kind: str, serves: str, url: str) -> bytes:
    """Return the key of a task: 16 bytes of BLAKE2b over kind, the origin it serves, and canonical URL."""
    return blake2b(f"{kind}\n{serves}\n{url}".encode(), digest_size=FINGERPRINT_BYTES).digest()


def split_fingerprints(joined: bytes) -> Sequence[bytes]:
    """Split concatenated fingerprints; ignore an incomplete one at the end."""
    count = len(joined) // FINGERPRINT_BYTES
    if count <= _FEW_FINGERPRINTS:
        return _layout(count).unpack_from(joined)
    return [joined[at : at + FINGERPRINT_BYTES] for at in range(0, count * FINGERPRINT_BYTES, FINGERPRINT_BYTES)]


@lru_cache(maxsize=_FEW_FINGERPRINTS + 1)
def _layout(count: int) -> Struct:
    return Struct(f"{FINGERPRINT_BYTES}s" * count)
