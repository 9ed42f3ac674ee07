"""What pages ask of crawlers: not to follow, not to index, to take another page for them; robots.txt."""

from __future__ import annotations

from tests.site.rules.rule import (
    ELSEWHERE,
    FETCHED,
    HERE,
    NOINDEX,
    End,
    Rule,
    anchors,
    dropped,
    ends,
    html,
    leads,
    whole,
)

LINK = b"<a href=target>x</a>"


def asks(name: str, says: str, what: str, end: End = FETCHED, *, follow: bool) -> Rule:
    """Make a rule: what becomes of a page that asks for something in its head."""
    targets = {"target": FETCHED} if follow else {}
    return Rule(name=name, says=says, serves={"": html(what.encode() + LINK)}, ends={"": end, **targets})


def tagged(name: str, says: str, *values: bytes, end: End = FETCHED, follow: bool) -> Rule:
    """Make a rule: what becomes of a page with fields X-Robots-Tag."""
    targets = {"target": FETCHED} if follow else {}
    answer = html(LINK, *(b"X-Robots-Tag: " + value for value in values))
    return Rule(name=name, says=says, serves={"": answer}, ends={"": end, **targets})


def canonical(name: str, says: str, head: str, told: str | None, *targets: str) -> Rule:
    """Make a rule: which canonical address the row of a page tells, and what is fetched by it."""
    return leads(name, says, html(head.encode()), *targets, rows={"": {"canonical": told}})


NOFOLLOW = [
    *(
        leads(
            f"rel-{rel}",
            f"A link that is {rel} is not followed",
            html(f"<a rel='{rel}' href=no>x</a><a href=yes>x</a>".encode()),
            "yes",
        )
        for rel in ("nofollow", "ugc", "sponsored")
    ),
    leads("rel-several", "... with others beside it, in any case", html(b"<a rel='external NoFollow' href=no>x</a>")),
    leads(
        "rel-link",
        "... and for link, too",
        html(b"<link rel='next nofollow' href=no>", b'Link: <no>; rel="next nofollow"'),
    ),
    leads("rel-part", "A part of a page is none", html(b"<link rel='alternate manifest' href=no>")),
    leads(
        "rel-else",
        "... from there: another link to it is",
        html(b"<a rel=nofollow href=target>x</a><a href=target>y</a>"),
        "target",
    ),
    asks(
        "meta-nofollow",
        "A page that asks for nofollow is not followed",
        "<meta name=robots content=nofollow>",
        follow=False,
    ),
    asks(
        "meta-semicolon",
        "... with noindex after a semicolon, too",
        "<meta name=robots content='nofollow; noindex'>",
        NOINDEX,
        follow=False,
    ),
    asks(
        "meta-noindex",
        "One that asks for noindex is, and has no row",
        "<meta name=robots content=noindex>",
        NOINDEX,
        follow=True,
    ),
    asks("meta-none", "none is both", "<meta name=robots content=none>", NOINDEX, follow=False),
    asks(
        "meta-list",
        "Wishes come in lists, in any case",
        "<META NAME='Robots' CONTENT='NoArchive, NOFOLLOW ,x'>",
        follow=False,
    ),
    asks(
        "meta-several",
        "Of several the most restrictive counts",
        "<meta name=robots content=all><meta name=robots content=noindex><meta name=robots content=nofollow>",
        NOINDEX,
        follow=False,
    ),
    asks("meta-own", "A page may name us", "<meta name=RuleBot content=nofollow>", follow=False),
    asks("meta-other", "... or another, which is nothing to us", "<meta name=googlebot content=none>", follow=True),
    asks(
        "meta-other-wish",
        "Other wishes change nothing",
        "<meta name=robots content='noarchive,nosnippet,all'>",
        follow=True,
    ),
    tagged("tag-nofollow", "X-Robots-Tag may ask for nofollow", b"nofollow", follow=False),
    tagged("tag-noindex", "... for noindex", b"noindex", end=NOINDEX, follow=True),
    tagged("tag-none", "... for none", b"NONE", end=NOINDEX, follow=False),
    tagged("tag-several", "... in several fields", b"noarchive", b"noindex", b"nofollow", end=NOINDEX, follow=False),
    tagged("tag-own", "... for us", b"rulebot: nofollow", follow=False),
    tagged("tag-other", "... for others", b"otherbot: noindex, nofollow", follow=True),
    tagged(
        "tag-both", "... for others and then for us", b"otherbot: nofollow, rulebot: noindex", end=NOINDEX, follow=True
    ),
    tagged(
        "tag-date",
        "A date is no name of a crawler",
        b"unavailable_after: Fri, 25 Jun 2010 15:00:00 PST, nofollow",
        follow=False,
    ),
    tagged("tag-date-only", "... and asks for nothing", b"unavailable_after: 25 Jun 2010 15:00:00 PST", follow=True),
    ends(
        "tag-file",
        "X-Robots-Tag holds for what is no HTML",
        whole(b"200 OK", b"Content-Type: application/pdf", b"X-Robots-Tag: noindex", body=b"%PDF-1.4"),
        NOINDEX,
    ),
    leads("tag-link", "... and for the field Link", html(b"", b"X-Robots-Tag: nofollow", b"Link: <no>; rel=next")),
]

CANONICAL = [
    canonical(
        "canonical",
        "A canonical is told, and followed as a link",
        "<link rel=canonical href=b>",
        f"{HERE}/canonical/b",
        "b",
    ),
    canonical(
        "canonical-own",
        "A page that is its own canonical tells none",
        f"<link rel=canonical href='{HERE}/canonical-own/#x'>",
        None,
    ),
    canonical(
        "canonical-none", "So does one that names none", "<link rel=canonical href=''><link rel=canonical>", None
    ),
    canonical(
        "canonical-two", "... or several", "<link rel=canonical href=a><link rel=canonical href=b>", None, "a", "b"
    ),
    canonical(
        "canonical-same",
        "... unless they are one",
        "<link rel=canonical href=a><link rel=canonical href=./a>",
        f"{HERE}/canonical-same/a",
        "a",
    ),
    canonical(
        "canonical-outside",
        "A canonical out of scope is told, and not followed",
        f"<link rel=canonical href='{ELSEWHERE}/x'>",
        f"{ELSEWHERE}/x",
    ),
    canonical(
        "canonical-scheme", "One of another scheme is none", "<link rel=canonical href='android-app://x/y'>", None
    ),
    leads(
        "canonical-field",
        "The field Link may tell it",
        html(b"", b"Link: <b>; rel=canonical"),
        "b",
        rows={"": {"canonical": f"{HERE}/canonical-field/b"}},
    ),
    Rule(
        name="canonical-circle",
        says="Canonicals that lead back are hints, and no loop",
        serves={"": html(b"<link rel=canonical href=b>"), "b": html(b"<link rel=canonical href=.>")},
        ends={"": FETCHED, "b": FETCHED},
        rows={"": {"canonical": f"{HERE}/canonical-circle/b"}, "b": {"canonical": f"{HERE}/canonical-circle/"}},
    ),
    Rule(
        name="canonical-missing",
        says="A page keeps its row though its canonical fails",
        serves={"": html(b"<link rel=canonical href=b>"), "b": whole(b"404 No")},
        ends={"": FETCHED, "b": End("failed", "http_404")},
        rows={"": {"canonical": f"{HERE}/canonical-missing/b"}},
    ),
]


def refuses(name: str, says: str, refused: tuple[str, ...], allowed: tuple[str, ...] = ()) -> Rule:
    """Make a rule: which links robots.txt keeps us from."""
    return Rule(
        name=name,
        says=says,
        serves={"": anchors(*refused, *allowed)},
        ends={"": FETCHED, **dict.fromkeys(refused, dropped("robots")), **dict.fromkeys(allowed, FETCHED)},
    )


# One file for all: the names of rules keep them apart.
ROBOTS_TXT = b"""\xef\xbb\xbfUser-agent: rulebot-news
Disallow: /

user-agent: RuleBot # us
Sitemap: http://127.0.0.1:@PORT/robots/no.xml
Disallow: /*/refused
Disallow: /robots-longest/
Allow: /robots-longest/allowed
Allow: /robots-longest/$
Disallow: /robots-end/*.php$
Disallow: /robots-escape/a%3cd
Disallow: /robots-case/Private
Disallow:

User-agent: other
Disallow: /robots-other/no

User-agent: rulebot
Disallow: /robots-groups/second

User-agent: *
Disallow: /robots-other/
"""

ROBOTS = [
    refuses(
        "robots",
        "What robots.txt refuses is not asked for, below it neither",
        ("refused", "refused/x", "refused?x"),
        ("x",),
    ),
    refuses("robots-longest", "The longest match counts", ("a", "allow"), ("allowed", "allowed/x")),
    refuses("robots-end", "$ is the end, of path and query", ("a.php", "x/b.php"), ("a.php5", "a.php?x")),
    refuses("robots-case", "Paths are compared by case", ("Private", "Private/x"), ("private",)),
    refuses("robots-escape", "Escapes are compared by what they mean", ("a%3Cd",), ("a",)),
    refuses("robots-groups", "All groups for us count", ("second",), ("first",)),
    refuses("robots-other", "Groups for others and for all do not, where one is for us", (), ("no", "yes")),
]

RULES = [*NOFOLLOW, *CANONICAL, *ROBOTS]
