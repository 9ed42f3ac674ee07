"""What an honest host gets beside sick ones: its pages in some seconds, against alone and beside well-behaved hosts.

    python -m benchmarks.sick_hosts [--seconds 20] [--hosts 1 8] [--only KIND ...] [--workers 2]

One server is all hosts (addresses of 127.0.0.0/8). Each run is `crawlfleet run` over a fresh job whose seeds are the
honest host and so many others, stopped after `--seconds` from its first page; what counts are the honest host's rows.
Sick kinds: `attributes` (six pages, each one tag with 300,000 attributes), `links` (10,000 fresh links on each page),
`bodies` (9 MB on each page), `slow` (each answer after 15 s), `hang` and `leak` (the hook hangs at six of its pages, or
keeps 40 MB of each). Hosts that are well-behaved serve what the honest one serves.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, cast

HONEST = "127.9.0.1"
ANSWER_S, SLOW_S = 0.02, 15.0
SICK_PAGES = 6
PATIENCE_S = 60.0
HOOK = """
import time

kept = []


def parse(page):
    if "/hang/" in page.url:
        time.sleep(3600)
    if "/leak/" in page.url:
        kept.append(bytearray(40 << 20))
    yield {"url": page.url}
"""


class _Answer(NamedTuple):
    """The body of an answer, when it is sent, and whether it is compressed."""

    body: bytes
    after_s: float = ANSWER_S
    is_gzip: bool = False


def _page(folder: str, links: range, filling: str = "") -> bytes:
    anchors = "".join(f'<a href="/{folder}/{number}">{number}</a> ' for number in links)
    text = "<p>Some words that a page has.</p>" * 20
    return f"<!DOCTYPE html><title>A page</title><h1>A page</h1>{text}{anchors}{filling}".encode()


def _honest(number: int) -> _Answer:
    """Ten links, of which one in ten is new at first sight: the site never ends."""
    return _Answer(_page("p", range(number * 10 + 1, number * 10 + 11)))


_ATTRIBUTES = gzip.compress(b"<p " + b" ".join(b"a%d=1" % number for number in range(300_000)) + b">", 6)
_BODY = gzip.compress(b"<p>" + b"word " * (9 * 1024 * 1024 // 5), 6)


# A page's number comes before those of its links, so that all of them are new.
_LINKS = _page("links", range(110_000, 120_000))


def _few(folder: str, body: bytes | None = None) -> Callable[[int], _Answer]:
    def answer(number: int) -> _Answer:
        if number == 0:
            return _Answer(_page(folder, range(1, SICK_PAGES + 1)))
        return _Answer(_page(folder, range(0))) if body is None else _Answer(body, is_gzip=True)

    return answer


def _bodies(number: int) -> _Answer:
    return _Answer(_page("bodies", range(1, 2_000))) if number == 0 else _Answer(_BODY, is_gzip=True)


KINDS: dict[str, Callable[[int], _Answer]] = {
    "attributes": _few("attributes", _ATTRIBUTES),
    "links": lambda number: _Answer(_LINKS.replace(b"/links/1", b"/links/%d" % (number + 1))),
    "bodies": _bodies,
    "slow": lambda number: _Answer(_page("slow", range(1, 200)), 0.0 if number == 0 else SLOW_S),
    "hang": _few("hang"),
    "leak": lambda _number: _Answer(_page("leak", range(1, 2_000))),
}
WELL = "well-behaved"


class _Server(asyncio.Protocol):
    """Answers by the first part of the path: the kind of the host."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self._head.endswith(b"\r\n\r\n"):
            _, kind, *rest = self._head.split(b" ", 2)[1].decode("latin-1").split("/")
            self._head = b""
            answer = KINDS.get(kind, _honest)(int(rest[0])) if rest and rest[0] else None
            asyncio.get_running_loop().call_later(answer.after_s if answer else 0.0, self._send, answer)

    def _send(self, answer: _Answer | None) -> None:
        if answer is None:  # robots.txt
            self._transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        coding = b"Content-Encoding: gzip\r\n" if answer.is_gzip else b""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n%sContent-Length: %d\r\n\r\n"
        self._transport.write(head % (coding, len(answer.body)) + answer.body)


def _serve(pipe: Connection) -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(_Server, "0.0.0.0", 0, backlog=4096)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    with suppress(KeyboardInterrupt):
        asyncio.run(forever())


@contextmanager
def _site() -> Iterator[int]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


class Run(NamedTuple):
    """What one run gave: the honest host's rows, all rows, and how the other hosts' pages ended."""

    honest: int
    rows: int
    said: str


def measure(folder: Path, port: int, kind: str, others: int, seconds: float, workers: int) -> Run:
    """Crawl the honest host beside some others for a while."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path = "p" if kind == WELL else kind
    seeds = [f"http://{HONEST}:{port}/p/0"] + [f"http://127.9.1.{n + 1}:{port}/{path}/0" for n in range(others)]
    (folder / "hook.py").write_text(HOOK)
    (folder / "job.yaml").write_text(
        f"name: sick\nseeds: {json.dumps(seeds)}\nhooks: hook.py\npoliteness: {{delay: 0s, per_host: 8}}\n"
    )
    command = [sys.executable, "-m", "crawlfleet", "run", "job.yaml", "--workers", str(workers)]
    items, honest = folder / "crawls" / "sick" / "items.jsonl", f'"http://{HONEST}:'
    with (folder / "said").open("w") as out, subprocess.Popen(command, cwd=folder, stdout=out, stderr=out) as crawl:
        until = time.monotonic() + PATIENCE_S
        while not (items.exists() and items.stat().st_size) and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(seconds)
        lines = items.read_text().splitlines()
        crawl.send_signal(signal.SIGINT)
        try:
            crawl.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            crawl.kill()
    return Run(sum(honest in line for line in lines), len(lines), (folder / "said").read_text())


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sick_hosts", description="What an honest host gets beside sick ones."
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--said", action="store_true", help="show what the crawl printed beside sick hosts")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="crawlfleet-sick-"))
    with _site() as port:
        alone = measure(folder, port, WELL, 0, args.seconds, args.workers).honest
        print(f"alone: {alone} pages of the honest host in {args.seconds:g} s\n", flush=True)
        print("| beside | hosts | pages of the honest host | of alone | of beside well-behaved ones |")
        print("| --- | ---: | ---: | ---: | ---: |")
        for others in args.hosts:
            well = measure(folder, port, WELL, others, args.seconds, args.workers).honest
            print(f"| {WELL} | {others} | {well} | {well / max(1, alone):.2f} | |", flush=True)
            for kind in args.only:
                run = measure(folder, port, kind, others, args.seconds, args.workers)
                shares = f"{run.honest / max(1, alone):.2f} | {run.honest / max(1, well):.2f}"
                print(f"| {kind} | {others} | {run.honest} | {shares} |", flush=True)
                if args.said:
                    print(run.said, file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
