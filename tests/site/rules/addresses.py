"""Addresses: which of them are one page, and what is sent for them."""

from __future__ import annotations

from tests.site.rules.rule import ELSEWHERE, FETCHED, Rule, anchors, dropped, html, leads


def same(name: str, says: str, page: str, *addresses: str) -> Rule:
    """Make a rule: addresses that are one page."""
    return leads(name, says, anchors(*addresses), page)


def different(name: str, says: str, *pages: str) -> Rule:
    """Make a rule: addresses that are a page each, as they stand."""
    return leads(name, says, anchors(*pages), *pages)


def canonical(name: str, says: str, address: str, told: str) -> Rule:
    """Make a rule: how an address is told that is not fetched."""
    page = html(f"<link rel=canonical href='{address}'>".encode(), content_type=b"text/html; charset=utf-8")
    return leads(name, says, page, rows={"": {"canonical": told}})


def on(host: str, name: str) -> str:
    return f"http://{host}:@PORT/{name}/x"


RULES = [
    same("url-percent-case", "Escapes in either case are one", "%C3%A9", "%c3%a9", "%C3%A9", "%C3%a9", "\u00e9"),
    different("url-escapes", "An escape that need not be is not undone", "a", "%61"),
    different("url-slash-escaped", "An escaped slash is no slash", "a/b", "a%2Fb"),
    different("url-path-case", "The case of paths counts", "A", "a", "%41"),
    different("url-slash", "A slash at the end counts", "a", "a/"),
    different("url-slashes", "So do empty segments", "a//b", "a/b", "a///b"),
    same(
        "url-dots", "Dot segments are resolved", "a/b", "a/./b", "a/c/../b", "./a/b", "../url-dots/a/b", "x/../y/../a/b"
    ),
    same("url-dots-escaped", "... escaped ones, too", "a/b", "a/%2e/b", "a/c/%2E%2e/b", "a/c/.%2E/b"),
    same("url-dots-root", "... and end at the root", "a", "/../../url-dots-root/a", "../../../../url-dots-root/a"),
    different("url-query-order", "The order of a query counts", "?a=1&b=2", "?b=2&a=1"),
    different("url-query-empty", "An empty query is a query", "a", "a?"),
    different("url-query-plus", "A plus is no blank", "?a+b", "?a%20b", "?a%2Bb"),
    different(
        "url-tracking",
        "Parameters are kept unless the job says otherwise",
        "a",
        "a?utm_source=x",
        "a?PHPSESSID=1",
        "index.html",
    ),
    same("url-fragment", "Fragments do not count", "a", "a", "a#", "a#b", "a#!/b", "a#?c"),
    same("url-space", "A blank is escaped, in path and query", "a%20b?c%20d", "a b?c d", "a%20b?c%20d"),
    same("url-quotes", "So are quotes and brackets", "%22%3C%3E?%22%3C%3E%27", "&quot;&lt;&gt;?&quot;&lt;&gt;'"),
    same("url-unicode", "So is what is not ASCII, in UTF-8", "%E8%AA%9E?%E8%AA%9E", "\u8a9e?\u8a9e"),
    different("url-signs", "Other signs are kept", "a;b=c,d", "a/b:c", "@a", "(a)!$*", "a|b", "~a", "[a]"),
    different("url-percent", "A percent sign that escapes nothing is kept", "100%", "100%zz", "a%2"),
    same("url-blanks", "Blanks around an address do not count", "a", " a ", "\t\na\r\n", "a"),
    same("url-breaks", "Tabs and line ends within it do not count", "abc", "a\tb\nc", "a\r\nbc", "abc"),
    same("url-backslash", "A backslash is a slash", "a/b", "a\\b", "\\url-backslash\\a\\b", "a/b"),
    different("url-backslash-query", "... but not in a query", "?a\\b", "?a/b"),
    same(
        "url-scheme-case",
        "Scheme and host are told in lower case",
        "A",
        "HTTP://127.0.0.1:@PORT/url-scheme-case/A",
        "A",
    ),
    same("url-scheme-alone", "A scheme without slashes is none", "a", "http:a", "a"),
    same(
        "url-slashes-many",
        "More slashes after a scheme are two",
        "x",
        "http:////127.0.0.1:@PORT/url-slashes-many/x",
        "x",
    ),
    same(
        "url-scheme-relative",
        "An address may go without a scheme",
        "x",
        "//127.0.0.1:@PORT/url-scheme-relative/x",
        "\\\\127.0.0.1:@PORT/url-scheme-relative/x",
    ),
    same(
        "url-userinfo",
        "User and password are dropped",
        "x",
        "http://me:secret@127.0.0.1:@PORT/url-userinfo/x",
        on("@127.0.0.1", "url-userinfo"),
    ),
    same(
        "url-host-forms",
        "A host is one in all its forms",
        "x",
        *(on(host, "url-host-forms") for host in ("127.1", "2130706433", "0x7f.0.0.1", "017700000001", "127.0.0.1.")),
    ),
    same("url-port-zeros", "So is a port", "x", "http://127.0.0.1:000@PORT/url-port-zeros/x", "x"),
    leads(
        "url-invalid",
        "What is no address is no link",
        anchors("http://", "http://[::1", "http://a b/", "http://127.0.0.1:99999/", "http://%00/", "http://1.2.3.4.5/"),
    ),
    canonical(
        "url-port-default", "The default port is left out", "http://example.org:80/A/../b", "http://example.org/b"
    ),
    canonical("url-port-https", "... of each scheme", "https://example.org:443", "https://example.org/"),
    canonical("url-port-other", "... and of no other", "https://example.org:80/", "https://example.org:80/"),
    canonical("url-host-case", "A host is told in lower case", "http://EXAMPLE.Org/A", "http://example.org/A"),
    canonical(
        "url-idn", "... and in punycode", "http://B\u00dcCHER.example/\u00fc", "http://xn--bcher-kva.example/%C3%BC"
    ),
    canonical("url-dot", "A dot at its end is kept", "http://example.org./", "http://example.org./"),
    canonical("url-ipv6", "IPv6 is told in its short form", "http://[2001:DB8:0:0::1]:80/", "http://[2001:db8::1]/"),
    Rule(
        name="url-long",
        says="An address that is too long is taken for a trap",
        serves={"": anchors("x" * 3000, "y" * 1000)},
        ends={"": FETCHED, "x" * 3000: dropped("trap_length"), "y" * 1000: FETCHED},
    ),
    Rule(
        name="url-repeats",
        says="So is one that repeats itself",
        serves={"": anchors("a/b/a/b/a/b/a/b/", "a/b/a/b/a/b/")},
        ends={"": FETCHED, "a/b/a/b/a/b/a/b/": dropped("trap_repetition"), "a/b/a/b/a/b/": FETCHED},
    ),
    Rule(
        name="url-base",
        says="The query and the last segment of a page do not count for its links, unless a link is a query",
        serves={"": anchors("sub/page?a=1"), "sub/page?a=1": anchors("next", "?b=2", "")},
        ends={"": FETCHED, "sub/page?a=1": FETCHED, "sub/next": FETCHED, "sub/page?b=2": FETCHED},
    ),
    leads(
        "url-outside",
        "Another host is out of scope, whatever it looks like",
        anchors(
            f"{ELSEWHERE}/url-outside/x",
            "http://127.0.0.1.example:@PORT/url-outside/x",
            "http://127.0.0.1@example.org/url-outside/x",
        ),
    ),
]
