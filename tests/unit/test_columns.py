"""The columns of a job's rows: what a sink with a head can know before the first row."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.coordinator.job.job import as_data, load
from crawlfleet.coordinator.results.rows import columns_of

RULES = """
items:
  - {name: book, each: article, fields: {title: h3, tags: [a]}}
  - {name: offer, fields: {shop: td, title: h1, prices: {each: tr, fields: {price: td}}}}
"""


@pytest.mark.parametrize(
    ("more", "columns"),
    [
        ("", ("status", "content_type", "title", "size", "canonical")),
        (RULES, ("title", "tags", "shop", "prices")),
        (f"{RULES}hooks: hook.py\n", ("title", "tags", "shop", "prices")),
        ("hooks: hook.py\n", ()),
    ],
)
def test_columns_are_the_fields_of_all_rules_each_once(more: str, columns: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "hook.py").write_text("def parse(page): pass\n")
    (tmp_path / "job.yaml").write_text(f"name: a\nseeds: [http://a.test/]\n{more}")
    assert columns_of(as_data(load(tmp_path / "job.yaml"))) == ("url", "item", *columns)
