"""What a rule is: a few pages below `/NAME/`, and what a crawl that comes to the first of them must come to.

A page that no rule says anything of is a plain one, so that whatever is followed by mistake is fetched, and seen.
`@PORT` stands for the port of the server, which has as many digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.site.hostile_site import Visitor, reply

HERE = "http://127.0.0.1:@PORT"
ELSEWHERE = "http://127.0.77.77:@PORT"

# What is said to a visitor who sent this head.
Saying = Callable[[Visitor, bytes], None]
Answer = bytes | Saying


class End(NamedTuple):
    """How a page ends: its state, its reason (or else its outcome), and how often it is asked for."""

    state: str
    verdict: str
    asked: int = 1


FETCHED = End("done", "fetched")
FETCHED_AT_LAST = End("done", "fetched", 2)
REDIRECTED = End("done", "redirected")
NOINDEX = End("done", "noindex")


def failed(reason: str) -> End:
    """It is asked for once, and no more."""
    return End("failed", reason)


def failed_again(reason: str) -> End:
    """It is asked for once more, which does not help."""
    return End("failed", reason, 2)


def dropped(reason: str) -> End:
    """It is never asked for."""
    return End("dropped", reason, 0)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule, in words and as pages. Paths are relative to the rule's own folder.

    `serves` are the answers: of several, one for each request, the last for all that follow. `ends` are all pages that
    the crawl may know there. `rows` are fields of their rows, `hops` the redirects that led to a page. A rule that is
    `alone` has a host of its own, which after its first answer is left alone for `pause_s` seconds. `sitemap` is one
    that the job names.
    """

    name: str
    says: str
    serves: Mapping[str, Answer | Sequence[Answer]] = field(default_factory=dict)
    ends: Mapping[str, End]
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    hops: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    alone: bool = False
    pause_s: float = 0.0
    sitemap: str = ""

    def path(self, relative: str) -> str:
        """Return the path of one of its pages."""
        return f"/{self.name}/{relative}"

    def answer(self, relative: str, number: int) -> Answer:
        """Return what the request of a number, from 0 on, is answered by."""
        given = self.serves.get(relative, PLAIN)
        if isinstance(given, bytes) or callable(given):
            return given
        return given[min(number, len(given) - 1)]


def whole(status: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    """Build a whole answer, after which the connection ends."""
    return reply(status, b"Connection: close", *fields, body=body)


def html(body: bytes, *fields: bytes, status: bytes = b"200 OK", content_type: bytes = b"text/html") -> bytes:
    """Build a page."""
    return whole(status, b"Content-Type: " + content_type, *fields, body=body)


PLAIN = html(b"<title>plain</title>")


def anchors(*addresses: str) -> bytes:
    """Build a page of links."""
    return html("".join(f'<a href="{address}">x</a>' for address in addresses).encode())


def leads(name: str, says: str, page: bytes, *targets: str, **more: Any) -> Rule:
    """Make a rule of one page: where it leads."""
    return Rule(name=name, says=says, serves={"": page}, ends=dict.fromkeys(("", *targets), FETCHED), **more)


def ends(name: str, says: str, answer: Answer | Sequence[Answer], end: End, **more: Any) -> Rule:
    """Make a rule of one answer: how its page ends."""
    return Rule(name=name, says=says, serves={"": answer}, ends={"": end}, **more)
