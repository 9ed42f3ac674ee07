"""The text of a robots.txt as the rules for one crawler (RFC 9309, section 2.2).

protego compares patterns and picks the longest match. Its errors are corrected before it sees the text, without a
second matcher. Lines and groups are split here, and protego gets the rules of one group only, ours: by itself it
compares names by substring, lets unknown lines end a group, and copies every rule once for each name in a group, so
that half a megabyte of text can take gigabytes. Octets are spelled so that its quoting keeps them distinct. Nothing
here raises for any text.

The RFC knows no delays. The names at the head of a group may each have one below them, and no crawler must get the
delay of another: a delay holds for the names directly above it, and the longest counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from protego import Protego

from crawlfleet.shared.web.urls import parts

MAX_BYTES = 512 * 1024
MAX_LINE_BYTES = 16_663  # as Google's parser: eight times the longest URL
_MAX_RATE_SECONDS = 86_400
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_ANYONE = "*"

_LINE_END = re.compile(rb"\r\n?|\n")
_MARK = re.compile(rb"\A(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)")
_AGENT = "User-agent"
_RULES = ("Allow", "Disallow")
_DELAY = "Crawl-delay"
_FIELDS = {  # with the misspellings that Google's parser and protego accept
    **dict.fromkeys((b"user-agent", b"useragent", b"user agent"), _AGENT),
    b"allow": "Allow",
    **dict.fromkeys((b"disallow", b"dissallow", b"dissalow", b"disalow", b"diasllow", b"disallaw"), "Disallow"),
    **dict.fromkeys((b"crawl-delay", b"crawl delay"), _DELAY),
    **dict.fromkeys((b"request-rate", b"request rate"), "Request-rate"),
}
_RECORD = re.compile(rb"(%b)(?:\s*:|\s)\s*(.*)" % b"|".join(_FIELDS), re.IGNORECASE | re.DOTALL)

_SECONDS = re.compile(rb"\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_RATE = re.compile(rb"([0-9]+)/([0-9]+)([smhd]?)(?:\s.*)?", re.IGNORECASE | re.DOTALL)
_SITEMAP = re.compile(rb"site-?map\s*:\s*(\S+)", re.IGNORECASE)
_NAME = re.compile(rb"\*(?=\s|\Z)|[A-Za-z_-]+")

# Escaped or bare: control characters; `$`, since protego takes an escaped one for the end of a pattern; and all beyond
# ASCII, since it reads all octets that are not UTF-8 as the same character.
_ODD = re.compile(r"%([01][0-9A-Fa-f]|7[Ff]|24|[89A-Fa-f][0-9A-Fa-f])|([\x00-\x1f$\x7f-\xff])")
_ODD_LETTERS = 0x100


class Group(NamedTuple):
    """What a text says to one crawler: its rules, one a line, and the longest delays in seconds, 0 for none."""

    rules: list[str]
    crawl_delay_s: float = 0.0
    request_interval_s: float = 0.0


class RobotsFile:
    """The rules of a robots.txt for one product token (see `shared.web.user_agent`).

    `crawl_delay_s` is the time between two requests that `Crawl-delay` asks for, `request_interval_s` that which
    follows from `Request-rate`, at most a day; 0 if none. A rate for certain hours of the day counts for the whole day:
    the core does not know the server's time zone.
    """

    def __init__(self, text: bytes, token: str) -> None:
        group = group_for(text, token)
        self._rules = Protego.parse("\n".join(["User-agent: *", *group.rules]))
        self.crawl_delay_s = group.crawl_delay_s
        self.request_interval_s = group.request_interval_s

    def allows(self, url: str) -> bool:
        """Say whether a canonical URL may be fetched. Of matches of equal length, Allow wins."""
        path = _spelled(parts(url).path.encode())
        return self._rules.can_fetch(f"http://h{path}", _ANYONE)


def sitemaps_of(text: bytes) -> list[str]:
    """Return the sitemaps that a robots.txt names, in order. Such lines belong to no group."""
    lines = (line.partition(b"#")[0].strip() for line in _LINE_END.split(_readable(text)))
    matches = (_SITEMAP.fullmatch(line[:MAX_LINE_BYTES]) for line in lines)
    return [match[1].decode("utf-8", "replace") for match in matches if match]


def group_for(text: bytes, token: str) -> Group:
    """Return what all groups say that name a product token, else all for `*`.

    Only Allow and Disallow end the list of names at the head of a group: no other record may (RFC 9309, 2.2.4).
    """
    token = token.lower()
    groups: dict[str, Group] = {}
    in_group: set[str] = set()
    directly_above: set[str] = set()
    in_head, last = False, ""
    for field, value in _records(text):
        if field == _AGENT:
            name = _name(value)
            in_group = in_group if in_head else set()
            directly_above = directly_above if last == _AGENT else set()
            in_head = True
            if name in (token, _ANYONE):
                groups.setdefault(name, Group([]))
                in_group.add(name)
                directly_above.add(name)
        elif field in _RULES:
            in_head = False
            for name in in_group:
                groups[name].rules.append(_line(field, value))
        else:
            for name in directly_above:
                groups[name] = _delayed(groups[name], field, value)
        last = field
    return groups[token] if token in groups else groups.get(_ANYONE, Group([]))


def _delayed(group: Group, field: str, value: bytes) -> Group:
    """Return a group with one more delay, of which the longest counts; an invalid one changes nothing."""
    if field == _DELAY:
        seconds = float(value) if _SECONDS.fullmatch(value) else 0.0
        return group._replace(crawl_delay_s=max(group.crawl_delay_s, seconds)) if math.isfinite(seconds) else group
    rate = _RATE.fullmatch(value)
    requests = float(rate[1]) if rate else 0.0
    if rate is None or not requests:
        return group
    seconds = min(float(rate[2]) * _UNIT_SECONDS[rate[3].decode().lower()], _MAX_RATE_SECONDS)
    return group._replace(request_interval_s=max(group.request_interval_s, seconds / requests))


def _records(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the records with a known field: the field in one spelling, and the value."""
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
