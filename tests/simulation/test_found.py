"""What the simulation found once, each as the short test that it came down to."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec
from msgspec.structs import replace

from crawlfleet.coordinator.core.changes import Accepted, Put
from crawlfleet.coordinator.core.politeness import asked
from crawlfleet.coordinator.core.rows import Gate, OriginRow, TaskRow, TaskState
from crawlfleet.coordinator.frontier.registry import FRONTIER
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.coordinator.sinks.jsonl_sink import JsonLines
from crawlfleet.shared.messages import Kind, Outcome
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.urls import fingerprint
from tests.results import result
from tests.shapes import QUOTES
from tests.unit.core_crawl import SEED, CoreCrawl, all_of


def test_a_crawl_delay_counts_from_the_request_that_told_of_it() -> None:
    crawl = CoreCrawl(per_host=1)
    crawl.hello("s")
    ((lease, robots),) = crawl.ask()
    crawl.pass_time(1.0)
    body = b"User-agent: *\nCrawl-delay: 3\n"
    crawl.settle(lease, robots, outcome=Outcome.FETCHED, status=200, age_s=1.0, body=body)
    assert crawl.store.rows(OriginRow, ["http://a.test"])["http://a.test"].gate is Gate.RULES
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
    assert accepted == [seed]


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
    host = crawl.host("b.test")
    slowed = asked(host, 3.0, crawl.policy, crawl.now)
    crawl.store.apply([Put(row=replace(slowed, version=host.version + 1))])
    crawl.service.put("http://b.test/robots.txt", crawl.now)
    crawl.pass_time(5.0)
    assert crawl.ask() == []
    crawl.settle(other, moved, age_s=1.0)
    assert not any(task.url.startswith("http://b.test") for task in (task for _, task in crawl.ask()))
    crawl.pass_time(2.0)
    assert any(lease.host == "b.test" for lease, _ in crawl.ask())


def test_pages_do_not_wait_for_ever_for_a_robots_txt_that_kills_whoever_fetches_it() -> None:
    crawl = CoreCrawl(lease_s=1.0)
    for number in range(3):
        crawl.hello(f"s{number}")
        ((lease, robots),) = crawl.ask(f"s{number}") or crawl.ask(f"s{number}")
        crawl.turn(f"s{number}", started=((lease.id, robots.ref),))
        crawl.pass_time(2.0)
    crawl.hello("last")
    ((lease, robots),) = crawl.ask("last") or crawl.ask("last")
    crawl.turn("last", started=((lease.id, robots.ref),))
    crawl.pass_time(2.0)
    assert crawl.store.rows(TaskRow, [robots.ref])[robots.ref].reason == "poison"
    crawl.hello("healthy")
    crawl.ask("healthy")
    assert (crawl.task().state, crawl.task().reason) == (TaskState.DROPPED, "robots_unreachable")
    assert crawl.service.is_finished


def test_a_sink_that_is_ahead_of_a_log_cut_short_goes_back_to_it(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    sink = JsonLines(QUOTES).open(path, None, power=False)
    mark = sink.write([result(0), result(1)])
    sink.close()
    reopened = JsonLines(QUOTES).open(path, mark, power=False)
    mark = reopened.restore(iter([result(0)]), 1)
    reopened.write([result(2)])
    reopened.close()
    assert mark.results == 1
    urls = [msgspec.json.decode(line)["url"] for line in path.read_bytes().splitlines()]
    assert urls == [result(0).url, result(2).url]


def test_a_page_that_is_dropped_for_its_content_type_has_an_accepted_report(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / FRONTIER)) as store:
        store.keep("job", b'{"sinks": []}')
        crawl = CoreCrawl(store=store, types=("text/html",))
        crawl.hello("s")
        crawl.open_gates()
        ((lease, page),) = crawl.ask()
        crawl.settle(lease, page, outcome=Outcome.DENIED, reason=Reason.CONTENT_TYPE)
        assert crawl.task().state is TaskState.DROPPED
    proof = verify(tmp_path)
    assert [invariant for invariant in proof.invariants if invariant.broken] == []
