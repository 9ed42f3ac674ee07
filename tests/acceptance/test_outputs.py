"""The outputs of a crawl as its user meets them: files for each table, columns that change, an export."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.crawls import assert_refused, run
from tests.site.small_site import serving

PAGE = """<title>shop</title><a href="/2">next</a>
<article><h3>Tea</h3><b>-5</b><p>good</p><p>bad</p></article><article><h3>=1+1</h3><b>7</b></article>"""
BOTH = """items:
  - {name: thing, each: article, fields: {title: h3, stock: b}}
  - {name: review, each: article p, fields: {text: "::text"}}
"""


@pytest.fixture
def shop() -> Iterator[str]:
    with serving({"/": PAGE, "/2": PAGE}) as site:
        yield f"{site.base}/"


def crawl(folder: Path, seed: str, more: str) -> str:
    (folder / "jobs").mkdir(exist_ok=True)
    job = folder / "jobs" / "shop.yaml"
    job.write_text(f"name: shop\nseeds: ['{seed}']\npoliteness: {{delay: 0s}}\n{more}")
    done = run(folder, "run", job, "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    proof = run(folder, "verify", "crawls/shop")
    assert proof.returncode == 0, proof.stdout
    return done.stdout


def table(path: Path, *columns: str) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["url", *columns]
    return [row[1:] for row in rows[1:]]


def test_each_rule_has_a_file_and_one_whose_columns_change_is_written_again(tmp_path: Path, shop: str) -> None:
    folder = tmp_path / "crawls" / "shop"
    sinks = "sinks: [items.csv, {file: ../out/all.csv, formulas: keep}]\n"
    said = crawl(tmp_path, shop, BOTH + sinks)
    assert f"items: {folder / 'items.review.csv'}" in said.replace("crawls/", f"{tmp_path}/crawls/")
    assert table(folder / "items.thing.csv", "title", "stock") == [["Tea", "-5"], ["'=1+1", "7"]] * 2
    assert table(folder / "items.review.csv", "text") == [["good"], ["bad"]] * 2
    assert table(tmp_path / "out" / "all.thing.csv", "title", "stock")[1] == ["=1+1", "7"]

    more = BOTH.replace("stock: b", "stock: b, colour: i")
    said = crawl(tmp_path, shop, more + sinks)
    assert "items.thing.csv have changed (+ colour: text): it is written again from the log." in said
    assert "items.review.csv have changed" not in said
    assert table(folder / "items.thing.csv", "title", "stock", "colour")[0] == ["Tea", "-5", ""]

    said = crawl(tmp_path, shop, BOTH.replace("stock: b", "colour: i") + sinks)
    assert "items.thing.csv have changed (- stock: text): it is written again from the log." in said
    assert table(folder / "items.thing.csv", "title", "colour")[0] == ["Tea", ""]
    assert "rejected" not in said

    with (folder / "items.thing.csv").open("a") as file:
        file.write("mine\n")
    (folder / "items.review.csv").write_text("x" * (folder / "items.review.csv").stat().st_size)
    job = tmp_path / "jobs" / "shop.yaml"
    job.write_text(job.read_text().replace("fields: {text:", "fields: {by: u, text:"))
    assert_refused(run(tmp_path, "run", job), 2, "items.review.csv was changed by somebody else: move it away")
    assert (folder / "items.review.csv").read_text().startswith("xxx")


def test_an_export_writes_a_file_for_each_table_or_none(tmp_path: Path, shop: str) -> None:
    crawl(tmp_path, shop, BOTH)
    done = run(tmp_path, "export", "crawls/shop", "--to", "out.tsv")
    assert done.stdout == "out.thing.tsv, out.review.tsv: 8 rows of 2 fetched pages\n"
    assert (tmp_path / "out.thing.tsv").read_text().splitlines()[0] == "url\ttitle\tstock"
    (tmp_path / "out.thing.tsv").unlink()
    again = run(tmp_path, "export", "crawls/shop", "--to", "out.tsv")
    assert_refused(again, 2, "out.review.tsv exists already: name another file, or replace it by --overwrite")
    assert not (tmp_path / "out.thing.tsv").exists()
    assert run(tmp_path, "export", "crawls/shop", "--to", "out.tsv", "--overwrite", "--keep-formulas").returncode == 0
    assert "\t=1+1\t" in (tmp_path / "out.thing.tsv").read_text()
    assert_refused(run(tmp_path, "export", "crawls/shop", "--to", "out.xls"), 2, "no sink writes", ".jsonl, .csv")


HOOK = """
def parse(page):
    yield {"item": "book", "title": page.title, "price": "1.20", "shelf": 3}
    yield {"item": "note", "x": 1}
    yield {"item": "book", "title": "odd", "price": "dear"}
"""


def test_a_hooks_items_have_declared_columns_and_the_rest_is_json(tmp_path: Path, shop: str) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "hook.py").write_text(HOOK)
    more = "hooks: hook.py\ncolumns: {book: {title: text, price: decimal, tags: [text]}}\nsinks: [items.csv]\n"
    said = crawl(tmp_path, shop, more)
    folder = tmp_path / "crawls" / "shop"
    assert table(folder / "items.csv", "title", "price", "tags", "rest")[0] == ["shop", "1.20", "", '{"shelf":3}']
    assert table(folder / "items.other.csv", "item", "rest")[0] == ["note", '{"x":1}']
    assert "2 rows were rejected, and set aside" in said
    assert "price is 'dear', which is no number" in (folder / "rejected.jsonl").read_text()
    assert f"items: {Path('crawls/shop/items.other.csv')}" in said
