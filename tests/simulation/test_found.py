"""What the simulation found once, each as the short test that it came down to."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec

from coordinator.core.changes import Accepted, HostSet
from coordinator.core.politeness import slowed
from coordinator.core.rows import Gate, Result
from coordinator.frontier.sqlite_store import SqliteStore
from coordinator.sinks.jsonl_sink import JsonlSink
from shared.messages import Kind, Outcome, Row
from shared.urls import fingerprint
from tests.unit.core_crawl import SEED, CoreCrawl, all_of


def test_a_crawl_delay_counts_from_the_request_that_told_of_it() -> None:
    crawl = CoreCrawl(per_host=1)
    crawl.hello("s")
    ((lease, robots),) = crawl.ask()
    crawl.pass_time(1.0)
    body = b"User-agent: *\nCrawl-delay: 3\n"
    crawl.settle(lease, robots, outcome=Outcome.FETCHED, status=200, age_s=1.0, body=body)
    assert crawl.store.origins(["http://a.test"])["http://a.test"].gate is Gate.RULES
    crawl.pass_time(1.9)
    assert crawl.ask() == []
    crawl.pass_time(0.1)
    assert all_of(crawl.ask()) == [SEED]


def test_a_fingerprint_that_is_no_task_is_not_taken_for_an_outlink() -> None:
    crawl = CoreCrawl()
    crawl.hello("s")
    crawl.open_gates()
    ((lease, page),) = crawl.ask()
    seed, unknown = fingerprint(Kind.PAGE, "", SEED), fingerprint(Kind.PAGE, "", "http://elsewhere.test/")
    crawl.settle(lease, page, known=unknown + seed)
    accepted = [change.outlinks for change in crawl.changes if isinstance(change, Accepted) and change.ref == seed]
    assert accepted == [(seed,)]


def test_a_lease_id_is_not_used_again_even_if_its_commit_is_lost(tmp_path: Path) -> None:
    first_ids = []
    for _ in range(3):
        with closing(SqliteStore(tmp_path / "frontier.db")) as store:
            first_ids.append(store.ledger().next_lease)
    assert first_ids == sorted(set(first_ids))


def test_nothing_is_granted_on_a_host_that_slows_down_until_its_older_leases_are_over() -> None:
    crawl = CoreCrawl(per_host=1)
    crawl.hello("s")
    ((lease, robots),) = crawl.ask()
    crawl.settle(lease, robots, outcome=Outcome.REDIRECTED, status=301, location="http://b.test/rules")
    ((other, moved),) = crawl.ask()
    crawl.store.apply([HostSet(host=slowed(crawl.host("b.test"), 3.0, crawl.now))])
    crawl.service.put("http://b.test/robots.txt", crawl.now)
    crawl.pass_time(5.0)
    assert crawl.ask() == []
    crawl.settle(other, moved, age_s=1.0)
    assert not any(task.url.startswith("http://b.test") for task in (task for _, task in crawl.ask()))
    crawl.pass_time(2.0)
    assert any(lease.host == "b.test" for lease, _ in crawl.ask())


def test_a_sink_that_is_ahead_of_a_log_cut_short_goes_back_to_it(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    sink = JsonlSink(path, None, power=False)
    mark = sink.write([_result("/0"), _result("/1")])
    sink.close()
    reopened = JsonlSink(path, mark, power=False)
    mark = reopened.restore(iter([_result("/0")]), 1)
    reopened.write([_result("/2")])
    reopened.close()
    assert mark.results == 1
    assert [msgspec.json.decode(line)["url"] for line in path.read_bytes().splitlines()] == ["/0", "/2"]


def _result(url: str) -> Result:
    return Result(
        ref=url.encode(),
        url=url,
        status=200,
        depth=0,
        content_type="text/html",
        size_bytes=1,
        elapsed_s=0.0,
        at=0.0,
        hops=(),
        rows=(Row(item="page", index=0, fields={"n": 1}),),
    )
