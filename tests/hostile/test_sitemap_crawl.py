"""A whole crawl by hostile sitemaps, through every engine: each ends as promised, and the honest ones count."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from crawlfleet.shared.engines import FETCH_ENGINES
from tests.acceptance import crawls
from tests.hostile.inner_aims import Ended
from tests.site.inner_listener import listening
from tests.site.small_site import SmallSite, serving

INNER = "127.0.0.9"
FIFTY_MB = 50 * 1024 * 1024
READ, BROKEN, TOO_DEEP = Ended("done"), Ended("failed", "sitemap_broken"), None
# How each ends; what an index names below an index of indexes is not asked for.
ENDS = {
    "external-file.xml": BROKEN,
    "external-host.xml": BROKEN,
    "external-type.xml": BROKEN,
    "laughs.xml": BROKEN,
    "bomb.xml": BROKEN,
    "page.xml": BROKEN,
    "itself.xml": READ,
    "one.xml": READ,
    "two.xml": READ,
    "three.xml": READ,
    "four.xml": TOO_DEEP,
    "elsewhere.xml": READ,
    "packed.bin": READ,
    "list.txt": READ,
    "long.xml": READ,
}
# The pages that they lead to; others are behind an entity, elsewhere, too deep, or behind fifty megabytes.
PAGES = {"/packed", "/listed", "/before"}


def xml(root: str, entry: str, addresses: Iterable[str], head: str = "") -> str:
    entries = "".join(f"<{entry}><loc>{address}</loc></{entry}>" for address in addresses)
    return f'<?xml version="1.0"?>{head}<{root}>{entries}</{root}>'


def with_entity(declared: str, address: str) -> str:
    return xml("urlset", "url", [f"{address}/behind", f"{address}&x;"], f"<!DOCTYPE urlset [{declared}]>")


def add_maps(site: SmallSite, port: int, secret: Path) -> None:
    """Let robots.txt name all of them but those that indexes lead to."""

    def index(*names: str) -> str:
        return xml("sitemapindex", "sitemap", [f"{site.base}/{name}" for name in names])

    laughs = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghx", strict=True)
    )
    filler = f"<!--{'x' * FIFTY_MB}-->"
    long = xml("urlset", "url", [f"{site.base}/before", f"{site.base}/after"])
    site.pages |= {
        "/robots.txt": "".join(
            f"Sitemap: {site.base}/{name}\n" for name in ENDS if name not in ("two.xml", "three.xml", "four.xml")
        ),
        "/external-file.xml": with_entity(f'<!ENTITY x SYSTEM "file://{secret}">', site.base),
        "/external-host.xml": with_entity(f'<!ENTITY x SYSTEM "http://{INNER}:{port}/">', site.base),
        "/external-type.xml": with_entity(f'<!ENTITY % y SYSTEM "http://{INNER}:{port}/"> %y;', site.base),
        "/laughs.xml": with_entity(laughs, site.base),
        "/bomb.xml": gzip.compress(bytes(60 * 1024 * 1024), 1),
        "/page.xml": "<!doctype html><title>no sitemap</title>",
        "/itself.xml": index("itself.xml"),
        "/one.xml": index("two.xml"),
        "/two.xml": index("three.xml"),
        "/three.xml": index("four.xml"),
        "/four.xml": xml("urlset", "url", [f"{site.base}/deep"]),
        "/elsewhere.xml": xml("urlset", "url", [f"http://{INNER}:{port}/", "http://example.org/"]),
        "/packed.bin": gzip.compress(xml("urlset", "url", [f"{site.base}/packed"]).encode()),
        "/list.txt": f"\ufeff{site.base}/listed\r\n",
        "/long.xml": gzip.compress(long.replace("/before</loc></url>", f"/before</loc></url>{filler}").encode(), 1),
        **dict.fromkeys(("/", "/behind", "/deep", "/after", *PAGES), "<title>page</title>"),
    }


@pytest.mark.parametrize("engine", sorted(FETCH_ENGINES))
def test_each_sitemap_ends_as_promised_and_harms_no_other(engine: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("/secret")
    with serving({}) as site, listening(INNER) as inner:
        assert inner.is_reachable()
        add_maps(site, inner.port, tmp_path / "secret.txt")
        job = {
            "name": "maps",
            "seeds": [f"{site.base}/"],
            "scope": {"sitemaps": True},
            "politeness": {"delay": "0s", "adaptive": False},
            "fetch": {"engine": engine, "retries": 0},
            "tables": {"urls": "urls.jsonl"},
        }
        (tmp_path / "job.yaml").write_text(json.dumps(job))
        done = crawls.run(tmp_path, "run", "job.yaml", "--workers", "1", timeout_s=110)
        assert inner.visitors() == []
    rows = crawls.lines(tmp_path / "crawls" / "maps" / "urls.jsonl")
    found = {
        row["url"].rpartition("/")[2]: Ended(row["state"], row["reason"]) for row in rows if row["kind"] == "sitemap"
    }
    assert found == {name: end for name, end in ENDS.items() if end is not None}, done.stdout + done.stderr
    fetched = {path for path, _ in site.requests if not path.endswith((".xml", ".txt", ".bin"))}
    assert fetched == {"/", *PAGES}
    assert crawls.run(tmp_path, "verify", "crawls/maps").returncode == 0
