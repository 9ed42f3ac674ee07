"""Selectors: what they take, and which are refused at load."""

from __future__ import annotations

import pytest

from crawlfleet.coordinator.job.css import MAX_SELECTOR_CHARS, Selector, check_css, parse_selector


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("h1", Selector("h1", "text", "")),
        ("h1::text", Selector("h1", "text", "")),
        (" h3 > a::attr(href) ", Selector("h3 > a", "attr", "href")),
        ("a::attr( HREF )", Selector("a", "attr", "href")),
        ("::attr(data-id)", Selector("", "attr", "data-id")),
        ("::text", Selector("", "text", "")),
        ("h1, h2::text", Selector("h1, h2", "text", "")),
        ('a[title="::text"]', Selector('a[title="::text"]', "text", "")),
        ("h1::own-text", Selector("h1", "own-text", "")),
        ("::own-text", Selector("", "own-text", "")),
        ("map *::attr(shape)", Selector("map *", "attr", "shape")),
        ("[lang|=en]::text", Selector("[lang|=en]", "text", "")),
    ],
)
def test_selector_says_what_is_selected_and_what_is_taken(text: str, selector: Selector) -> None:
    assert parse_selector(text) == selector


@pytest.mark.parametrize("take", ["::attr(shape)", "::text", "::own-text"])
@pytest.mark.parametrize("blank", [" ", "\t", "\n  "])
def test_a_blank_before_what_is_taken_is_refused_with_both_that_may_be_meant(take: str, blank: str) -> None:
    with pytest.raises(ValueError, match=r"has a blank before '::': write ") as raised:
        parse_selector(f'map[name="m"]{blank}{take}')
    for meant in (f'map[name="m"]{take}', f'map[name="m"] *{take}'):
        assert f"write {meant} for" in str(raised.value) or f", {meant} for" in str(raised.value)
        assert parse_selector(meant).take == take.strip(":").partition("(")[0]


@pytest.mark.parametrize("text", ["", "  "])
def test_empty_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the selector is empty"):
        parse_selector(text)


@pytest.mark.parametrize("text", ["p..a", "p >", "a[href", "p{", ">a", "p,", ":has()", "'", "@media", ":is()", "\0"])
def test_broken_css_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not CSS"):
        parse_selector(text)


@pytest.mark.parametrize(
    "text",
    ["//h1", "/html/body", "./a", ".//a/@href", "a/text()", "text()", "p[@id]", "*[@a='b']", "p[position()=1]/a"],
)
def test_xpath_is_known_as_such(text: str) -> None:
    with pytest.raises(ValueError, match=r"is XPath, and CSS is wanted: write one such as"):
        parse_selector(text)


@pytest.mark.parametrize(
    "text", ["a[href='/x']", "a[href*='//']", r".w-1\/2", "p:not(.a):nth-child(2)", "a[href='f(x)']"]
)
def test_what_only_looks_like_xpath_is_css(text: str) -> None:
    assert parse_selector(text).css == text


@pytest.mark.parametrize("text", ["a::before", "a::text, b::text", "a::attr()", "a::attr(x y)", "a::text b"])
def test_double_colon_means_text_or_attribute_only(text: str) -> None:
    with pytest.raises(ValueError, match="::text, ::own-text or ::attr"):
        parse_selector(text)


@pytest.mark.parametrize(
    "text",
    [
        "p:hover",
        "p:contains(x)",
        ":is(p:empty)",
        "input:enabled",
        ":lang(en)",
        "p:Current(a)",
        "a:link",
        "A:Any-Link",
        "option:checked",
        "input:disabled",
        ":not(:required)",
        ":optional",
    ],
)
def test_pseudo_classes_that_engines_read_differently_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not mean the same"):
        check_css(text)


@pytest.mark.parametrize("text", [r"\*", r"a \*", r"\2a ", r"\00002A", r"[a='\*'] \*"])
def test_an_escaped_star_is_refused_since_one_engine_takes_it_for_any_element(text: str) -> None:
    with pytest.raises(ValueError, match="does not mean the same everywhere"):
        parse_selector(text)


@pytest.mark.parametrize("text", [r"[a='\*']", r"\2ab c", r"a\2b"])
def test_other_escapes_are_css(text: str) -> None:
    assert parse_selector(text).css == text


@pytest.mark.parametrize("text", ["svg|a", "*|a", "[xlink|href]"])
def test_namespaces_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        check_css(text)


@pytest.mark.parametrize(
    ("text", "instead"), [("a:link", r"a\[href\]"), (":Disabled", r"\[disabled\]"), ("p:hover", "do without it")]
)
def test_what_to_write_instead_is_said(text: str, instead: str) -> None:
    with pytest.raises(ValueError, match=instead):
        check_css(text)


def test_colon_inside_quotes_is_no_pseudo_class() -> None:
    check_css("""a[href="http:foo"] , a[title='b:hover \\' :empty']""")


def test_overlong_selector_is_refused() -> None:
    with pytest.raises(ValueError, match="make it shorter"):
        check_css("a" * (MAX_SELECTOR_CHARS + 1))


@pytest.mark.parametrize(
    "css",
    [
        "li:nth-child(2n+1)",
        "li:nth-child(1 of .x)",
        "div:has(> ul)",
        "p:not(.a, .b)",
        ":is(p, a)",
        "p + p",
        "[type=text]",
        "li:last-of-type",
        "a[href]",
        "option[selected]",
        "[title='x y' i]",
        "ul > li:first-child",
        "DIV",
        ".Q",
    ],
)
def test_accepted_css_selects_the_same_on_both_engines(css: str) -> None:
    import soupsieve
    from bs4 import BeautifulSoup
    from selectolax.lexbor import LexborHTMLParser

    check_css(css)
    by_lexbor = [node.attributes.get("id") for node in LexborHTMLParser(_PAGE).css(css)]
    by_soup = [tag.get("id") for tag in soupsieve.select(css, BeautifulSoup(_PAGE, "lxml"))]
    assert by_lexbor == by_soup
    assert by_lexbor


_PAGE = """<!doctype html><html lang="en"><head><title>t</title></head><body><div id="d" class="Q">
<p id="p1" class="c" title="X y">one <a id="a1" href="/x">l</a></p><p id="p2">two</p>
<ul id="u"><li id="l1">1</li><li id="l2" class="x">2</li><li id="l3">3</li><li id="l4" class="x">4</li></ul>
<form id="f"><input id="i" type="TEXT"><select id="s"><option id="o" selected>o</option></select></form>
</div></body></html>"""
