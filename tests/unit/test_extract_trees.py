"""Whose elements a page has, HTML's or SVG's, and what of its templates is part of it: the same by every engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.shared.brief import Brief, FieldRule, ItemRule, LinkSpec, ParseSpec, ScopeSpec
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.worker.extract.extractor import Extracted, Extractor
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.registry import open_engine
from crawlfleet.worker.fetch.port import Fetched, Headers

URL = "http://h/p"


@pytest.fixture(params=sorted(PARSE_ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def fetched(body: str, content_type: str = "text/html; charset=utf-8") -> Fetched:
    return Fetched(url=URL, status=200, headers=Headers((("Content-Type", content_type),)), body=body.encode())


def title(engine: str, body: str) -> str | None:
    return Page(fetched(body), engine=open_engine(engine)).title


def extract(
    engine: str, body: str, *selectors: str, assets: bool = False, follow: str = "", content_type: str = "text/html"
) -> Extracted:
    items = tuple(ItemRule(name=each, each=each, fields=(FieldRule(name="t"),)) for each in selectors)
    follows = (follow,) if follow else None
    brief = Brief(
        job="j",
        scope=ScopeSpec(hosts=("h",)),
        items=items,
        links=LinkSpec(assets=assets),
        follow=follows,
        parse=ParseSpec(engine=engine),
    )
    return Extractor(brief).extract(fetched(body, content_type))


def links(engine: str, body: str, **options: object) -> list[str]:
    found = extract(engine, body, "none", **options)  # type: ignore[arg-type]  # options of a test
    return [url.removeprefix("http://h/") for url in found.outlinks]


def texts(engine: str, body: str, selector: str) -> list[str]:
    return [row.fields["t"] for row in extract(engine, body, selector).rows]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<svg><title>icon</title></svg><title>page</title>", "page"),
        ("<body><svg><g><title>icon</title></g></svg>", None),
        ("<body><svg><foreignObject><div><title>inner</title></div></foreignObject></svg>", "inner"),
        ("<title>page</title><svg><title>icon</title></svg>", "page"),
        ("<body><math><title>sum</title></math><title>late</title>", "late"),
    ],
)
def test_the_title_of_a_page_is_that_of_html(engine: str, body: str, expected: str | None) -> None:
    assert title(engine, body) == expected


def test_links_of_svg_are_links(engine: str) -> None:
    body = """<a href=1>x</a><svg><a xlink:href=2#f><text>t</text></a><a href=3 xlink:href=no>t</a><a>none</a>
        <a href=4 rel=nofollow>t</a><g><a xlink:href=5><desc><a href=6>h</a></desc></a></g></svg>"""
    assert links(engine, body) == ["1", "2", "3", "5", "6"]
    assert links(engine, body, follow="g") == ["5", "6"]
    assert links(engine, body, follow="svg > a") == ["2", "3"]


def test_what_means_something_in_html_alone_is_nothing_in_svg(engine: str) -> None:
    body = """<body><svg><base href=/b/><link rel=next href=no1><iframe src=no2></iframe><area href=no3>
        <script src=no4></script><script href=s.js></script><source src=no5></svg><math><a href=no6>m</a></math>
        <svg><foreignObject><iframe src=i></iframe></foreignObject></svg><a href=1>x</a>"""
    assert links(engine, body, assets=True) == ["1", "i", "s.js"]


def test_many_levels_of_svg_are_looked_at_once(engine: str) -> None:
    body = "<svg>" + "<g><a xlink:href=x>" * 400 + "</svg>" + "<svg><a href=y></a></svg>" * 2_000
    assert links(engine, body) == ["x", "y"]


SHADOW = """<div id=h><template shadowrootmode="open"><h2>in</h2><a href=1>one</a><template><a href=no>t</a></template>
    <my-card><template SHADOWROOTMODE=Closed><a href=2>two</a></template></my-card><slot></slot></template
    ><p>light</p></div><template><a href=no>t</a><div><template shadowrootmode=open><a href=no>t</a></template></div>
    </template>"""


def test_declarative_shadow_roots_are_part_of_the_page_and_other_templates_are_not(engine: str) -> None:
    assert links(engine, SHADOW) == ["1", "2"]
    assert texts(engine, SHADOW, "a") == ["one", "two"]
    assert texts(engine, SHADOW, "#h > h2, #h > p") == ["in", "light"]
    assert texts(engine, SHADOW, "my-card") == ["two"]
    assert texts(engine, SHADOW, "#h") == ["in one two light"]


@pytest.mark.parametrize(
    "body",
    [
        "<ul><template shadowrootmode=open><a href=no>t</a></template></ul>",
        "<div><template shadowrootmode=none><a href=no>t</a></template></div>",
        "<font-face><template shadowrootmode=open><a href=no>t</a></template></font-face>",
        "<template shadowrootmode=open><a href=no>t</a></template>",
    ],
)
def test_a_template_that_no_browser_attaches_stays_one(engine: str, body: str) -> None:
    assert links(engine, f"<title>x</title>{body}<a href=1>1</a>") == ["1"]


def test_an_element_has_one_shadow_root(engine: str) -> None:
    root = "<template shadowrootmode=open><a href={}>t</a></template>"
    assert links(engine, f"<div>{root.format(1)}{root.format('no')}</div>") == ["1"]


XHTML = "application/xhtml+xml"
HEAD = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>page</title>'


def read(engine: str, body: str, *selectors: str, content_type: str = XHTML) -> tuple[list[str], list[str], list[str]]:
    """Return links, texts and notes of an XML page."""
    found = extract(engine, body, *selectors, content_type=content_type)
    hrefs = [url.removeprefix("http://h/") for url in found.outlinks]
    return hrefs, [row.fields["t"] for row in found.rows], list(found.notes)


@pytest.mark.parametrize("content_type", [XHTML, "application/xml", "text/xml; charset=utf-8"])
def test_xhtml_is_read_by_the_rules_of_xml(engine: str, content_type: str) -> None:
    body = f"""{HEAD}<script src="a.js"/></head><body><p>a<p>b</p></p><table><tr><td>c</td></tr></table>
        <a href="/next">n<![CDATA[<a href="/no">]]></a><A href="/no">A</A><a HREF="/no">h</a><br/>d</body></html>"""
    hrefs, texts, notes = read(engine, body, "p", "table > tr > td", content_type=content_type)
    assert (hrefs, texts, notes) == (["next"], ["a b", "b", "c"], [])


def test_names_in_xml_count_by_their_namespaces(engine: str) -> None:
    body = """<?xml version="1.0"?><h:html xmlns:h="http://www.w3.org/1999/xhtml" xmlns:l="http://www.w3.org/1999/xlink">
        <h:body><a href="no">a</a><h:a href="1">b</h:a><svg xmlns="http://www.w3.org/2000/svg"><a l:href="2">c</a>
        <title>icon</title><foreignObject><h:a href="3">d</h:a></foreignObject></svg>
        <x:title xmlns:x="urn:x">other</x:title><h:title>page</h:title></h:body></h:html>"""
    assert read(engine, body, "a") == (["1", "2", "3"], ["a", "b", "c", "d"], [])
    page = Page(fetched(body, XHTML), engine=open_engine(engine))
    assert (page.title, page.is_html, page.is_xml) == ("page", True, True)


def test_xml_that_is_no_xhtml_gives_rows_and_no_links(engine: str) -> None:
    feed = """<?xml version="1.0" encoding="utf-8"?><rss><channel><title>feed</title><a href="/no">x</a>
        <item><title>one</title><link>http://h/1</link></item></channel></rss>"""
    assert read(engine, feed, "item > title", content_type="text/xml") == ([], ["one"], [])
    assert Page(fetched(feed, "text/xml"), engine=open_engine(engine)).title is None
    assert not Page(fetched("<rss/>", "text/xml"), engine=open_engine(engine)).is_html
    assert not Page(fetched("<svg/>", "image/svg+xml"), engine=open_engine(engine)).is_html


@pytest.mark.parametrize(
    "body",
    [
        f"{HEAD}</head><body><p>a<p>b<a href=/1>x</a></body></html>",
        f'{HEAD}</head><body><a href="/1">&nosuch;</a></body></html>',
        f'{HEAD}</head><body><a href="/1">x</a></body></html>&',
        f'<!DOCTYPE html [<!ENTITY a "{"b" * 9_999}">]>{HEAD}</head><body><a href="/1">{"&a;" * 999}</a></body></html>',
        "",
    ],
)
def test_what_is_not_well_formed_is_read_as_html_and_noted(engine: str, body: str) -> None:
    hrefs, _, notes = read(engine, body, "p")
    assert (hrefs, notes) == (["1"] if body else [], ["not_well_formed"])


def test_bytes_that_are_invalid_in_the_encoding_are_not_well_formed(engine: str) -> None:
    body = HEAD.encode() + b"</head><body>\xff\xef\xbf\xbd<a href='/1'/></body></html>"
    page = Page(
        Fetched(url=URL, status=200, headers=Headers((("Content-Type", XHTML),)), body=body), engine=open_engine(engine)
    )
    assert page.title == "page"
    assert page.notes == ("not_well_formed",)


def test_xml_declares_its_encoding_and_its_entities(engine: str) -> None:
    dtd = '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "xhtml1-strict.dtd" [<!ENTITY own "of it">]>'
    text = '</head><body><p title="&eacute;">&nbsp;ж&amp;&own;&lt;</p></body></html>'
    body = f'<?xml version="1.0" encoding="koi8-r"?>{dtd}{HEAD}{text}'
    headers = Headers((("Content-Type", XHTML),))
    page = Page(Fetched(url=URL, status=200, headers=headers, body=body.encode("koi8-r")), engine=open_engine(engine))
    node = page.engine.first(page.root, "p")
    assert (page.engine.text(node), page.engine.attributes(node)["title"]) == ("\xa0ж&of it<", "é")
    assert page.encoding == "koi8-r"
    assert page.text == body
    assert page.notes == ()
    marked = Page(Fetched(url=URL, status=200, headers=headers, body=body.encode("utf-16")), engine=open_engine(engine))
    assert marked.encoding == "utf-16le"


def test_nothing_is_fetched_for_xml(engine: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("secret")
    dtd = f'<!DOCTYPE html [<!ENTITY x SYSTEM "{(tmp_path / "x").as_uri()}">]>'
    _, texts, notes = read(engine, f"{dtd}{HEAD}</head><body><p>a&x;b</p></body></html>", "p")
    assert (texts, notes) == (["ab"], [])


def test_deep_xml_loses_elements_and_no_texts(engine: str) -> None:
    body = f"{HEAD}</head><body>{'<div>' * 3_000}<a href='/no'>x</a>y{'</div>' * 3_000}<a href='/1'>z</a></body></html>"
    assert read(engine, body, "body") == (["1"], ["xy z"], [])


def test_templates_of_xml_are_no_part_of_the_page(engine: str) -> None:
    body = f"{HEAD}</head><body><template><a href='/no'><b>x</b></a></template><a href='/1'>z</a></body></html>"
    assert read(engine, body, "a") == (["1"], ["z"], [])


def test_the_tree_of_a_hook_is_that_of_the_xml(engine: str) -> None:
    page = Page(fetched(f"{HEAD}</head><body><p>a<p>b</p></p></body></html>", XHTML), engine=open_engine(engine))
    assert [node.text() for node in page.tree.css("p > p")] == ["b"]
    assert page.tree is page.tree
