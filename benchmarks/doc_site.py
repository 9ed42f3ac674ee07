"""A site of real pages for the benchmarks: the HTML documentation of Linux, PostgreSQL and Python, side by side.

Only the pages and what they show are copied, and the links to their sources are taken out: those are no pages.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

PARTS = {
    "linux": Path("/usr/share/doc/linux-doc/html"),
    "postgresql": Path("/usr/share/doc/postgresql-doc-15/html"),
    "python": Path("/usr/share/doc/python3.11/html"),
}
PACKAGES = ("linux-doc", "postgresql-doc-15", "python3.11-doc")
_SOURCE_LINK = re.compile(rb'<a\s[^>]*href="[^"]*_sources/[^"]*"[^>]*>.*?</a>', re.DOTALL)
_INDEX = "<!DOCTYPE html><title>Documentation</title><h1>Documentation</h1>{links}"
# wget2 follows more than links; this page it finds by a form.
_UNLINKED = "linux/search.html"


def missing() -> list[str]:
    """Name the Debian packages whose pages are not here."""
    return [package for package, part in zip(PACKAGES, PARTS.values(), strict=True) if not part.is_dir()]


def compose(folder: Path) -> None:
    """Make the site in a folder that does not exist yet."""
    folder.mkdir(parents=True)
    starts = [*(f"{name}/index.html" for name in PARTS), _UNLINKED]
    links = "".join(f'<p><a href="{start}">{start}</a></p>' for start in starts)
    (folder / "index.html").write_text(_INDEX.format(links=links), encoding="utf-8")
    for name, part in PARTS.items():
        shutil.copytree(part, folder / name, ignore=shutil.ignore_patterns("_sources", "_downloads"))
        for page in (folder / name).rglob("*.html"):
            text = page.read_bytes()
            if b"_sources/" in text:
                page.write_bytes(_SOURCE_LINK.sub(b"", text))
