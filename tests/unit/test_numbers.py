"""The numbers for users: each is counted, and status, summary and `summary.json` have all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crawlfleet.coordinator.conduct.counting import count
from crawlfleet.coordinator.core.figures import Costs, FullHosts, HostCosts, LeftOut, RobotsWaits, ShortMaps
from crawlfleet.coordinator.core.rows import LedgerRow, TaskState
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.summary import Summary, is_left, write
from crawlfleet.shared.messages import Kind
from crawlfleet.shared.status import CostlyHost, Numbers, Status

VERDICTS = {
    (TaskState.PENDING, "requested"): 1,
    (TaskState.LEASED, "granted"): 2,
    (TaskState.DONE, "fetched"): 4,
    (TaskState.DONE, "redirected"): 8,
    (TaskState.DONE, "noindex"): 16,
    (TaskState.FAILED, "http_404"): 32,
    (TaskState.DROPPED, "robots"): 64,
    (TaskState.DROPPED, "http_404"): 128,
}
CHECKS = {
    (TaskState.PENDING, ""): 1,
    (TaskState.LEASED, ""): 2,
    (TaskState.DONE, "fetched"): 4,
    (TaskState.DONE, "redirected"): 8,
    (TaskState.FAILED, "http_410"): 16,
    (TaskState.DROPPED, "dns_failed"): 32,
    (TaskState.DROPPED, "robots"): 64,
}
LEDGER = LedgerRow(
    pages_fetched=20,
    rows=40,
    retries=3,
    retried={"http_503": 3},
    leases_lost=5,
    costs=Costs(links=100_000),
    hosts_with_costs=9,
    costliest=(HostCosts("d.test", Costs(links=90_000)),),
    short_maps=ShortMaps(7, (("http://a.test/map.xml", "http_404"),)),
    full=FullHosts(hosts=2, named=("a.test",), links=9),
    left_out=LeftOut(pages=3, links=4, rows=5),
    noted={"tls_cut": 6},
    robots_waits=RobotsWaits(
        waiting=1,
        waiting_for=(("http://a.test", "http_500"), ("http://b.test", "")),
        given_up=1,
        given_up_on=(("http://c.test", "after a redirect: connect"),),
    ),
)
END: dict[str, Any] = {
    "ended": "finished",
    "started_at": "",
    "fetched_before": 0,
    "sinks": (),
    "resumable": True,
    "exit_code": 0,
}


class StoreWithNumbers(MemoryStore):
    """A store in which everything that is counted has happened."""

    def verdicts(self, kind: Kind = Kind.PAGE) -> dict[tuple[TaskState, str], int]:
        return VERDICTS if kind is Kind.PAGE else CHECKS

    def ledger(self) -> LedgerRow:
        return LEDGER


@pytest.fixture
def numbers() -> Numbers:
    store = StoreWithNumbers()
    store.keep("tallies", msgspec.msgpack.encode({"quote": (40, 2, {})}))
    return count(store, job="job", elapsed_s=2.00049, robots_wait_s=60.0, rows_rejected=7)


def test_pages_are_counted_by_state_and_by_reason(numbers: Numbers) -> None:
    assert (numbers.discovered, numbers.unfinished) == (255, 3)
    assert (numbers.pending, numbers.leased) == (1, 2)
    assert (numbers.done, numbers.failed, numbers.dropped) == (28, 32, 192)
    assert (numbers.fetched, numbers.redirected) == (20, 8)
    assert numbers.reasons == {"noindex": 16, "http_404": 160, "robots": 64}


def test_hosts_that_wait_are_named_with_the_reason(numbers: Numbers) -> None:
    status = "The server answered with status 500 (Internal Server Error)"
    assert numbers.robots_waiting_for == (f"http://a.test (http_500: {status})", "http://b.test")
    gone = "http://c.test (after a redirect: connect: The server refuses connections at its address)"
    assert numbers.robots_given_up_on == (gone,)
    assert (numbers.elapsed_s, numbers.robots_wait_s) == (2.0, 60.0)


def test_a_host_that_took_an_outstanding_part_is_named(numbers: Numbers) -> None:
    assert numbers.costly_hosts == (CostlyHost(host="d.test", kind="links", amount=90_000, part=0.9),)


def test_every_number_is_counted(numbers: Numbers) -> None:
    untouched = msgspec.structs.asdict(Numbers(job=""))
    assert not [name for name, value in msgspec.structs.asdict(numbers).items() if value == untouched[name]]


def test_status_and_summary_have_every_number(numbers: Numbers, tmp_path: Path) -> None:
    values = msgspec.structs.asdict(numbers)
    summary = Summary(**values, **END)
    assert values.items() <= msgspec.structs.asdict(Status(**values)).items()
    assert values.items() <= msgspec.structs.asdict(summary).items()
    write(summary, tmp_path / "summary.json")
    left = json.loads((tmp_path / "summary.json").read_text())
    assert msgspec.convert(left, Summary) == summary
    assert values.keys() | END.keys() == left.keys() - {"detail", "fresh", "notices", "tables", "unmet", "warnings"}


def test_what_limits_left_out_is_counted(numbers: Numbers) -> None:
    assert (numbers.capped_pages, numbers.links_left_out, numbers.rows_left_out) == (3, 4, 5)


def test_a_summary_that_says_how_far_the_crawl_is_need_not_be_written_again(numbers: Numbers, tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    summary = Summary(**msgspec.structs.asdict(numbers), **END)
    assert not is_left(summary, path)
    write(summary, path)
    assert is_left(msgspec.structs.replace(summary, elapsed_s=0.0, notices=("Nothing was done.",)), path)
    assert not is_left(msgspec.structs.replace(summary, fetched=21), path)
    write(msgspec.structs.replace(summary, ended="interrupted"), path)
    assert not is_left(summary, path)
    path.write_text("{")
    assert not is_left(summary, path)
