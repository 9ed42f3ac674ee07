"""Whole crawls of a zoo of markup that is hard on parsers, by every parse engine: each page is read to its end."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.reader import SqliteReader
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.worker.process.freed_memory import SELDOM_S
from tests.acceptance import crawls
from tests.acceptance.processes import end_with_descendants
from tests.hostile.site_processes import counts
from tests.hostile.site_server import HostileHosts
from tests.hostile.zoo import SWALLOWS, ZOO, found, page
from tests.site.hostile_site import Route, reply, saying
from tests.site.robots_hosts import until

pytestmark = pytest.mark.long

HOST = "127.0.64.1"
# The part of its size that each page has: `benchmarks.zoo` reads whole ones.
SCALES = {"turbohtml": 0.05, "lexbor": 0.05, "bs4": 0.005}
# Whose ends are not seen. Tags that lexbor would need hours for are left out, those that end SVG and MathML among them.
UNSEEN = {
    "turbohtml": SWALLOWS,
    "lexbor": SWALLOWS | {"nested-svg", "nested-foreign", "nested-math"},
    "bs4": SWALLOWS - {"nested-frameset"},
}
# By so much a worker may have grown, at the latest when it has given back what pages left free.
MOST_GROWTH_KB = 50_000
GIVEN_BACK_S = 2 * SELDOM_S
PATIENCE_S = 110
PLAIN = 20

JOB = """\
name: zoo
seeds: ["{base}/"]
politeness: {{delay: 0s, per_host: 2, adaptive: false}}
priorities: [{{match: /plain/, priority: 9}}, {{match: /end, priority: -9}}]
scope: {{exclude: [/l, xxxxxxxx]}}
parse: {{engine: {engine}}}
fetch: {{timeout: 2m, first_byte_timeout: 2m}}
"""


class ReadZoo(NamedTuple):
    """How the pages ended, what was led to at their ends, and by how much the worker has grown over them."""

    code: int
    printed: str
    verdicts: dict[str, str]
    grown_kb: int


class _Keeper:
    """Serves the zoo, and weighs the crawl's processes when its first page is asked for."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._lock = threading.Lock()
        self.pid = 0
        self.port = 0
        self.all_read = threading.Event()
        self._before: dict[int, int] = {}

    def _weigh(self) -> dict[int, int]:
        return {pid: count.resident_kb for pid, count in counts(self.pid, self.port).items()}

    def grown_kb(self) -> int:
        """Return by how much the process has grown that has grown most."""
        after = self._weigh()
        return max(after[pid] - before for pid, before in self._before.items())

    def wait_for_given_back(self) -> int:
        """Wait until no process has grown by much; return by how much one has in the end."""
        give_up_at = time.monotonic() + GIVEN_BACK_S
        while (grown_kb := self.grown_kb()) >= MOST_GROWTH_KB and time.monotonic() < give_up_at:
            time.sleep(0.1)
        return grown_kb

    def route_of(self, _: str, target: str) -> Route:
        name = target.removeprefix("/zoo/")
        if name in ZOO:
            with self._lock:
                self._before = self._before or self._weigh()
            fields = b"Content-Type: " + ZOO[name].content_type.encode()
            return saying(reply(b"200 OK", fields, body=page(name, self._scale)))
        if target == "/end":
            self.all_read.wait(PATIENCE_S)
        links = [*(f"/plain/{number}" for number in range(PLAIN)), *(f"/zoo/{name}" for name in ZOO), "/end"]
        body = "".join(f'<a href="{link}">x</a>' for link in links) if target == "/" else "<title>plain</title>"
        return saying(reply(b"200 OK", b"Content-Type: text/html", body=body.encode()))


def _crawl(folder: Path, engine: str) -> ReadZoo:
    keeper = _Keeper(SCALES[engine])
    with HostileHosts((HOST,), keeper.route_of) as hosts:
        keeper.port = hosts.port
        job = folder / "zoo.yaml"
        job.write_text(JOB.format(base=f"http://{HOST}:{hosts.port}", engine=engine))
        process = crawls.start(folder, "run", job, "--workers", "1")
        keeper.pid = process.pid
        try:
            # The end of a page is asked for when it is read; the last page keeps the crawl from its end.
            until(lambda: all(hosts.asked[HOST, found(name)] for name in ZOO.keys() - UNSEEN[engine]), PATIENCE_S)
            grown_kb = keeper.wait_for_given_back()
            keeper.all_read.set()
            code = process.wait(PATIENCE_S)
        finally:
            keeper.all_read.set()
            end_with_descendants(process)
    with closing(SqliteReader(folder / "crawls" / "zoo" / FRONTIER)) as reader:
        verdicts = {task.url.partition(f":{hosts.port}")[2]: task.verdict for _, _, task in reader.tasks()}
    return ReadZoo(code, (folder / "out.txt").read_text(), verdicts, grown_kb)


@pytest.fixture(scope="module", params=sorted(PARSE_ENGINES))
def read(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ReadZoo]:
    return request.param, _crawl(tmp_path_factory.mktemp(request.param), request.param)


def test_every_page_of_the_zoo_is_read_to_its_end(read: tuple[str, ReadZoo]) -> None:
    engine, crawled = read
    assert crawled.code == 0, crawled.printed
    assert {name: crawled.verdicts[f"/zoo/{name}"] for name in ZOO} == dict.fromkeys(ZOO, "fetched")
    assert {name for name in ZOO if found(name) not in crawled.verdicts} == UNSEEN[engine]


def test_a_worker_does_not_grow_over_the_zoo(read: tuple[str, ReadZoo]) -> None:
    _, crawled = read
    assert crawled.grown_kb < MOST_GROWTH_KB
