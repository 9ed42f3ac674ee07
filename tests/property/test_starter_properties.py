"""Starter jobs of random pages: each loads, and gives rows on its page."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crawlfleet.coordinator.job.job import brief, load_from
from crawlfleet.coordinator.job.source import JobSource, Setting
from crawlfleet.coordinator.job.yaml_source import parse
from crawlfleet.starter.starter_job import starter_job
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.fetch.port import Fetched, Headers

ELEMENTS = "a article b dd div dl dt h2 h3 i img li main my-card nav p section span svg table td th time tr ul x:y ü"
TAGS = ELEMENTS.split()
WORDS = [
    "price",
    "a",
    "title",
    "null",
    "yes",
    "item",
    "url",
    "é",
    "1",
    "- x",
    "# y",
    "p-4",
    "md:w-1/2",
    "a.b",
    "'",
    '"',
    "\\",
    ": ",
]
NAMES = [
    "class",
    "id",
    "href",
    "src",
    "itemprop",
    "itemscope",
    "itemtype",
    "datetime",
    "data-testid",
    "role",
    "content",
    "rel",
]
VALUES = [*WORDS, "/x", "#", "", "2031-01-02", "https://schema.org/Product", "next", "£3.50", "12", "x" * 300]

texts = st.one_of(st.sampled_from([*VALUES, "Some words of a text."]), st.text(max_size=8))
attributes = st.dictionaries(
    st.sampled_from(NAMES), st.one_of(st.sampled_from(VALUES), st.text(max_size=6)), max_size=3
)


def element(tag: str, names: dict[str, str], inside: list[str], times: int) -> str:
    written = "".join(f' {name}="{escape(value)}"' for name, value in names.items())
    return f"<{tag}{written}>{''.join(inside)}</{tag}>" * times


trees = st.recursive(
    texts.map(escape),
    lambda below: st.builds(
        element, st.sampled_from(TAGS), attributes, st.lists(below, max_size=4), st.sampled_from([1, 1, 1, 3, 5])
    ),
    max_leaves=25,
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), texts),
    lambda below: st.one_of(
        st.lists(below, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(["@type", "@graph", "name"]), texts), below, max_size=4),
    ),
    max_leaves=15,
)


def check(body: str, kind: str) -> None:
    fetched = Fetched(
        url="https://example.org/",
        status=200,
        headers=Headers((("Content-Type", kind),)),
        body=body.encode(errors="replace"),
    )
    starter = starter_job(fetched, "example-org", "job.yaml")
    document = parse(starter.text)
    assert not document.problems
    job: Any = document.value
    loaded = load_from(JobSource(settings=tuple(Setting(key, value, "test") for key, value in job.items())))
    extracted = Extractor(brief(loaded)).extract(fetched)
    assert extracted.rows
    assert {row.item for row in extracted.rows} == {item.name for item in loaded.items} or not loaded.items
    assert not extracted.unconverted


@given(st.lists(trees, max_size=5))
@settings(max_examples=100, deadline=None)
def test_the_job_of_any_tree_gives_rows(body: list[str]) -> None:
    check("".join(body), "text/html; charset=utf-8")


@given(values)
@settings(max_examples=40, deadline=None)
def test_the_job_of_any_data_gives_rows(data: Any) -> None:
    text = json.dumps(data)
    check(text, "application/json")
    check(
        f'<script type="application/ld+json">{text.replace("<", chr(92) + "u003c")}</script>',
        "text/html; charset=utf-8",
    )
