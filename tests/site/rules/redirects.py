"""Redirects: where they lead, and where they end."""

from __future__ import annotations

from itertools import pairwise

from tests.site.rules.rule import (
    ELSEWHERE,
    FETCHED,
    HERE,
    PLAIN,
    REDIRECTED,
    End,
    Rule,
    anchors,
    dropped,
    ends,
    failed,
    failed_again,
    html,
    whole,
)


def location(address: str | bytes, *fields: bytes, status: bytes = b"302 Found", body: bytes = b"") -> bytes:
    """Build a redirect."""
    target = address if isinstance(address, bytes) else address.encode()
    return whole(status, b"Location: " + target, *fields, body=body)


def leads_to(name: str, says: str, address: str | bytes, target: str = "target", end: End = FETCHED) -> Rule:
    """Make a rule: what a Location means."""
    return Rule(name=name, says=says, serves={"": location(address)}, ends={"": REDIRECTED, target: end})


def leads_nowhere(name: str, says: str, address: str, reason: str) -> Rule:
    """Make a rule: a Location at which a redirect ends."""
    return ends(name, says, location(address), failed(reason))


def chain(name: str, says: str, length: int, last: End) -> Rule:
    """Make a rule of so many redirects, each to the next; `last` is the end of what the last of them leads to."""
    pages = ["", *map(str, range(1, length + 1))]
    followed = pages if last == FETCHED else pages[:-1]
    return Rule(
        name=name,
        says=says,
        serves={page: location(after) for page, after in pairwise(pages)},
        ends={**dict.fromkeys(followed, REDIRECTED), followed[-1]: last},
        hops={followed[-1]: tuple(followed[:-1])} if last == FETCHED else {},
    )


_STATUSES = {
    b"301 Moved Permanently": REDIRECTED,
    b"302 Found": REDIRECTED,
    b"303 See Other": REDIRECTED,
    b"307 Temporary Redirect": REDIRECTED,
    b"308 Permanent Redirect": REDIRECTED,
    b"300 Multiple Choices": failed("http_300"),
    b"305 Use Proxy": failed("http_305"),
    b"306 Unused": failed("http_306"),
}

RULES = [
    *(
        Rule(
            name=f"redirect-{status[:3].decode()}",
            says=f"{status.decode()} {'leads to its Location' if end == REDIRECTED else 'is no redirect'}",
            serves={"": location("target", status=status)},
            ends={"": end, "target": FETCHED} if end == REDIRECTED else {"": end},
        )
        for status, end in _STATUSES.items()
    ),
    leads_to("redirect-relative", "Location may be relative, with dot segments", "deeper/./../target"),
    leads_to("redirect-rooted", "Location may be a path", "/redirect-rooted/target"),
    leads_to("redirect-dots", "Dot segments end at the root", "/../../redirect-dots/target"),
    leads_to("redirect-host", "Location may go without a scheme", "//127.0.0.1:@PORT/redirect-host/target"),
    Rule(
        name="redirect-query",
        says="Location may be a query alone, which replaces that of the source",
        serves={"": anchors("page?old=1"), "page?old=1": location("?x")},
        ends={"": FETCHED, "page?old=1": REDIRECTED, "page?x": FETCHED},
    ),
    leads_to("redirect-utf8", "Location may hold UTF-8", "caf\u00e9", "caf%C3%A9"),
    leads_to("redirect-latin1", "Location may hold Latin-1", b"caf\xe9", "caf%C3%A9"),
    leads_to("redirect-escapes", "Escapes are told in upper case", "caf%c3%a9", "caf%C3%A9"),
    leads_to("redirect-space", "A blank within Location is escaped", "a b", "a%20b"),
    leads_to("redirect-blanks", "Blanks around Location do not count", " \t target \t "),
    leads_to("redirect-tab", "A tab within Location does not count", "tar\tget"),
    leads_to("redirect-fragment", "The fragment of a Location is no part of the key", "target#part"),
    leads_to(
        "redirect-userinfo", "User and password are dropped", "http://me:pw@127.0.0.1:@PORT/redirect-userinfo/target"
    ),
    leads_to("redirect-backslash", "A backslash is a slash", "\\redirect-backslash\\target"),
    leads_to(
        "redirect-case",
        "Scheme and host are told in lower case, the path is kept",
        f"{HERE.upper()}/redirect-case/A",
        "A",
    ),
    leads_to("redirect-refused", "robots.txt holds for targets", "refused", end=dropped("robots"), target="refused"),
    leads_to(
        "redirect-outside",
        "The scope holds for targets",
        f"{ELSEWHERE}/redirect-outside/x",
        f"{ELSEWHERE}/redirect-outside/x",
        dropped("host"),
    ),
    Rule(
        name="redirect-missing",
        says="A target is a page of its own, and may fail",
        serves={"": location("target"), "target": whole(b"404 No")},
        ends={"": REDIRECTED, "target": failed("http_404")},
    ),
    ends("redirect-none", "A redirect needs a Location", whole(b"302 Found"), failed("redirect_without_location")),
    leads_nowhere("redirect-empty", "An empty Location is none", "", "redirect_without_location"),
    leads_nowhere("redirect-blank", "A blank Location is none", " \t ", "redirect_without_location"),
    leads_nowhere("redirect-broken", "A Location may be no address", "http://[::1", "redirect_invalid"),
    *(
        leads_nowhere(
            f"redirect-{address.partition(':')[0]}", "Other schemes are not fetched", address, "redirect_scheme_blocked"
        )
        for address in ("ftp://127.0.0.1/x", "file:///etc/passwd", "data:text/html,x", "javascript:x", "mailto:a@b.c")
    ),
    leads_nowhere("redirect-self", "A redirect to itself is a loop", "/redirect-self/", "redirect_loop"),
    leads_nowhere("redirect-top", "A redirect to its own fragment is a loop", "#top", "redirect_loop"),
    Rule(
        name="redirect-circle",
        says="Redirects that lead back are a loop",
        serves={"": location("b"), "b": location("c"), "c": location("/redirect-circle/")},
        ends={"": REDIRECTED, "b": REDIRECTED, "c": failed("redirect_loop")},
    ),
    chain("redirect-ten", "Ten redirects are followed, and recorded", 10, FETCHED),
    chain("redirect-eleven", "The eleventh redirect is not followed", 11, failed("too_many_redirects")),
    Rule(
        name="redirect-shared",
        says="A target is asked for once, whoever leads to it; so is a redirect",
        serves={
            "": anchors("a", "b", "target", "c"),
            "a": location("target", status=b"301 Moved"),
            "b": location("target"),
            "c": anchors("a", "b"),
        },
        ends={"": FETCHED, "a": REDIRECTED, "b": REDIRECTED, "c": FETCHED, "target": FETCHED},
    ),
    Rule(
        name="redirect-body",
        says="Links in the body of a redirect are not followed",
        serves={"": location("target", b"Content-Type: text/html", body=b"<a href=inside>x</a>")},
        ends={"": REDIRECTED, "target": FETCHED},
    ),
    Rule(
        name="redirect-cut",
        says="A redirect holds though its body is cut",
        serves={"": b"HTTP/1.1 302 Found\r\nLocation: target\r\nContent-Length: 1000\r\n\r\nhalf"},
        ends={"": REDIRECTED, "target": FETCHED},
    ),
    ends("redirect-two", "Two Locations are none", location("a", b"Location: b"), failed_again("bad_header")),
    Rule(
        name="redirect-same-twice",
        says="Two equal ones are one",
        serves={"": location("target", b"Location: target")},
        ends={"": REDIRECTED, "target": FETCHED},
    ),
    Rule(
        name="redirect-base",
        says="Links are relative to where a redirect led",
        serves={"": location("deep/page"), "deep/page": anchors("next")},
        ends={"": REDIRECTED, "deep/page": FETCHED, "deep/next": FETCHED},
        hops={"deep/page": ("",), "deep/next": ()},
    ),
    Rule(
        name="redirect-later",
        says="Retry-After of a redirect holds the host",
        serves={"": [location("target", b"Retry-After: 2")], "target": html(b"<title>later</title>")},
        ends={"": REDIRECTED, "target": FETCHED},
        alone=True,
        pause_s=2.0,
    ),
    Rule(
        name="redirect-cookie",
        says="A cookie that a redirect sets is not sent back",
        serves={"": location("target", b"Set-Cookie: seen=1"), "target": PLAIN},
        ends={"": REDIRECTED, "target": FETCHED},
    ),
]
