"""The page about lists of addresses, run from its own text: 2,000 of them, on a small site."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.crawls import lines, run
from tests.site.small_site import SmallSite, serving

PAGE = (Path(__file__).parents[2] / "docs/how-to/crawl-a-list.md").read_text("utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"^```([^\n]+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
TEXTS: list[str] = re.findall(r"^```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS: list[str] = [
    line for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) for line in block.splitlines()
]
SITE = "https://example.org"
COMPANIES = 2_000


@pytest.fixture(scope="module")
def site() -> Iterator[SmallSite]:
    pages = {
        f"/companies/{number}": f"<title>Company {number}</title><a href='tel:+31{number}'>+31 {number}</a>"
        for number in range(1, COMPANIES + 2)
    }
    with serving(pages) as found:
        yield found


def command(text: str, folder: Path) -> str:
    """Run a command of the page; return what it prints, on one line."""
    program, *arguments = text.split()
    assert program == "crawlfleet"
    done = run(folder, *arguments, timeout_s=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return re.sub(r"\s+", " ", done.stdout)


def test_two_thousand_addresses_from_a_file(site: SmallSite, tmp_path: Path) -> None:
    head, *rows = BLOCKS["text file=companies.csv"].splitlines()
    rows += [f"C-{number:04},{SITE}/companies/{number},SE" for number in range(len(rows) + 1, COMPANIES + 1)]
    table = tmp_path / "companies.csv"
    bad = "C-2001,example.org/companies/2001,SE"
    table.write_text("\n".join([head, *rows]).replace(SITE, site.base) + f"\n{bad}\n")
    job = BLOCKS["yaml job=companies"] + "politeness: {delay: 0s, per_host: 16, adaptive: false}\n"
    job += "fetch: {allow_private: [127.0.0.1]}\n"
    (tmp_path / "companies.yaml").write_text(job)
    check, crawl, export = COMMANDS
    skipped, changed = (text.strip() for text in TEXTS)
    assert skipped in command(check, tmp_path)
    assert skipped in command(crawl, tmp_path)

    found = {row["seed"]["id"]: row for row in lines(tmp_path / "crawls/companies/companies.jsonl")}
    assert len(found) == COMPANIES
    assert found["C-0001"] == json.loads(BLOCKS["json"].replace(SITE, site.base))
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = parquet.read_table(tmp_path / "crawls/companies/companies.parquet").to_pydict()
    assert {row["id"]: row for row in columns["seed"]} == {key: row["seed"] for key, row in found.items()}
    assert dict(zip(columns["requested"], columns["title"], strict=True)) == {
        row["requested"]: row["title"] for row in found.values()
    }
    command(export, tmp_path)
    header, *urls = (tmp_path / "urls.csv").read_text().splitlines()
    assert "requested" in header.split(",")
    assert sum(f"{site.base}/companies/" in line for line in urls) == COMPANIES

    new = f"C-2001,{site.base}/companies/2001,SE"
    table.write_text("\n".join([head, *rows[2:]]).replace(SITE, site.base) + f"\n{new}\n")
    assert changed.replace(SITE, site.base) in command(crawl, tmp_path)
    assert len(lines(tmp_path / "crawls/companies/companies.jsonl")) == COMPANIES + 1
