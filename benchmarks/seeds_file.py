"""How long a coordinator takes from its start to the first fetch with a seeds file, and how much memory all lines take.

    python -m benchmarks.seeds_file [--lines N] [--hosts H [H ...]] [--folder FOLDER]

Writes a file of N addresses on H hosts of this machine (127.x.y.z), in turn, and crawls it by `python -m
crawlfleet.coordinator` and one worker: once with `follow: []`, and once with all links followed, for which all seeds
must be known before. A small server notes the first request, and the first one for a page. Prints for each crawl the
seconds from the start of the coordinator to these, and to when all lines are added; and the coordinator's CPU time and
the most memory that it had until then. The crawl is stopped there.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.coordinator_process import LOOK_S, connect, cpu_s, peak_mb
from crawlfleet.shared.wire.join_token import is_written

NAME = "seeds-file"
QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Start(NamedTuple):
    """How one start went: seconds to the first request, to the first page, until all are added; CPU seconds, memory."""

    request_s: float
    page_s: float
    added_s: float
    cpu_s: float
    peak_mb: float


class _Site(ThreadingHTTPServer):
    """A server on all addresses of this machine that notes when it was first asked, and first for a page."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("", 0), _Handler)
        self.asked_at = 0.0
        self.page_at = 0.0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Site

    def do_GET(self) -> None:
        now = time.perf_counter()
        is_robots = self.path == "/robots.txt"
        self.server.asked_at = self.server.asked_at or now
        if not is_robots:
            self.server.page_at = self.server.page_at or now
        body = b"" if is_robots else b"<title>a page</title>"
        self.send_response(404 if is_robots else 200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name in the standard library
        pass


def measure(folder: Path, lines: int, hosts: int, *, follows: bool) -> Start:
    """Crawl a list of addresses until all are added; return how long that takes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    site = _Site()
    threading.Thread(target=site.serve_forever, daemon=True).start()
    _write(folder, lines, hosts, site.server_port, follows=follows)
    join = folder / "join"
    serve = [sys.executable, "-m", "crawlfleet.coordinator", str(folder / "job.yaml")]
    serve += ["--crawls", str(folder / "crawls"), "--join-file", str(join)]
    work = [sys.executable, "-m", "crawlfleet", "worker", "--processes", "1", "--join-file", str(join)]
    began = time.perf_counter()
    processes = [subprocess.Popen(serve, **QUIET)]
    try:
        while not is_written(join):
            time.sleep(LOOK_S)
        processes.append(subprocess.Popen(work, **QUIET))
        control = connect(join).Control()
        while (status := control.status()).seeds_added < lines:
            time.sleep(LOOK_S * 5)
        added_s, used_s, most_mb = time.perf_counter() - began, cpu_s(processes[0].pid), peak_mb(processes[0].pid)
        while not site.page_at:
            time.sleep(LOOK_S)
        assert status.seeds == lines
        return Start(site.asked_at - began, site.page_at - began, added_s, used_s, most_mb)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()
        site.shutdown()
        site.server_close()


def _write(folder: Path, lines: int, hosts: int, port: int, *, follows: bool) -> None:
    names = [f"127.{1 + host // 62_500}.{host // 250 % 250}.{1 + host % 250}" for host in range(hosts)]
    with (folder / "urls.txt").open("w", encoding="ascii") as file:
        for number, name in zip(range(lines), itertools.cycle(names), strict=False):
            file.write(f"http://{name}:{port}/item/{number}\n")
    job = f"name: {NAME}\nseeds: [{{file: urls.txt}}]\nlease: 60s\nfetch: {{allow_private: [127.0.0.0/8]}}\n"
    (folder / "job.yaml").write_text(job if follows else f"{job}follow: []\n", encoding="ascii")


def main() -> None:
    """Measure, and print a line of a table for each crawl."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.seeds_file", description="Seconds to the first fetch, with seeds from a file."
    )
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 1_000, 1_000_000])
    parser.add_argument("--folder", type=Path, default=Path("/tmp/crawlfleet-seeds-file"))
    args = parser.parse_args()
    print("| lines | hosts | links | first request, s | first page, s | all added, s | CPU, s | most memory, MB |")
    print("| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for hosts, follows in itertools.product(args.hosts, (False, True)):
        start = measure(args.folder, args.lines, hosts, follows=follows)
        print(
            f"| {args.lines:,} | {hosts:,} | {'followed' if follows else 'follow: []'} | {start.request_s:.1f} "
            f"| {start.page_s:.1f} | {start.added_s:.1f} | {start.cpu_s:.1f} | {start.peak_mb:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
