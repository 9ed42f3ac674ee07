"""What markup that is hard on parsers costs a worker: CPU time and memory of each page, by parse engine.

    python -m benchmarks.zoo [--engine ENGINE ...] [--scale 1] [--only WORD ...] [--limit-s 30] [--growth]

The pages are those of `tests.hostile.zoo`, of 10 MiB at most. Each is read in a process of its own, forked from one
that is warm, as a parse thread reads it: tree, links, directives, and rules by CSS, JSON-LD, microdata and Open Graph.
Memory is the process's peak above what it had before. A page that takes more CPU time than `--limit-s` (the
default of `limits.cpu`) is ended, as a worker would be; one that needs more than `--memory-mb` runs out of memory.
With `--growth` one process reads all pages that end, one after another, twice, and gives back what they left free when
a worker would; what it holds more than before, after each time, is told, and what giving back took.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from crawlfleet.shared.brief import Brief, FieldRule, ItemRule, LimitSpec, ParseSpec, ScopeSpec
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.fetch.port import Fetched, Headers
from crawlfleet.worker.process.freed_memory import SELDOM_S, FreedMemory
from crawlfleet.worker.process.memory import give_back, keep_freed_memory, resident_bytes
from tests.hostile.zoo import ZOO, found, page

URL = "http://zoo.example/page"
RULES = (
    ItemRule(
        name="page",
        fields=(
            FieldRule(name="title", selector="title"),
            FieldRule(name="first", selector="p > b"),
            FieldRule(name="data", by="jsonld", selector="name"),
            FieldRule(name="micro", by="microdata", selector="name"),
            FieldRule(name="graph", by="opengraph", selector="title"),
        ),
    ),
)
PLAIN = b"<!doctype html><title>plain</title><p>text<b>bold</b><a href=/found>on</a>"
_PEAK = "VmHWM"


class Cost(NamedTuple):
    """What a page cost: CPU seconds, megabytes above what there was, and how it ended."""

    cpu_s: float
    peak_mb: float
    end: str


def extractor(engine: str) -> Extractor:
    """Make what reads pages, as the default job of a worker has it, with some rules."""
    scope = ScopeSpec(hosts=("zoo.example",))
    return Extractor(Brief(job="zoo", scope=scope, items=RULES, parse=ParseSpec(engine=engine), limits=LimitSpec()))


def fetched(name: str, scale: float) -> Fetched:
    """Return a page of the zoo as it is fetched."""
    headers = Headers((("Content-Type", ZOO[name].content_type),))
    return Fetched(url=URL, status=200, headers=headers, body=page(name, scale))


def read(reader: Extractor, name: str, one: Fetched) -> str:
    """Read a page; say how it ended."""
    read = reader.extract(one)
    if read.error:
        return f"refused: {read.error[:60]}"
    return "read to its end" if any(url.endswith(found(name)) for url in read.outlinks) else "read"


def memory_mb(field: str = "VmRSS") -> float:
    """Return a size of this process."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.partition(f"{field}:")[2].split()[0]) / 1024


def measured(reader: Extractor, name: str, options: argparse.Namespace) -> Cost:
    """Read a page in a forked process; return what it cost."""
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        os.close(receiving)
        _read_alone(reader, name, sending, options)
    os.close(sending)
    with os.fdopen(receiving, encoding="utf-8") as told:
        text = told.read()
    _, status, usage = os.wait4(child, 0)
    if text:
        cpu_s, peak_mb, end = text.split("\t")
        return Cost(float(cpu_s), float(peak_mb), end)
    end = "CPU limit" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) else f"status {status}"
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, end)


def _read_alone(reader: Extractor, name: str, sending: int, options: argparse.Namespace) -> None:
    one = fetched(name, options.scale)
    used_s = int(time.process_time() + options.limit_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used_s, used_s + 1))
    size = int(options.memory_mb) * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before_mb, started = memory_mb(), time.process_time()
    try:
        end = read(reader, name, one)
    except MemoryError:
        end = "out of memory"
    cpu_s, peak_mb = time.process_time() - started, memory_mb(_PEAK) - before_mb
    os.write(sending, f"{cpu_s}\t{peak_mb}\t{end}".encode())
    os._exit(0)


def growth(reader: Extractor, names: Sequence[str], scale: float, rounds: int = 2) -> str:
    """Read pages one after another, several times; say by how much this process has grown after each time."""
    reader.extract(Fetched(url=URL, status=200, body=PLAIN))
    before_mb, sizes, gave_back_s = memory_mb(), [], []

    def timed() -> None:
        started = time.process_time()
        give_back()
        gave_back_s.append(time.process_time() - started)

    freed = FreedMemory(resident_bytes, timed)
    for _ in range(rounds):
        for name in names:
            read(reader, name, fetched(name, scale))
            freed.look(time.monotonic(), 0.0)
        freed.look(time.monotonic() + SELDOM_S, 0.0)
        sizes.append(memory_mb() - before_mb)
    grown = " and ".join(f"{size:.0f}" for size in sizes)
    took = f"{sum(gave_back_s):.2f} s in {len(gave_back_s)} times, of {time.process_time():.0f} s"
    return f"grown over {len(names)} pages by {grown} MB; giving back took {took}"


def in_child(work: Callable[[], object]) -> str:
    """Do something in a forked process; return what came of it, as text."""
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        os.close(receiving)
        os.write(sending, str(work()).encode())
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, encoding="utf-8") as told:
        text = told.read()
    os.waitpid(child, 0)
    return text


def main() -> None:
    """Read the zoo by every engine, and print a table."""
    options = _parser().parse_args()
    keep_freed_memory()
    names = [name for name in ZOO if not options.only or any(word in name for word in options.only)]
    readers = {engine: extractor(engine) for engine in options.engine}
    for reader in readers.values():
        reader.extract(Fetched(url=URL, status=200, body=PLAIN))
    print(f"| {'page':<22} | {'KB':>6} |" + "".join(f" {engine:<34} |" for engine in readers))
    costs: dict[str, dict[str, Cost]] = {engine: {} for engine in readers}
    for name in names:
        cells = []
        for engine, reader in readers.items():
            cost = costs[engine][name] = measured(reader, name, options)
            cells.append(f" {cost.cpu_s:>6.2f} s {cost.peak_mb:>6.0f} MB {cost.end[:17]:<17} |")
        print(f"| {name:<22} | {len(page(name, options.scale)) / 1e3:>6.0f} |" + "".join(cells), flush=True)
    for engine, of_engine in costs.items():
        slowest, largest = (max(of_engine, key=lambda name: of_engine[name][column]) for column in (0, 1))
        print(
            f"{engine}: at most {of_engine[slowest].cpu_s:.2f} s ({slowest}), "
            f"{of_engine[largest].peak_mb:.0f} MB ({largest})"
        )
        if options.growth:
            ended = [name for name, cost in of_engine.items() if cost.end not in ("CPU limit", "out of memory")]
            print(f"{engine}: {in_child(partial(growth, readers[engine], ended, options.scale))}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.zoo", description="What hard markup costs to read.")
    parser.add_argument("--engine", choices=list(PARSE_ENGINES), nargs="+", default=list(PARSE_ENGINES))
    parser.add_argument("--scale", type=float, default=1.0, help="the part of its size that each page has")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="pages whose name has such a word")
    parser.add_argument("--limit-s", type=float, default=LimitSpec().cpu_s)
    parser.add_argument("--memory-mb", type=float, default=4_096)
    parser.add_argument("--growth", action="store_true")
    return parser


if __name__ == "__main__":
    main()
