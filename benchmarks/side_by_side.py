"""Crawlers side by side: the same site, the same work, in one run, interleaved.

    python -m benchmarks.side_by_side [--rounds 5] [--slow-rounds N] [--only NAME ...] [--site FOLDER]
                                      [--write-docs] [--results FILE]

The site is real documentation (`doc_site`), served by nginx on loopback; every crawler fetches all of its pages and
writes title, h1 and number of links of each as JSON lines (wget2 saves the pages). Peers are installed into
`.make/peers` at the first run; one that cannot run is named and left out. With `--slow-rounds`, those that take more
than two minutes sit out the rounds after so many. `--write-docs` writes `docs/benchmarks.md`
and its chart; `--from FILE` does so from the results of an earlier run.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks import doc_site, report
from benchmarks.contestants import Contestant, Site, all_contestants, choose
from benchmarks.meter import Command, Cost, measure
from benchmarks.report import Results, Run, Startup
from benchmarks.steady import steady
from crawlfleet.commands.arguments import count
from tests.acceptance.nginx_site import Hit, NginxSite

RESULTS = Path(".make/side_by_side.json")
HELP_RUNS = 10
EXAMPLES = 3
SLOW_S = 120.0


def crawl(contestant: Contestant, root: Path, expected: Sequence[str], keep: bool = False) -> Run:
    """Crawl the site once; raise `RuntimeError` if the crawler fails."""
    folder = Path(tempfile.mkdtemp(prefix="crawlfleet-"))
    server = NginxSite(root, folder / "nginx", buffered=True)
    try:
        with server:
            work = folder / "work"
            work.mkdir()
            cost = measure(contestant.prepare(Site(server.base, expected), work), work)
        return _judge(contestant, cost, server.hits(""), server, expected)
    except RuntimeError as error:
        said = (folder / "work" / "said.txt").read_text(errors="replace")
        raise RuntimeError(f"{error}\n{said[-2000:]}") from error
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _judge(contestant: Contestant, cost: Cost, hits: Sequence[Hit], server: NginxSite, expected: Sequence[str]) -> Run:
    pages = [hit.at for hit in hits if hit.is_page]
    if len(pages) < 2:
        raise RuntimeError(f"it fetched {len(pages)} pages")
    found = set(server.page_uris(""))
    middle = steady(pages)
    ended = max(pages) if contestant.endless else cost.ended
    coordinator_s, workers_s = _steady_cpu_s(cost, middle.began, middle.ended) if contestant.ours else (0.0, 0.0)
    workers = [process.peak_kb / 1024 for process in cost.processes if report.is_worker(process.depth, process.words)]
    return Run(
        pages=len(found),
        again=len(pages) - len(found),
        missing=sorted(set(expected) - found)[:EXAMPLES] if expected else [],
        more=sorted(found - set(expected))[:EXAMPLES] if expected else [],
        whole_s=ended - cost.began,
        first_page_s=min(pages) - cost.began,
        steady_per_s=middle.per_s,
        cpu_us=1e6 * cost.cpu_s / len(pages),
        coordinator_us=1e6 * coordinator_s / middle.pages,
        workers_us=1e6 * workers_s / middle.pages,
        peak_mb=cost.peak_mb,
        worker_peak_mb=max(workers, default=0.0) if contestant.ours else 0.0,
    )


def _steady_cpu_s(cost: Cost, began: float, ended: float) -> tuple[float, float]:
    """Return the CPU time of coordinator and workers in the middle of a crawl, as sampled."""
    taken: dict[bool, float] = defaultdict(float)
    for process in cost.processes:
        if process.depth and not process.of_service:
            is_worker = report.is_worker(process.depth, process.words)
            taken[is_worker] += process.cpu_at_s(ended) - process.cpu_at_s(began)
    return taken[False], taken[True]


def run_all(contestants: Sequence[Contestant], root: Path, rounds: int, slow_rounds: int | None) -> Results:
    """Let each crawl the site once in each round, those that are slow in the first `slow_rounds` at most."""
    expected, note = _reference(root)
    runs: dict[str, list[Run]] = {contestant.name: [] for contestant in contestants}
    left_out: dict[str, str] = {}
    for number in range(rounds):
        for contestant in contestants:
            earlier = runs[contestant.name]
            is_slow = bool(earlier) and statistics.median(run.whole_s for run in earlier) > SLOW_S
            if contestant.name in left_out or (is_slow and number >= (slow_rounds or rounds)):
                continue
            why = contestant.missing()
            if not why:
                try:
                    runs[contestant.name].append(crawl(contestant, root, expected))
                except (RuntimeError, OSError) as error:
                    why = str(error)
            if why:
                left_out[contestant.name] = why.strip()
                print(f"left out: {contestant.name}: {why}", file=sys.stderr, flush=True)
            else:
                last = runs[contestant.name][-1]
                print(f"{number + 1}/{rounds} {contestant.name}: {last.said()}", file=sys.stderr, flush=True)
    return Results(
        made=time.strftime("%Y-%m-%d"),
        machine=report.machine(),
        site_pages=len(expected),
        reference=note,
        rounds=rounds,
        ours=[contestant.name for contestant in contestants if contestant.ours],
        runs={name: each for name, each in runs.items() if each},
        left_out={name: why.splitlines()[0] for name, why in left_out.items()},
        startup=_startup(),
    )


def _reference(root: Path) -> tuple[list[str], str]:
    """Return the pages that wget2 finds; without it, page sets are not compared."""
    wget2 = next(contestant for contestant in all_contestants() if contestant.name == "wget2")
    if why := wget2.missing():
        return [], f"page sets were not compared: {why}"
    folder = Path(tempfile.mkdtemp(prefix="crawlfleet-"))
    try:
        server = NginxSite(root, folder / "nginx", buffered=True)
        with server:
            measure(wget2.prepare(Site(server.base, []), folder), folder)
        if not (pages := sorted(set(server.page_uris("")))):
            raise SystemExit(f"wget2 got no page of {root}: can nginx read it?")
        return pages, ""
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _startup() -> Startup:
    """Measure what `crawlfleet --help` takes."""
    command = Command([str(Path(sys.executable).parent / "crawlfleet"), "--help"])
    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as folder:
        costs = [measure([command], Path(folder)) for _ in range(HELP_RUNS)]
    times = [cost.ended - cost.began for cost in costs]
    return Startup(help_s=statistics.median(times), help_least_s=min(times), help_most_s=max(times))


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = _parser().parse_args()
    if options.results_of is not None:
        results = msgspec.json.decode(options.results_of.read_bytes(), type=Results)
    else:
        results = _measure(options)
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    print(report.table(results))
    if options.write_docs:
        report.write_docs(results)


def _measure(options: argparse.Namespace) -> Results:
    contestants = choose(options.only)
    if options.site is not None:
        return run_all(contestants, options.site, options.rounds, options.slow_rounds)
    if missing := doc_site.missing():
        raise SystemExit(f"install {', '.join(missing)} (with its pages), or name another --site")
    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as folder:
        # Started by root, nginx reads as a user of its own.
        Path(folder).chmod(0o755)
        doc_site.compose(Path(folder) / "site")
        return run_all(contestants, Path(folder) / "site", options.rounds, options.slow_rounds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.side_by_side", description="Crawlers side by side.")
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--slow-rounds", type=count, metavar="N", help="rounds of what takes over two minutes")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="crawlers whose name has such a word")
    parser.add_argument("--site", type=Path, help="the folder to serve (default: documentation of three packages)")
    parser.add_argument(
        "--write-docs", action="store_true", help="write the figures into docs/benchmarks.md, and a chart"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where all figures go (default: %(default)s)")
    parser.add_argument("--from", dest="results_of", type=Path, help="measure nothing, take the results of this file")
    return parser


if __name__ == "__main__":
    main()
