"""Every pseudo-class that a job may use selects the same with every parse engine, among elements of all kinds."""

from __future__ import annotations

from itertools import product

import pytest

from crawlfleet.coordinator.job.css import check_css
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.worker.extract.port import Source
from crawlfleet.worker.extract.registry import open_engine

PAGE = b"""<!doctype html><html id=html lang=en><head id=head><title id=t>t</title><link id=l1 href=/x rel=next>
<link id=l2> <base id=base href=/></head><body id=body><a id=a1 href=/x>1</a><a id=a2>2</a><a id=a3 href>3</a>
<map id=map> <area id=r1 href=/y shape=rect><area id=r2></map><svg id=svg><a id=s1 href=/s><text id=s2>x</text>
</a></svg><form id=form> <fieldset id=f1 disabled><legend id=f2><input id=f3></legend><input id=f4>
<select id=f5><option id=f6>1<option id=f7 disabled> </select><fieldset id=f8><input id=f9></fieldset>
</fieldset><input id=i1 disabled><input id=i2 required><input id=i3 type=hidden required>
<input id=i4 type=checkbox checked><input id=i5 type=submit><textarea id=i6 required></textarea>
<select id=c1 required> <optgroup id=c2 disabled><option id=c3>3</optgroup><option id=c4 selected>4</select>
<select id=c5 multiple><option id=c6 selected> </select><button id=b1 disabled></button><x-y id=b2 disabled>
</x-y></form><div id=d1><p id=p1>a</p>text<p id=p2>b</p><span id=d2></span><!-- c --></div><div id=d3>
<span id=d4>only</span></div><ul id=u><li id=u1>1<li id=u2 class=x>2<li id=u3 class="x y"> 3<li id=u4>4</ul>
<p id=p3></p><p id=p4> </p><details id=e1 open><summary id=e2>s</summary></details></body></html>"""
ARGUMENTS = {
    "has": ("> p", "p", "+ p", "~ p", "> a, > span"),
    "is": ("p, span", "li.x"),
    "where": ("p, span",),
    "not": ("p", ".x", "p, div", "[href]"),
    **dict.fromkeys(("nth-child", "nth-last-child"), ("1", "2n+1", "odd", "even", "-n+2", "2 of .x", "n")),
    **dict.fromkeys(("nth-of-type", "nth-last-of-type"), ("1", "2n", "odd")),
}
NAMES = {"first-child", "first-of-type", "last-child", "last-of-type", "only-child", "only-of-type", "root", *ARGUMENTS}
BEGINNINGS = ("body :", "p:", "input:", "div > :", "li:", "[id]:", "html:", ":root :")
SELECTORS = [
    f"{before}{name}{f'({argument})' if argument else ''}"
    for name, before in product(
        sorted(NAMES), ("body :", "p:", "input:", "div > :", "li:", "[id]:", "html:", ":root :")
    )
    for argument in ARGUMENTS.get(name, ("",))
]


@pytest.fixture(scope="module")
def ids() -> dict[str, dict[str, list[str | None]]]:
    found = {}
    for name in PARSE_ENGINES:
        engine = open_engine(name)
        root = engine.root(Source(PAGE, "text/html"))
        found[name] = {
            css: [engine.attributes(each).get("id") for each in engine.select(root, css)] for css in SELECTORS
        }
    return found


def test_accepted_pseudo_classes_select_the_same(ids: dict[str, dict[str, list[str | None]]]) -> None:
    for css in SELECTORS:
        check_css(css)
    one, *others = ids.values()
    assert all(each == one for each in others)
    assert sum(map(bool, one.values())) > 100


def test_every_accepted_pseudo_class_is_tried() -> None:
    from crawlfleet.coordinator.job import css

    assert css._PSEUDO_CLASSES == NAMES
