"""Typed fields through the real command: what is written, set aside, counted and proved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.crawls import run
from tests.site.small_site import serving

HOME = """<a href="/2">2</a><article><h2>A</h2><p class=price>12.50 EUR</p><time>2024-05-06</time></article>
<article><h2>B</h2><p class=price>sold out</p><time>soon</time></article>"""
SECOND = "<article><h2></h2><p class=price>3 EUR</p></article><article><h2>D</h2><p class=price>$4</p></article>"
PAGES = {"/": HOME, "/2": SECOND}
JOB = """name: typed
seeds: ['{seed}']
politeness: {{delay: 0s}}
items:
  - name: thing
    each: article
    fields:
      name: {{css: h2, required: true}}
      price: {{css: .price, type: price}}
      day: {{css: time, type: date}}
{more}"""


@pytest.fixture
def seed() -> Iterator[str]:
    with serving(PAGES) as site:
        yield f"{site.base}/"


def job(folder: Path, seed: str, more: str = "") -> Path:
    path = folder / "typed.yaml"
    path.write_text(JOB.format(seed=seed, more=more))
    return path


def test_values_rows_counts_and_proof_of_a_typed_crawl(tmp_path: Path, seed: str) -> None:
    ended = run(tmp_path, "run", job(tmp_path, seed), "--workers", "1")
    assert ended.returncode == 0
    folder = tmp_path / "crawls" / "typed"
    rows = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    assert sorted((row["name"], row["price"], row["day"]) for row in rows) == [
        ("A", {"amount": "12.50", "currency": "EUR"}, "2024-05-06"),
        ("B", None, None),
        ("D", {"amount": "4", "currency": "$"}, None),
    ]
    (aside,) = [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]
    assert (aside["sink"], aside["reason"]) == (None, "name is required, and empty")
    assert aside["row"]["price"] == {"amount": "3", "currency": "EUR"}
    told = [
        "  3 thing, on 2 pages; empty: day 67%, price 33%",
        "    price: 1 value not converted, such as 'sold out'",
        "    day: 1 value not converted, such as 'soon'",
        "    1 row rejected: name is required, and empty",
    ]
    assert "\n".join(told) in ended.stdout
    assert f"1 row was rejected, and set aside with the reason: {Path('crawls/typed/rejected.jsonl')}" in ended.stdout
    (item,) = json.loads((folder / "summary.json").read_text())["items"]
    assert (item["unconverted"], item["samples"], item["rejected"]) == (
        {"price": 1, "day": 1},
        {"price": "sold out", "day": "soon"},
        1,
    )
    proof = run(tmp_path, "verify", folder)
    assert proof.returncode == 0
    assert "rejected.jsonl has the rows that are rejected, each once │ 1 │ holds" in " ".join(proof.stdout.split())
    assert "\n".join(told) in proof.stdout
    again = run(tmp_path, "run", job(tmp_path, seed), "--workers", "1")
    assert "\n".join(told) in again.stdout


def test_a_crawl_that_is_not_as_expected_ends_with_a_code_of_its_own(tmp_path: Path, seed: str) -> None:
    missed = "expect: {rows: {thing: 4}, filled: {thing.price: 95%, thing.name: 100%}, failed: 1%}\n"
    ended = run(tmp_path, "run", job(tmp_path, seed, missed), "--workers", "1")
    sentences = [
        "Expected at least 4 rows of 'thing': there are 3.",
        "Expected thing.price to be filled in at least 95% of rows: it is in 66.67%, 2 of 3.",
    ]
    assert ended.returncode == 3
    assert "\n".join(sentences) in ended.stdout
    summary = json.loads((tmp_path / "crawls" / "typed" / "summary.json").read_text())
    assert (summary["ended"], summary["unmet"], summary["exit_code"]) == ("finished", sentences, 3)
    quiet = run(tmp_path, "run", job(tmp_path, seed, missed), "--workers", "1", "--quiet")
    assert (quiet.returncode, quiet.stdout) == (3, "")
    assert quiet.stderr.splitlines() == [f"crawlfleet: {sentence}" for sentence in sentences]
    met = run(tmp_path, "run", job(tmp_path, seed, "expect: {rows: 3, failed: 0%}\n"), "--workers", "1")
    assert met.returncode == 0
    assert "Expected" not in met.stdout
