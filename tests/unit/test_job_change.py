"""A changed job: what is taken, what must be wanted, and what an accepted change does to the crawl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.rows import TaskRow, TaskState
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.job.change import check_change, difference, take_job
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.messages import Kind
from crawlfleet.shared.web.urls import fingerprint
from tests.policies import policy_with
from tests.unit.durable_crawl import POLICY, SEED, DurableCrawl

JOB: dict[str, Any] = {
    "name": "quotes",
    "seeds": ["http://a.test/"],
    "scope": {"hosts": "same", "depth": 1, "exclude": ["/login"]},
    "fetch": {"timeout": 20.0, "retries": 3},
    "sinks": ["items.jsonl"],
}


def changed(**keys: Any) -> dict[str, Any]:
    return {**JOB, **keys}


def test_the_same_job_has_not_changed() -> None:
    assert check_change(JOB, changed(), accept=False) == ()


def test_what_an_earlier_version_had_no_key_for_has_not_changed() -> None:
    scope = {**JOB["scope"], "per_host": {"pages": None}}
    assert check_change(JOB, changed(scope=scope, traps={"calendar": 10_000}), accept=False) == ()


def test_a_changed_limit_of_traps_is_refused() -> None:
    old, new = changed(traps={"calendar": 10_000}), changed(traps={"calendar": 5})
    with pytest.raises(UsageError, match=r"\+ traps\.calendar: 5\n"):
        check_change(old, new, accept=False)


def test_the_value_of_a_header_is_not_shown() -> None:
    old, new = ({"fetch": {"headers": [["Accept", "*/*"], ["Cookie", value]]}} for value in ("password", "secret"))
    assert list(difference(old, new)) == [f"{sign} fetch.headers: Cookie (its value is not shown)" for sign in "-+"]


def test_a_harmless_change_is_taken_and_reported() -> None:
    new = changed(fetch={"timeout": 5.0, "retries": 3})

    assert check_change(JOB, new, accept=False) == ("- fetch.timeout: 20.0", "+ fetch.timeout: 5.0")


def test_changed_seeds_are_refused_with_the_difference() -> None:
    new = changed(seeds=["http://a.test/", "http://b.test/"])

    with pytest.raises(UsageError, match=r"\+ seeds: http://b\.test/\n.*--accept-changes.*--fresh"):
        check_change(JOB, new, accept=False)


def test_a_changed_scope_is_refused_with_the_difference_and_nothing_else() -> None:
    new = changed(scope={"hosts": "same", "depth": 3, "exclude": []}, sinks=["other.jsonl"])

    with pytest.raises(UsageError) as refused:
        check_change(JOB, new, accept=False)

    text = str(refused.value)
    assert "- scope.depth: 1\n  + scope.depth: 3" in text
    assert "- scope.exclude: /login" in text
    assert "sinks" not in text


def test_an_accepted_change_is_told_whole() -> None:
    new = changed(scope={"hosts": "same", "depth": 3, "exclude": ["/login"]}, sinks=["other.jsonl"])

    assert check_change(JOB, new, accept=True) == (
        "- scope.depth: 1",
        "+ scope.depth: 3",
        "- sinks: items.jsonl",
        "+ sinks: other.jsonl",
    )


def test_a_long_difference_is_cut() -> None:
    new = changed(seeds=[f"http://a.test/{number}" for number in range(100)])

    with pytest.raises(UsageError, match="and 81 more"):
        check_change(JOB, new, accept=False)


def test_a_key_that_is_new_differs_from_none() -> None:
    assert list(difference({}, {"pages": 5})) == ["- pages: null", "+ pages: 5"]


# What an accepted change does


def page(crawl: DurableCrawl, url: str) -> TaskRow:
    ref = fingerprint(Kind.PAGE, "", url)
    return crawl.store.rows(TaskRow, [ref])[ref]


def goes_on(folder: Path, policy: Policy) -> DurableCrawl:
    """Go on with a crawl by other rules."""
    crawl = DurableCrawl(folder, policy)
    crawl.judge_again()
    crawl.begin()
    return crawl


def test_a_depth_that_is_raised_revives_what_was_dropped_for_it(tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path, policy_with(POLICY, depth=1))
    crawl.begin()
    crawl.finish()
    assert page(crawl, f"{SEED}3").reason == "depth"
    crawl.close()

    crawl = goes_on(tmp_path, policy_with(POLICY, depth=2))
    assert page(crawl, f"{SEED}3").state is TaskState.PENDING
    crawl.finish()

    assert page(crawl, f"{SEED}3").state is TaskState.DONE
    assert crawl.store.result_count() == 4
    crawl.close()


def test_an_exclusion_drops_what_waits_and_leaves_what_was_fetched(tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path)
    crawl.begin()
    crawl.service.put(f"{SEED}2", crawl.now)
    crawl.service.put(f"{SEED}1", crawl.now)
    crawl.service.flush(crawl.now)
    crawl.close()

    scope = ScopeSpec(hosts=("a.test",), exclude=("/2",))
    crawl = goes_on(tmp_path, policy_with(POLICY, scope=scope))

    assert page(crawl, f"{SEED}2").state is TaskState.DROPPED
    assert page(crawl, f"{SEED}2").reason == "exclude"
    crawl.finish()
    assert page(crawl, f"{SEED}1").state is TaskState.DONE
    assert {result.url for result in crawl.store.results(0, 10)} == {SEED, f"{SEED}1", f"{SEED}3"}
    crawl.close()


def test_a_budget_that_is_raised_revives_what_was_dropped_for_it(tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path, policy_with(POLICY, pages=1))
    crawl.begin()
    crawl.finish()
    crawl.service.flush(crawl.now)
    assert page(crawl, f"{SEED}1").reason == "budget_pages"
    crawl.close()

    crawl = goes_on(tmp_path, POLICY)
    crawl.finish()

    assert crawl.store.result_count() == 4
    crawl.close()


def test_a_new_crawl_keeps_its_job_at_once_and_the_same_job_changes_nothing() -> None:
    keeper = MemoryStore()
    assert take_job(keeper, {"seeds": ["a"]}, accept=False) is None
    assert keeper.kept("job") == b'{"seeds":["a"]}'
    assert take_job(keeper, {"seeds": ["a"]}, accept=False) is None


def test_where_a_crawl_is_stored_is_no_change_of_its_job() -> None:
    store = MemoryStore()
    assert take_job(store, changed(frontier="postgresql://one/db"), accept=False) is None
    assert take_job(store, changed(frontier="postgresql://other/db"), accept=False) is None
    assert take_job(store, JOB, accept=False) is None


def test_a_changed_job_is_kept_only_with_what_it_leads_to_so_that_a_crash_before_leaves_it_to_be_done() -> None:
    keeper = MemoryStore()
    take_job(keeper, {"seeds": ["a"]}, accept=False)
    assert take_job(keeper, {"seeds": ["b"]}, accept=True) is not None
    changed_job = take_job(keeper, {"seeds": ["b"]}, accept=True)
    assert changed_job is not None
    changed_job.keep()
    assert take_job(keeper, {"seeds": ["b"]}, accept=False) is None


def test_a_change_that_was_begun_is_to_be_made_whichever_job_comes_next() -> None:
    keeper = MemoryStore()
    take_job(keeper, {"seeds": ["a"]}, accept=False)
    changed_job = take_job(keeper, {"seeds": ["b"]}, accept=True)
    assert changed_job is not None
    changed_job.begin()
    old_job = take_job(keeper, {"seeds": ["a"]}, accept=False)
    assert old_job is not None
    assert old_job.keys == ()
    old_job.keep()
    assert take_job(keeper, {"seeds": ["a"]}, accept=False) is None


def test_what_has_changed_is_named_by_its_key() -> None:
    keeper = MemoryStore()
    take_job(keeper, JOB, accept=False)
    assert take_job(keeper, changed(hook_text="1"), accept=False) is None  # as if an earlier version had kept it
    new = changed(fetch={"timeout": 5.0, "retries": 3}, sinks=["rows.jsonl"], hook_text="2")
    changed_job = take_job(keeper, new, accept=False)
    assert changed_job is not None
    assert changed_job.keys == ("fetch", "sinks", "the text of the hook")
