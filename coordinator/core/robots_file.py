"""The text of a robots.txt as the rules for one crawler (RFC 9309, section 2.2).

protego parses values, compares patterns and picks the longest match. Its errors are corrected before it sees the text,
without a second matcher. Lines and groups are split here, and protego gets one group only, ours: by itself it compares
names by substring, lets unknown lines end a group, and copies every rule once for each name in a group, so that half a
megabyte of text can take gigabytes. Octets are spelled so that its quoting keeps them distinct. Nothing here raises for
any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from protego import Protego

from crawlfleet.shared.web.urls import parts

MAX_BYTES = 512 * 1024
MAX_LINE_BYTES = 16_663  # as Google's parser: eight times the longest URL
_MAX_RATE_SECONDS = 86_400
_ANYONE = "*"

_LINE_END = re.compile(rb"\r\n?|\n")
_MARK = re.compile(rb"\A(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)")
_AGENT = "User-agent"
_RULES = ("Allow", "Disallow")
_FIELDS = {  # with the misspellings that Google's parser and protego accept
    **dict.fromkeys((b"user-agent", b"useragent", b"user agent"), _AGENT),
    b"allow": "Allow",
    **dict.fromkeys((b"disallow", b"dissallow", b"dissalow", b"disalow", b"diasllow", b"disallaw"), "Disallow"),
    **dict.fromkeys((b"crawl-delay", b"crawl delay"), "Crawl-delay"),
    **dict.fromkeys((b"request-rate", b"request rate"), "Request-rate"),
}
_RECORD = re.compile(rb"(%b)(?:\s*:|\s)\s*(.*)" % b"|".join(_FIELDS), re.IGNORECASE | re.DOTALL)

_SITEMAP = re.compile(rb"site-?map\s*:\s*(\S+)", re.IGNORECASE)
_NAME = re.compile(rb"\*(?=\s|\Z)|[A-Za-z_-]+")

# Escaped or bare: control characters; `$`, since protego takes an escaped one for the end of a pattern; and all beyond
# ASCII, since it reads all octets that are not UTF-8 as the same character.
_ODD = re.compile(r"%([01][0-9A-Fa-f]|7[Ff]|24|[89A-Fa-f][0-9A-Fa-f])|([\x00-\x1f$\x7f-\xff])")
_ODD_LETTERS = 0x100


class RobotsFile:
    """The rules of a robots.txt for one product token (see `shared.web.user_agent`)."""

    def __init__(self, text: bytes, token: str) -> None:
        self._rules = Protego.parse("\n".join(["User-agent: *", *lines_for(text, token)]))

    def allows(self, url: str) -> bool:
        """Say whether a canonical URL may be fetched. Of matches of equal length, Allow wins."""
        path = _spelled(parts(url).path.encode())
        return self._rules.can_fetch(f"http://h{path}", _ANYONE)

    def crawl_delay_s(self) -> float:
        """Return the seconds between two requests that `Crawl-delay` asks for, 0 if none."""
        return float(self._rules.crawl_delay(_ANYONE) or 0.0)

    def request_interval_s(self) -> float:
        """Return the seconds between two requests that `Request-rate` asks for, 0 if none, at most a day.

        A rate for certain hours of the day counts for the whole day: the core does not know the server's time zone.
        """
        rate = self._rules.request_rate(_ANYONE)
        return min(rate.seconds, _MAX_RATE_SECONDS) / rate.requests if rate else 0.0


def sitemaps_of(text: bytes) -> list[str]:
    """Return the sitemaps that a robots.txt names, in order. Such lines belong to no group."""
    lines = (line.partition(b"#")[0].strip() for line in _LINE_END.split(_readable(text)))
    matches = (_SITEMAP.fullmatch(line[:MAX_LINE_BYTES]) for line in lines)
    return [match[1].decode("utf-8", "replace") for match in matches if match]


def lines_for(text: bytes, token: str) -> list[str]:
    """Return the records for a product token, one a line: of all groups that name it, else of all for `*`.

    Only Allow and Disallow end the list of names at the head of a group: no other record may (RFC 9309, 2.2.4).
    """
    token = token.lower()
    groups: dict[str, list[str]] = {}
    current: dict[str, list[str]] = {}
    in_head = False
    for field, value in _records(text):
        if field == _AGENT:
            current = current if in_head else {}
            in_head = True
            name = _name(value)
            if name in (token, _ANYONE):
                current[name] = groups.setdefault(name, [])
        else:
            in_head = in_head and field not in _RULES
            for lines in current.values():
                lines.append(_line(field, value))
    return groups[token] if token in groups else groups.get(_ANYONE, [])


def _records(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the records with a known field: the field as protego writes it, and the value."""
    for line in _LINE_END.split(_readable(text)):
        match = _RECORD.fullmatch(line[:MAX_LINE_BYTES].partition(b"#")[0].strip())
        if match:
            yield _FIELDS[match[1].lower()], match[2]


def _readable(text: bytes) -> bytes:
    """Cut a text to its limit, at the end of a line; drop the byte order mark, and NULs, which come from UTF-16."""
    if len(text) > MAX_BYTES:
        whole = max(text.rfind(b"\n", 0, MAX_BYTES), text.rfind(b"\r", 0, MAX_BYTES))
        text = text[: whole + 1]
    return _MARK.sub(b"", text).replace(b"\0", b"")


def _name(value: bytes) -> str:
    match = _NAME.match(value)
    return match[0].decode().lower() if match else ""


def _line(field: str, value: bytes) -> str:
    anchor = b"$" if field in _RULES and value.endswith(b"$") else b""
    return f"{field}: {_spelled(value.removesuffix(anchor))}{anchor.decode()}"


def _spelled(octets: bytes) -> str:
    """Replace octets that protego would confuse by distinct letters, the same on both sides of a comparison."""
    return _ODD.sub(_odd_letter, octets.decode("latin-1"))


def _odd_letter(match: re.Match[str]) -> str:
    escaped, bare = match.groups()
    return chr(_ODD_LETTERS + (int(escaped, 16) if escaped else ord(bare)))
