"""Five typed fields of every page of real documentation: crawlfleet's rules beside Scrapy, by turns.

    python -m benchmarks.five_fields [--rounds 3] [--site FOLDER] [--sink items.jsonl]

Both take title, heading, a list of section headings, a number in the heading and the first link of each page, and write
them as JSON lines. Prints for each crawler the pages a second in the middle of its crawl, and CPU a page: the median of
the rounds, and all of them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks import doc_site
from benchmarks.contestants import PEERS, SIMULTANEOUS, VENV, Contestant, Site, make_venv
from benchmarks.meter import Command
from benchmarks.report import Run
from benchmarks.side_by_side import crawl
from crawlfleet.commands.arguments import count

JOB = """\
name: site
seeds: [{base}]
politeness: {{delay: 0s, per_host: {simultaneous}}}
items:
  - name: page
    fields:
      title: "title::text"
      heading: h1
      sections: [h2]
      number: {{css: h1, re: '(\\d+(?:\\.\\d+)?)', type: float}}
      first: {{css: a, attr: href, type: url}}
sinks: [{sink}]
"""


def main() -> int:
    """Crawl by turns; print what each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=count, default=3)
    parser.add_argument("--site", type=Path, help="a folder of pages (default: the documentation of the benchmarks)")
    parser.add_argument("--sink", default="items.jsonl", help="the sink of crawlfleet (default: items.jsonl)")
    args = parser.parse_args()
    if why := make_venv():
        print(f"Scrapy could not be installed: {why}", file=sys.stderr)
        return 1
    if args.site is None and (missing := doc_site.missing()):
        print(f"install the documentation first: apt-get install {' '.join(missing)}", file=sys.stderr)
        return 1
    runs: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as folder:
        # Started by root, nginx reads as a user of its own.
        Path(folder).chmod(0o755)
        root = args.site or Path(folder) / "site"
        if args.site is None:
            doc_site.compose(root)
        for _ in range(args.rounds):
            for each in (_ours(args.sink), Contestant("Scrapy", _scrapy)):
                runs.setdefault(each.name, []).append(crawl(each, root, ()))
    for name, some in runs.items():
        per_s, cpu_us = ([getattr(run, key) for run in some] for key in ("steady_per_s", "cpu_us"))
        every = ", ".join(f"{value:,.0f}" for value in per_s)
        print(
            f"{name}: {some[0].pages:,} pages, {statistics.median(per_s):,.0f} pages/s ({every}), "
            f"{statistics.median(cpu_us):,.0f} µs of CPU a page"
        )
    return 0


def _ours(sink: str) -> Contestant:
    def prepare(site: Site, folder: Path) -> list[Command]:
        job = JOB.format(base=site.base, simultaneous=SIMULTANEOUS, sink=sink)
        (folder / "site.yaml").write_text(job, encoding="utf-8")
        return [Command([sys.executable, "-m", "crawlfleet", "run", "site.yaml"])]

    return Contestant("crawlfleet", prepare, ours=True)


def _scrapy(site: Site, _folder: Path) -> list[Command]:
    script = str(PEERS.absolute() / "scrapy_fields.py")
    return [Command([str((VENV / "bin" / "python").absolute()), script, site.base, "out.jsonl"])]


if __name__ == "__main__":
    sys.exit(main())
