"""The nearest selector that would match, on each parse engine."""

from __future__ import annotations

import pytest

from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.trial import nearest as nearest_module
from crawlfleet.trial.css_steps import Step, alternatives, text_of
from crawlfleet.trial.nearest import nearest
from crawlfleet.worker.extract.port import Element, ParseEngine, Source
from crawlfleet.worker.extract.registry import open_engine

PAGE = b"""<!doctype html><title>t</title><main id="content">
<table class="facts"><tbody><tr><th>Pages</th><td>133</td></tr></tbody></table>
<article class="product_pod big"><h3><a href="/a" title="A">A</a></h3><p class="price_color">1</p><p></p></article>
<article class="product_pod"><h3><a href="/b">B</a></h3><p class="price_color">2</p></article>
</main>"""


@pytest.fixture(params=list(PARSE_ENGINES))
def engine(request: pytest.FixtureRequest) -> ParseEngine:
    return open_engine(request.param)


@pytest.mark.parametrize(
    ("wrong", "right", "matches"),
    [
        ("p.price_colour", "p.price_color", 2),
        ("p.price", "p.price_color", 2),
        ("article.product_pod > a", "article.product_pod a", 2),
        ("table.facts > tr td", "table.facts tr td", 1),
        ("article.product_pod.small h3 a", "article.product_pod h3 a", 2),
        ("div.list article.product_pod", "article.product_pod", 2),
        ("main.content p.price_color", "main#content p.price_color", 2),
        ("product_pod h3", ".product_pod h3", 2),
        ("a[titel]", "a[title]", 1),
        ("article:nth-child(9) h3", "article h3", 2),
        ("p.pryce_kolor", "p.price_color", 2),
        ("h7.none, p.price-color", "p.price_color", 2),
        ("article.product-pod > div > p.price-color", "article.product_pod p.price_color", 2),
    ],
)
def test_the_nearest_selector_has_few_changes(engine: ParseEngine, wrong: str, right: str, matches: int) -> None:
    root = engine.root(Source(PAGE, "text/html"))
    assert not engine.select(root, wrong)
    found = nearest(engine, root, wrong, bool)
    assert found is not None
    assert (found.css, len(found.elements)) == (right, matches)


def test_what_is_far_off_has_none(engine: ParseEngine) -> None:
    root = engine.root(Source(PAGE, "text/html"))
    assert nearest(engine, root, "section.unrelated", bool) is None
    assert nearest(engine, root, "div.unrelated", bool) is None


def test_only_matches_with_a_value_are_near(engine: ParseEngine) -> None:
    root = engine.root(Source(PAGE, "text/html"))
    found = nearest(engine, root, "h3 > a.x", lambda elements: any("rel" in engine.attributes(e) for e in elements))
    assert found is None


def test_how_much_is_tried_is_bounded(engine: ParseEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def refuse(elements: list[Element]) -> bool:
        tried.append(len(elements))
        return False

    names = " ".join(f"name{number}" for number in range(300))
    root = engine.root(Source(f"<p class='{names}'>x".encode(), "text/html"))
    monkeypatch.setattr(nearest_module, "MOST_TIME_S", 60.0)
    monkeypatch.setattr(nearest_module, "MOST_TRIES", 30)
    long = " ".join(f"p.nam{number}e.nome{number}" for number in range(5))
    assert nearest(engine, root, long, refuse) is None
    assert len(tried) <= 30
    monkeypatch.setattr(nearest_module, "MOST_TIME_S", 0.0)
    assert nearest(engine, root, "p.nome1", bool) is None


@pytest.mark.parametrize(
    ("css", "steps"),
    [
        ("a", [(Step(" ", ("a",)),)]),
        ("div.a#b > p:not(.c, .d) a[href^='x, y']", None),
        ("> li", [(Step(">", ("li",)),)]),
        ("a, b.c", [(Step(" ", ("a",)),), (Step(" ", ("b", ".c")),)]),
        ("a + b ~ c", None),
    ],
)
def test_a_selector_is_taken_apart_and_put_together(css: str, steps: list[object] | None) -> None:
    found = alternatives(css)
    assert ", ".join(map(text_of, found)) == css
    if steps is not None:
        assert found == steps


def test_what_cannot_be_taken_apart_has_no_steps() -> None:
    assert alternatives("a ! b") == []
