"""How near a polite crawl comes to its limit, hosts / delay, on a simulated web of many hosts.

    python -m benchmarks.polite_speed [--hosts 1000] [--delay 1] [--seconds 60] [--slow 1] [--threads N] [--workers N]

One server answers for all hosts, on addresses of their own in 127.0.0.0/8, each time after 100 ms; `--slow` further
hosts answer after 8 s, and must not hold the others up. `crawlfleet run` crawls them, durable, one request at a time on
each host. Measured are the arrivals at the fast hosts from the moment at which each of them has been asked for a page,
for so many seconds. The gaps are those between starts at the senders, as the crawl's log tells them; gaps between
arrivals may be shorter, by as much as requests are late on their way.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from benchmarks.many_hosts import Arrival, host_name, number_of, read_arrivals
from crawlfleet.coordinator.offline.audit import audit

JOB = """\
name: polite
seeds:
{seeds}
politeness: {{delay: {delay_ms}ms, per_host: 1}}
fetch: {{engine: {engine}, timeout: 30s}}
items:
  - name: page
    fields: {{title: "title::text"}}
"""
LOG = "arrivals.txt"
LOOK_EVERY_S = 1.0
START_PATIENCE_S = 60.0


class Outcome(NamedTuple):
    """What a crawl came to, as the server saw it. `share` is of hosts / delay."""

    seconds: float
    pages: float
    share: float
    slowest_host: float
    least_arrival_gap_s: float
    least_gap_s: float = 0.0
    too_soon: int = 0


class Setting(NamedTuple):
    """What is crawled, and how."""

    hosts: int
    delay_s: float
    seconds: float
    slow: int
    answer_ms: float
    engine: str = "auto"
    workers: int = 2
    threads: int = 0


def judge(arrivals: Sequence[Arrival], hosts: int, delay_s: float, seconds: float) -> Outcome:
    """Say how near the fast hosts came to the limit in a time that begins once each was asked for a page."""
    pages = [arrival for arrival in arrivals if number_of(arrival.host) < hosts and arrival.is_page]
    first: dict[str, float] = {}
    for arrival in pages:
        first.setdefault(arrival.host, arrival.at)
    if len(first) < hosts:
        raise SystemExit(f"only {len(first):,} of {hosts:,} hosts were asked for a page")
    began = max(first.values())
    counted = dict.fromkeys(first, 0.0)
    for arrival in pages:
        counted[arrival.host] += _weight(arrival.at - began, seconds, delay_s)
    return Outcome(
        seconds=seconds,
        pages=sum(counted.values()),
        share=sum(counted.values()) / (hosts * seconds / delay_s),
        slowest_host=min(counted.values()),
        least_arrival_gap_s=min(gaps(arrivals)),
    )


def _weight(after_s: float, seconds: float, delay_s: float) -> float:
    """Return how much an arrival counts: the share of the windows, shifted by up to one delay, in which it lies.

    With one window alone a host would count one page more or less, as it happens.
    """
    return max(0.0, min(1.0, after_s / delay_s, (seconds + delay_s - after_s) / delay_s))


def gaps(arrivals: Sequence[Arrival]) -> Iterator[float]:
    """Yield the time between each two requests that follow one another at a host, robots.txt included."""
    hosts: dict[str, list[float]] = {}
    for arrival in arrivals:
        hosts.setdefault(arrival.host, []).append(arrival.at)
    for times in hosts.values():
        yield from (later - earlier for earlier, later in pairwise(sorted(times)))


def measure(setting: Setting, folder: Path) -> Outcome:
    """Crawl once."""
    log = folder / LOG
    with _web(setting, log) as port:
        (folder / "polite.yaml").write_text(_job(setting, port), encoding="utf-8")
        command = [sys.executable, "-m", "crawlfleet", "run", "polite.yaml", "--workers", str(setting.workers)]
        command += ["--threads", str(setting.threads)] if setting.threads else []
        with (folder / "out.txt").open("w") as out:
            crawl = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            _watch(crawl, log, setting)
        finally:
            crawl.send_signal(signal.SIGTERM)
            crawl.wait()
    outcome = judge(read_arrivals(log), setting.hosts, setting.delay_s, setting.seconds)
    hosts = audit(folder / "crawls" / "polite").hosts
    least = min(host.gap_s for host in hosts if host.gap_s is not None)
    return outcome._replace(least_gap_s=least, too_soon=sum(host.too_soon for host in hosts))


@contextmanager
def _web(setting: Setting, log: Path) -> Iterator[int]:
    """Run the server; give its port."""
    # Enough pages for the time measured, and for the time until all hosts were asked.
    pages = int((setting.seconds + START_PATIENCE_S) / setting.delay_s) + 10
    command = [sys.executable, "-m", "benchmarks.many_hosts", "--log", str(log), "--pages", str(pages)]
    command += ["--hosts", str(setting.hosts + setting.slow), "--slow", str(setting.slow)]
    command += ["--answer-ms", str(setting.answer_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()


def _job(setting: Setting, port: int) -> str:
    names = (host_name(number) for number in range(setting.hosts + setting.slow))
    seeds = "\n".join(f"  - http://{name}:{port}/" for name in names)
    return JOB.format(seeds=seeds, delay_ms=round(setting.delay_s * 1e3), engine=setting.engine)


def _watch(crawl: subprocess.Popen[bytes], log: Path, setting: Setting) -> None:
    """Wait until enough was seen, and tell how it goes on."""
    give_up_at = time.monotonic() + START_PATIENCE_S
    all_since: float | None = None
    while all_since is None or time.monotonic() < all_since + setting.seconds + setting.delay_s:
        time.sleep(LOOK_EVERY_S)
        if crawl.poll() is not None:
            raise SystemExit(f"the crawl ended early, with {crawl.returncode}: see {log.parent}/out.txt")
        if all_since is None:
            asked = {arrival.host for arrival in read_arrivals(log) if arrival.is_page}
            reached = sum(number_of(host) < setting.hosts for host in asked)
            print(f"{reached:,} of {setting.hosts:,} hosts were asked for a page", file=sys.stderr, flush=True)
            if reached == setting.hosts:
                all_since = time.monotonic()
            elif time.monotonic() > give_up_at:
                raise SystemExit(f"after {START_PATIENCE_S:g} s only {reached:,} hosts were asked")


def report(setting: Setting, outcome: Outcome) -> str:
    """Say it in words."""
    limit = setting.hosts / setting.delay_s
    return (
        f"{setting.hosts:,} hosts, delay {setting.delay_s:g} s, answers after {setting.answer_ms:g} ms, "
        f"{setting.slow} slow hosts beside them; {setting.workers} workers, engine {setting.engine}\n"
        f"{outcome.pages / outcome.seconds:,.0f} pages/s over {outcome.seconds:g} s: "
        f"{outcome.share:.1%} of {limit:,.0f}; the host with the fewest got {outcome.slowest_host:.1f} pages\n"
        f"least gap between two starts at the senders {outcome.least_gap_s * 1e3:,.1f} ms, starts too soon: "
        f"{outcome.too_soon:,}; least gap between two arrivals at a host {outcome.least_arrival_gap_s * 1e3:,.1f} ms"
    )


def main() -> None:
    """Crawl, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.polite_speed", description="The limit of politeness.")
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--delay", type=float, default=1.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--slow", type=int, default=1, help="hosts that answer after 8 s, beside the others")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="fetch threads of a worker (default: crawlfleet's)")
    parser.add_argument("--answer-ms", type=float, default=100.0)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    args = parser.parse_args()
    setting = Setting(
        args.hosts, args.delay, args.seconds, args.slow, args.answer_ms, args.engine, args.workers, args.threads
    )
    with tempfile.TemporaryDirectory(prefix="crawlfleet-") as folder:
        outcome = measure(setting, Path(folder))
    print(report(setting, outcome))
    if args.json:
        args.json.write_text(json.dumps({**setting._asdict(), **outcome._asdict()}), encoding="utf-8")


if __name__ == "__main__":
    main()
