"""What the side-by-side benchmark came to: figures as values, tables, a page of the documents and its chart."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks.bars import Bar, draw

DOCS = Path(__file__).parents[1] / "docs"
# Below `crawlfleet run` are coordinator and node; below the node are the workers, and helpers of multiprocessing.
WORKER_DEPTH = 2


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One crawl. `missing` and `more` are examples of what differs from wget2's pages; `coordinator_us` and
    `workers_us` are CPU time a page in the steady state, `cpu_us` that of all processes over the whole crawl."""

    pages: int
    again: int
    missing: list[str]
    more: list[str]
    whole_s: float
    first_page_s: float
    steady_per_s: float
    cpu_us: float
    coordinator_us: float
    workers_us: float
    peak_mb: float
    worker_peak_mb: float

    @property
    def whole_per_s(self) -> float:
        """Pages a second over the whole command."""
        return self.pages / self.whole_s

    def said(self) -> str:
        """Say it in a line."""
        differs = f", differs: {[*self.missing, *self.more]}" if self.missing or self.more else ""
        return (
            f"{self.pages:,} pages in {self.whole_s:.2f} s, {self.whole_per_s:,.0f}/s, "
            f"steady {self.steady_per_s:,.0f}/s, {self.cpu_us:,.0f} us of CPU a page, {self.peak_mb:,.0f} MB{differs}"
        )


class Startup(msgspec.Struct, frozen=True, kw_only=True):
    """What `crawlfleet --help` takes: median, least and most."""

    help_s: float
    help_least_s: float
    help_most_s: float


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """All runs, by the crawler's name."""

    made: str
    machine: str
    site_pages: int
    reference: str
    rounds: int
    ours: list[str]
    runs: dict[str, list[Run]]
    left_out: dict[str, str]
    startup: Startup


def is_worker(depth: int, words: str) -> bool:
    """Say whether a process of `crawlfleet run` is a worker."""
    return depth >= WORKER_DEPTH and "resource_tracker" not in words


def machine() -> str:
    """Describe the machine in a few words."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpus if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}"


def table(results: Results) -> str:
    """Return all figures as a Markdown table: medians, and the least and the most of the rounds."""
    head = "| crawler | pages/s, whole command | pages/s, steady | CPU µs/page | peak MB | first page, s |"
    lines = [head, "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for name, runs in sorted(results.runs.items(), key=lambda pair: -_median(pair[1], lambda run: run.whole_per_s)):
        cells = (
            _cell(runs, lambda run: run.whole_per_s),
            _cell(runs, lambda run: run.steady_per_s),
            _cell(runs, lambda run: run.cpu_us),
            _cell(runs, lambda run: run.peak_mb),
            _cell(runs, lambda run: run.first_page_s, "{:.2f}"),
        )
        own = "" if len(runs) == results.rounds else " (1 round)" if len(runs) == 1 else f" ({len(runs)} rounds)"
        lines.append(f"| {name}{own} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_ours(results), *_notes(results)])


def _ours(results: Results) -> list[str]:
    """Say what coordinator and workers take, and how ours compares with Scrapy and wget2."""
    lines = [
        "| crawlfleet | coordinator, CPU µs/page | workers, CPU µs/page | peak MB of one worker | whole / Scrapy | "
        "steady / Scrapy | whole / wget2 | steady / whole of wget2 |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in results.ours:
        runs = results.runs.get(name)
        if runs:
            whole, steady = _median(runs, lambda run: run.whole_per_s), _median(runs, lambda run: run.steady_per_s)
            cells = (
                _cell(runs, lambda run: run.coordinator_us),
                _cell(runs, lambda run: run.workers_us),
                _cell(runs, lambda run: run.worker_peak_mb),
                _times(whole, results.runs.get("Scrapy"), lambda run: run.whole_per_s),
                _times(steady, results.runs.get("Scrapy"), lambda run: run.steady_per_s),
                _times(whole, results.runs.get("wget2"), lambda run: run.whole_per_s),
                _times(steady, results.runs.get("wget2"), lambda run: run.whole_per_s),
            )
            lines.append(f"| {name.removeprefix('crawlfleet, ')} | {' | '.join(cells)} |")
    return [*lines, ""]


def _notes(results: Results) -> list[str]:
    startup = results.startup
    notes = [
        f"The help text (`--help`) takes {startup.help_s:.2f} s "
        f"({startup.help_least_s:.2f}-{startup.help_most_s:.2f}).",
        f"Left out: {'; '.join(f'{name} ({why})' for name, why in results.left_out.items())}."
        if results.left_out
        else "",
        _page_sets(results),
    ]
    return ["\n\n".join(note for note in notes if note)]


def _page_sets(results: Results) -> str:
    if results.reference:
        return results.reference
    differing = {
        name: run for name, runs in results.runs.items() for run in runs if run.missing or run.more or run.again
    }
    if not differing:
        return f"Every crawler was given the same {results.site_pages:,} pages as wget2, each once."
    said = (
        f"{name}: {run.pages:,} of {results.site_pages:,}, {run.again} twice, "
        f"for example {', '.join([*run.missing, *run.more]) or 'none other'}"
        for name, run in differing.items()
    )
    return f"Pages that differ from wget2's: {'; '.join(said)}."


def _median(runs: Sequence[Run], figure: Callable[[Run], float]) -> float:
    return statistics.median(figure(run) for run in runs)


def _cell(runs: Sequence[Run], figure: Callable[[Run], float], form: str = "{:,.0f}") -> str:
    figures = [figure(run) for run in runs]
    least, most = form.format(min(figures)), form.format(max(figures))
    spread = f" ({least}-{most})" if least != most else ""
    return f"{form.format(statistics.median(figures))}{spread}"


def _times(value: float, others: Sequence[Run] | None, figure: Callable[[Run], float]) -> str:
    return f"{value / _median(others, figure):.3g}" if others else "-"


def write_docs(results: Results) -> None:
    """Write the figures into `docs/benchmarks.md` and, if matplotlib is there, draw their chart."""
    figures = f"""\
{results.made}; {results.machine}, shared by the crawler and the web server; {results.site_pages:,} pages;
{results.rounds} rounds: the median and, in brackets, the least and the most.

![Pages a second over the whole command](benchmarks.svg)

{table(results).strip()}"""
    replace_figures("side by side", figures)
    rates = {name: _median(runs, lambda run: run.whole_per_s) for name, runs in results.runs.items()}
    bars = [
        Bar(name, rate, f"{rate:,.0f}", name in results.ours)
        for name, rate in sorted(rates.items(), key=lambda pair: -pair[1])
    ]
    if not draw(bars, f"{results.site_pages:,} pages of documentation", "pages/s, whole command", DOCS / "benchmarks"):
        print("no chart: install the extra `bench` (matplotlib)")


def replace_figures(name: str, figures: str) -> None:
    """Put figures into their place in `docs/benchmarks.md`, between two comments."""
    page = DOCS / "benchmarks.md"
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    head, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, tail = rest.partition(end)
    page.write_text(f"{head}{begin}\n\n{figures}\n\n{end}{tail}", encoding="utf-8")
