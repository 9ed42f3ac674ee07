"""Content types, encodings, links: how a page is read, and where it leads."""

from __future__ import annotations

from tests.site.rules.rule import (
    ELSEWHERE,
    FETCHED,
    HERE,
    REDIRECTED,
    Rule,
    anchors,
    ends,
    html,
    leads,
    whole,
)

LINKED = b"<!doctype html><title>read</title><a href=target>on</a>"


def typed(name: str, says: str, content_type: bytes | None, *, is_read: bool, told: str, body: bytes = LINKED) -> Rule:
    """Make a rule: whether a body of some content type is read as HTML, and which type its row tells."""
    field = [] if content_type is None else [b"Content-Type: " + content_type]
    return Rule(
        name=name,
        says=says,
        serves={"": whole(b"200 OK", *field, body=body)},
        ends={"": FETCHED, "target": FETCHED} if is_read else {"": FETCHED},
        rows={"": {"title": "read" if is_read else None, "content_type": told}},
    )


def encoded(name: str, says: str, body: bytes, title: str, content_type: bytes = b"text/html") -> Rule:
    """Make a rule: the title that a page has by its encoding."""
    return ends(name, says, html(body, content_type=content_type), FETCHED, rows={"": {"title": title}})


def titled(text: str, codec: str, head: str = "") -> bytes:
    """Build a page in some encoding."""
    return f"<!doctype html>{head}<title>{text}</title>".encode(codec)


def base(name: str, says: str, head: str, *targets: str) -> Rule:
    """Make a rule: where the link `x` leads by a page's base."""
    return leads(name, says, html(f"{head}<a href=x>x</a>".encode()), *targets)


def refresh(name: str, says: str, content: str, *targets: str) -> Rule:
    """Make a rule: where a meta refresh leads."""
    return leads(name, says, html(f"<meta http-equiv=Refresh content='{content}'>".encode()), *targets)


def markup(name: str, says: str, source: str, *targets: str) -> Rule:
    """Make a rule: where markup leads."""
    return leads(name, says, html(source.encode()), *targets)


TYPES = [
    typed("type-html", "HTML is read", b"text/html", is_read=True, told="text/html"),
    typed(
        "type-case",
        "... in any case, with any parameters",
        b"TEXT/HTML; Charset=UTF-8; q",
        is_read=True,
        told="text/html",
    ),
    typed("type-twice", "... told twice, too", b"text/html, text/html", is_read=True, told="text/html"),
    typed("type-no-type", "What is no type counts as none", b"html", is_read=True, told=""),
    typed("type-any", "... and so does what says nothing", b"*/*", is_read=True, told=""),
    typed("type-xhtml", "XHTML is read", b"application/xhtml+xml", is_read=True, told="application/xhtml+xml"),
    typed("type-text", "Text is not", b"text/plain", is_read=False, told="text/plain"),
    typed("type-image", "An image is not, whatever is in it", b"image/png", is_read=False, told="image/png"),
    typed("type-json", "JSON is not", b"application/json", is_read=False, told="application/json"),
    typed("type-none", "What has no type is read if it looks like HTML", None, is_read=True, told=""),
    typed("type-none-text", "... and not if it does not", None, is_read=False, told="", body=b"see <a href=target>"),
    typed(
        "type-lie",
        "A PDF is no page by calling itself one",
        b"text/html",
        is_read=False,
        told="text/html",
        body=b"%PDF-1.4\n%\xe2\xe3",
    ),
]

ENCODINGS = [
    encoded(
        "charset-header",
        "The header tells the encoding",
        titled("\u044f", "cp1251"),
        "\u044f",
        b"text/html; charset=windows-1251",
    ),
    encoded(
        "charset-header-first",
        "... before the page does",
        titled("\u044f", "cp1251", "<meta charset=utf-8>"),
        "\u044f",
        b"text/html; charset=windows-1251",
    ),
    encoded(
        "charset-quoted", "... in quotes, too", titled("\u044f", "koi8-r"), "\u044f", b'text/html; charset="koi8-r"'
    ),
    encoded(
        "charset-single",
        "... and not in single ones",
        titled("\u044f", "utf-8"),
        "\u044f",
        b"text/html; charset='koi8-r'",
    ),
    encoded(
        "charset-within",
        "... nor within another parameter",
        titled("\u044f", "koi8-r"),
        "\u044f",
        b'text/html; x="; charset=utf-8;"; charset=koi8-r',
    ),
    encoded(
        "charset-mark",
        "A byte order mark is before all",
        titled("\u044f", "utf-8-sig"),
        "\u044f",
        b"text/html; charset=windows-1251",
    ),
    encoded("charset-utf16", "UTF-16 is known by its mark", titled("\u044f", "utf-16"), "\u044f"),
    encoded("charset-meta", "A meta tells the encoding", titled("\u044f", "koi8-r", "<meta charset=koi8-r>"), "\u044f"),
    encoded(
        "charset-equiv",
        "... in its older form, too",
        titled("\u8a9e", "euc-jp", '<meta http-equiv=content-type content="text/html; charset=EUC-JP">'),
        "\u8a9e",
    ),
    encoded(
        "charset-meta-utf16",
        "A meta that can be read is not in UTF-16",
        titled("\u044f", "utf-8", "<meta charset=utf-16>"),
        "\u044f",
    ),
    encoded(
        "charset-comment",
        "A meta in a comment is none",
        titled("\u044f", "utf-8", "<!-- <meta charset=koi8-r> -->"),
        "\u044f",
    ),
    encoded("charset-none", "What is valid UTF-8 is UTF-8", titled("\u044f", "utf-8"), "\u044f"),
    encoded("charset-none-else", "... and windows-1252 if not", titled("\u20ac", "cp1252"), "\u20ac"),
    encoded(
        "charset-latin1",
        "Latin-1 means windows-1252",
        titled("\u20ac", "cp1252"),
        "\u20ac",
        b"text/html; charset=iso-8859-1",
    ),
    encoded(
        "charset-gb2312", "gb2312 means gb18030", titled("\u8b9a", "gb18030"), "\u8b9a", b"text/html; charset=gb2312"
    ),
    *(
        encoded(
            f"charset-{label}",
            "Labels of Python alone do not count",
            titled("\u044f", "utf-8"),
            "\u044f",
            f"text/html; charset={label}".encode(),
        )
        for label in ("idna", "zlib_codec", "undefined", "rot13")
    ),
]

BASES = [
    base("base", "Links are relative to the base", "<base href=sub/>", "sub/x"),
    base("base-first", "The first base counts", "<base href=a/><base href=b/>", "a/x"),
    base("base-target", "... of those that have an address", "<base target=_top><base href=b/>", "b/x"),
    base("base-late", "It counts for links before it", "<a href=y>y</a><base href=sub/>", "sub/x", "sub/y"),
    base("base-data", "A data: address is no base", "<base href='data:text/html,'>", "x"),
    base("base-javascript", "Nor is javascript:", "<base href='javascript:x'>", "x"),
    base(
        "base-javascript-first",
        "... and it does not make room for another",
        "<base href='javascript:x'><base href=b/>",
        "x",
    ),
    base("base-broken", "Nor is what is no address", "<base href='http://['>", "x"),
    base("base-empty", "An empty base is the page itself", "<base href=''>", "x"),
    base("base-blanks", "Blanks around it do not count", "<base href='\n sub/ '>", "sub/x"),
    base("base-outside", "A base may lead out of the scope", f"<base href='{ELSEWHERE}/base-outside/'>"),
    base("base-file", "Its last segment does not count", "<base href=sub/page?q#f>", "sub/x"),
    Rule(
        name="base-redirect",
        says="A base is relative to where a redirect led",
        serves={
            "": whole(b"302 Found", b"Location: deep/page"),
            "deep/page": html(b"<base href=sub/><a href=x>x</a>"),
        },
        ends={"": REDIRECTED, "deep/page": FETCHED, "deep/sub/x": FETCHED},
    ),
]

REFRESHES = [
    refresh("refresh", "A refresh is followed", "0;url=target", "target"),
    refresh("refresh-blanks", "... with blanks", " 5 ;  URL = target ", "target"),
    refresh("refresh-quotes", "... with quotes", '0; url="target" and more', "target"),
    refresh("refresh-comma", "... after a comma", "0,url=target", "target"),
    refresh("refresh-bare", "... without its word", "0;target", "target"),
    refresh("refresh-fraction", "... after a fraction", "0.5;url=target", "target"),
    leads("refresh-field", "... as a header field", html(b"", b"Refresh: 0;url=target"), "target"),
    refresh("refresh-self", "A refresh of the page itself leads nowhere", "30"),
    refresh("refresh-own", "... nor by its own address", "0;url=/refresh-own/"),
    refresh("refresh-wrong", "A refresh begins with its time", "url=target"),
    refresh("refresh-script", "A refresh may not be a script", "0;url=javascript:x"),
    markup(
        "refresh-noscript",
        "What is in noscript is for others",
        '<noscript><meta http-equiv=refresh content="0;url=no"></noscript>',
    ),
    Rule(
        name="refresh-circle",
        says="Pages that refresh to each other are fetched once",
        serves={
            "": html(b"<meta http-equiv=refresh content='0;url=b'>"),
            "b": html(b"<meta http-equiv=refresh content='0;url=.'>"),
        },
        ends={"": FETCHED, "b": FETCHED},
    ),
]

LINKS = [
    markup("link-a", "a leads on", "<a href=target>x</a>", "target"),
    markup("link-area", "area does", "<map><area href=target></map>", "target"),
    markup("link-iframe", "iframe does", "<iframe src=target></iframe>", "target"),
    markup("link-frame", "frame does", "<frameset><frame src=a><frame src=b></frameset>", "a", "b"),
    *(
        markup(f"link-{rel}", f"link {rel} does", f"<link rel='{rel}' href=target>", "target")
        for rel in ("next", "prev", "alternate")
    ),
    markup(
        "link-types", "... with other types beside it, in any case", "<link rel='Bookmark NEXT' href=target>", "target"
    ),
    markup(
        "link-hreflang", "An alternate in another language leads on", "<link rel=alternate hreflang=de href=de>", "de"
    ),
    markup(
        "link-feed", "An alternate that is a feed does not", "<link rel=alternate type=application/rss+xml href=no>"
    ),
    markup("link-other", "Other types do not", "<link rel=preload href=no><link rel=search href=no><link href=no>"),
    leads(
        "link-field",
        "The field Link leads on",
        html(b"", b"Link: <a>; rel=next, <no>; rel=author", b'Link: <b>; rel="x prev"'),
        "a",
        "b",
    ),
    leads(
        "link-field-base",
        "... from the page's own address, whatever its base",
        html(b"<base href=sub/>", b"Link: <a>; rel=next"),
        "a",
    ),
    leads(
        "link-field-text",
        "... on pages that are no HTML, too",
        html(b"", b"Link: <a>; rel=next", content_type=b"text/plain"),
        "a",
    ),
    markup(
        "link-form",
        "Forms and objects do not lead on",
        "<form action=no><button formaction=no></form><object data=no></object>",
    ),
    markup("link-comment", "Comments do not", "<!-- <a href=no>x</a> --><a href=target>x</a>", "target"),
    markup(
        "link-script",
        "What is text does not",
        "<script>'<a href=no>'</script><textarea><a href=no></textarea><style><a href=no></style>",
    ),
    markup("link-template", "A template is no part of the page", "<template><a href=no>x</a></template>"),
    markup("link-noscript", "noscript is", "<noscript><a href=target>x</a></noscript>", "target"),
    markup(
        "link-end", "What stands behind the end is, too", "<html><body></body></html><a href=target>x</a>", "target"
    ),
    markup(
        "link-unclosed", "So is what nobody closed", "<div><p><b><a href=a>x<a href=b>y<td><a href=c>z", "a", "b", "c"
    ),
    markup(
        "link-quotes",
        "Attributes go with or without quotes",
        "<a href=a>x</a><a HREF='b'>x</a><A Href = \"c\">x</A>",
        "a",
        "b",
        "c",
    ),
    markup("link-first", "Of an attribute given twice the first counts", "<a href=target href=no>x</a>", "target"),
    markup("link-entity", "Entities in addresses are read", "<a href='?a=1&amp;b=&#x32;'>x</a>", "?a=1&b=2"),
    markup("link-entity-not", "... but not what only looks like one", "<a href='?a=1&copy=2'>x</a>", "?a=1&copy=2"),
    markup(
        "link-nowhere",
        "Links without an address, to the page or a part of it lead nowhere",
        "<a>x</a><a href>x</a><a href=''>x</a><a href='#a'>x</a>",
    ),
    markup(
        "link-schemes",
        "Other schemes are not followed",
        "".join(
            f"<a href='{scheme}'>x</a>"
            for scheme in (
                "javascript:x",
                "mailto:a@b.c",
                "tel:1",
                "data:,x",
                "JavaScript:x",
                "about:blank",
                "ftp://127.0.0.1/x",
                "blob:x",
            )
        ),
    ),
    markup(
        "link-outside",
        "Nor what is out of scope",
        f"<a href='{ELSEWHERE}/link-outside/x'>x</a><a href='http://localhost:@PORT/link-outside/x'>x</a>",
    ),
    markup("link-file", "A download is a page", "<a href=file.pdf download>x</a>", "file.pdf"),
]

ASSETS = [
    markup("asset-img", "An image is fetched where assets are asked for", "<img src=target>", "target"),
    markup("asset-script", "... and a script", "<script src=target></script>", "target"),
    markup("asset-style", "... and a style sheet", "<link rel=stylesheet href=target>", "target"),
    markup("asset-srcset", "... and each address of a srcset", "<img srcset='a 1x, b 2x,c, d'>", "a", "b", "c", "d"),
    markup("asset-comma", "... which may hold commas", "<img srcset='a,b 100w, c 200w'>", "a,b", "c"),
    markup("asset-wrong", "... but not one that is wrong", "<img srcset='a 1y, b 1x'>", "b"),
    markup("asset-picture", "... and a source", "<picture><source srcset='a 1x'><img src=b></picture>", "a", "b"),
    markup("asset-poster", "... and a poster", "<video src=a poster=b></video>", "a", "b"),
]

ONCE = [
    Rule(
        name="once",
        says="A page is asked for once, however many lead to it",
        serves={"": anchors("a", "b", "target"), "a": anchors("target", "b", "."), "b": anchors("a", "target#x")},
        ends={"": FETCHED, "a": FETCHED, "b": FETCHED, "target": FETCHED},
    ),
    Rule(
        name="sitemap",
        says="The pages of a sitemap are fetched, with entities, blanks and CDATA in their addresses, or relative",
        serves={
            "map.xml": whole(
                b"200 OK",
                b"Content-Type: application/xml",
                body="<?xml version='1.0'?><urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>"
                f"<url><loc>{HERE}/sitemap/?a=1&amp;b=2</loc></url><url><loc>\n {HERE}/sitemap/a \n</loc></url>"
                f"<url><loc><![CDATA[{HERE}/sitemap/b]]></loc></url><url><loc>/sitemap/relative</loc></url>"
                f"<url><loc>{ELSEWHERE}/sitemap/no</loc></url></urlset>".encode(),
            )
        },
        ends={"": FETCHED, "map.xml": FETCHED, "?a=1&b=2": FETCHED, "a": FETCHED, "b": FETCHED, "relative": FETCHED},
        sitemap="map.xml",
    ),
]

RULES = [*TYPES, *ENCODINGS, *BASES, *REFRESHES, *LINKS, *ASSETS, *ONCE]
