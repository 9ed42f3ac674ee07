"""What a page of one kind costs: 38 KB with 80 links, of which one is new.

    python -m benchmarks.like_pages [--pages 20000] [--rounds 5] [--only NAME ...]

Real sites have pages of all kinds; this one has a single kind, made of real ones: pages of the kernel's documentation
of about that size and that many links, whose links are led elsewhere. Of a page's 80 links one names a page that none
before it has named, 56 name popular pages, as navigation does, and 23 lie anywhere among all that are known. nginx
serves it, `crawlfleet run` crawls it as `benchmarks.side_by_side` has it crawl its site. Prints the same table: CPU
time of coordinator and workers is of the steady state, from 10 % to 90 % of the pages.
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
from collections.abc import Sequence
from itertools import chain, repeat
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser

from benchmarks import report
from benchmarks.contestants import choose
from benchmarks.side_by_side import run_all
from crawlfleet.commands.arguments import count

PAGES_FROM = Path("/usr/share/doc/linux-doc/html")
SIZES = range(33_000, 44_000)
LINKS = 80
LINKS_OF_TEMPLATES = range(LINKS, 100)
POPULAR, PER_POPULAR = 60, 56
# So many pages are known and not yet fetched at any time: else each page would have to wait for the one before it.
WIDTH = 500
PER_FOLDER = 200
_NOT_FOLLOWED = re.compile(rb'<link\s[^>]*\.html[^>]*>| rel="nofollow"')
_LINK = re.compile(rb'(?<=<a )([^>]*?href=")[^"]*')


def templates(folder: Path) -> list[list[bytes]]:
    """Read the pages of that kind, each in the parts between the targets of its links."""
    paths = (path for path in sorted(folder.rglob("*.html")) if path.stat().st_size in SIZES)
    texts = (_NOT_FOLLOWED.sub(b"", path.read_bytes()) for path in paths)
    return [parts for text in texts if len(parts := _cut(text)) - 1 in LINKS_OF_TEMPLATES and _is_all(text, parts)]


def _is_all(text: bytes, parts: Sequence[bytes]) -> bool:
    """Say whether a parser sees the same links: none of them stands in a script or a comment."""
    return len(LexborHTMLParser(text).css("a[href]")) == len(parts) - 1


def _cut(text: bytes) -> list[bytes]:
    parts, begin = [], 0
    for link in _LINK.finditer(text):
        parts.append(text[begin : link.end(1)])
        begin = link.end()
    return [*parts, text[begin:]]


def compose(folder: Path, pages: int, like: Sequence[Sequence[bytes]]) -> None:
    """Make a site of so many pages, at least `WIDTH`, in a folder that does not exist yet."""
    chance = random.Random(1)
    for number in range(pages):
        first, *others = like[number % len(like)]
        targets = _targets(number, pages, chance)
        chance.shuffle(targets)
        # A template's links beyond those lead nowhere.
        inside = (target + part for target, part in zip(chain(targets, repeat(b"#top")), others, strict=False))
        path = folder / _path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(first + b"".join(inside))
    starts = "".join(f'<p><a href="{_path(number)}">{number}</a></p>' for number in range(WIDTH))
    (folder / "index.html").write_text(f"<!DOCTYPE html><title>Pages</title><h1>Pages</h1>{starts}", encoding="ascii")


def _targets(number: int, pages: int, chance: random.Random) -> list[bytes]:
    """Return the targets of a page's links: one new page while there are any, popular ones, and others."""
    known = min(number + WIDTH, pages)
    popular = [chance.randrange(POPULAR) for _ in range(PER_POPULAR)]
    others = [chance.randrange(known) for _ in range(LINKS - PER_POPULAR - 1)]
    return [f"../{_path(each)}".encode() for each in (min(known, pages - 1), *popular, *others)]


def _path(number: int) -> str:
    return f"section-{number // PER_FOLDER}/an-article-of-some-length-{number}.html"


def main() -> None:
    """Make the site, crawl it, and print a table."""
    parser = _parser()
    options = parser.parse_args()
    if options.pages < WIDTH:
        parser.error(f"--pages {options.pages}: expected {WIDTH} or more")
    like = templates(PAGES_FROM)
    if not like:
        raise SystemExit("install linux-doc, with its pages")
    wanted = choose(options.only)
    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as folder:
        # Started by root, nginx reads as a user of its own.
        Path(folder).chmod(0o755)
        compose(Path(folder) / "site", options.pages, like)
        sizes = [path.stat().st_size for path in Path(folder).rglob("section-*/*.html")]
        print(f"{len(like)} templates; pages of {sum(sizes) / len(sizes) / 1e3:.1f} KB and {LINKS} links", flush=True)
        print(report.table(run_all(wanted, Path(folder) / "site", options.rounds, None)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.like_pages", description="What one kind of page costs.")
    parser.add_argument("--pages", type=int, default=20_000)
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", default=["curl"], help="crawlers whose name has such a word"
    )
    return parser


if __name__ == "__main__":
    main()
