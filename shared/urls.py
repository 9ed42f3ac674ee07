"""Addresses: the one place that parses URLs, by the WHATWG URL Standard (ada), for joining, keys and scope alike.

The canonical form of an http(s) URL: parsed and serialised by the standard (host in lower case and punycode, default
port dropped, dot segments resolved, path case kept), no fragment, no user info, percent-escapes in upper case.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import ada_url

MAX_URL_CHARS = 2_083
FINGERPRINT_BYTES = 16

_LOWER_ESCAPE = re.compile(r"%(?:[a-f][0-9a-fA-F]|[0-9A-F][a-f])")
_USERINFO = re.compile(r"^(https?://)[^/?#]*@")


class Parts(NamedTuple):
    """The parts of a canonical URL that rules ask for. `path` includes the query."""

    origin: str
    host: str
    path: str


def canonicalize(href: str, base: str | None = None) -> str | None:
    """Return the canonical URL of `href` (seen on the page `base`), or None if it is no http(s) URL."""
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


@lru_cache(maxsize=8192)
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
    """The unit of politeness that a canonical URL belongs to: its host name, whatever the port or scheme."""
    return parts(url).host


def origin(url: str) -> str:
    """The unit of robots.txt that a canonical URL belongs to: scheme, host and port (RFC 6454)."""
    return parts(url).origin


def fingerprint(kind: str, serves: str, url: str) -> bytes:
    """The key of a task: 16 bytes of BLAKE2b over kind, the origin it serves, and canonical URL."""
    return blake2b(f"{kind}\n{serves}\n{url}".encode(), digest_size=FINGERPRINT_BYTES).digest()
