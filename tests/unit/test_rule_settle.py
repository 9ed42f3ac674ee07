"""What a report does, rule by rule: which count, and what follows."""

from __future__ import annotations

from collections.abc import Set
from typing import Any
from zlib import crc32

import pytest

from crawlfleet.coordinator.core import attempts, costs, retry, settle
from crawlfleet.coordinator.core.changes import Accepted, Answer, Linked, Recorded, Start, TaskEvent
from crawlfleet.coordinator.core.figures import ShortMaps
from crawlfleet.coordinator.core.leads import BadRefs, outlink_refs
from crawlfleet.coordinator.core.policy import Budget, Unit
from crawlfleet.coordinator.core.rows import Gate, HostRow, LeaseRow, LedgerRow, Result, TaskRow
from crawlfleet.coordinator.core.turn import Turn, existing
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Ack, AckState, Outcome, Report, SitemapEntry
from tests.unit.rule_turns import (
    DONE,
    DROPPED,
    FAILED,
    HOST,
    ORIGIN,
    OTHER,
    OTHER_HOST,
    PENDING,
    Turns,
    born,
    changes,
    gone,
    held_by,
    host,
    lease,
    leased,
    moved,
    new,
    numbers,
    origin,
    page,
    put,
    report,
    robots,
    sitemap,
)

ONE, TWO = leased(page("1"), 3), leased(page("2", order=2), 3)
THREE = page("3", order=5, depth=1, found_on=ONE.ref)
FREE = host(origins=(ORIGIN,))
HELD = host(origins=(ORIGIN,), holders=held_by(3))
NUMBERS = numbers(next_order=5, pages_reserved=1)
LATE = report(ONE, 2)
BUSY: dict[str, Any] = {"outcome": Outcome.HTTP_ERROR, "status": 429, "reason": "http_429"}
DOWN: dict[str, Any] = {"outcome": Outcome.NETWORK_ERROR, "status": 0, "reason": "connect"}
NONE: Set[bytes] = frozenset()
GONE: dict[str, Any] = {"outcome": Outcome.HTTP_ERROR, "status": 404, "reason": "http_404"}
MOVED: dict[str, Any] = {"outcome": Outcome.REDIRECTED, "status": 301}


def tell(turn: Turn, sent: Report, strangers: Set[bytes] = NONE, unsound: Set[bytes] = NONE) -> None:
    """Let a report happen that counts."""
    bill = costs.Bill()
    settle.settle(turn, sent, outlink_refs(sent, turn.policy.max_outlinks), BadRefs(strangers, unsound), bill)
    bill.charge(turn)


def ended(event: TaskEvent, task: TaskRow, sent: Report, **changed: Any) -> Any:
    """Return that a task came to its end by a report."""
    last = {"outcome": sent.outcome, "status": sent.status, "settled": (*task.settled, sent.lease), "reserved": False}
    return moved(event, task, **{**last, "state": DONE, **changed})


def accepted(task: TaskRow, outlinks: bytes = b"", start: Start | None = None, number: int = 3) -> Accepted:
    return Accepted(ref=task.ref, lease=number, outlinks=outlinks, start=start)


def result(task: TaskRow, at: float = 5.0, **values: Any) -> Recorded:
    common = {"ref": task.ref, "url": task.url, "status": 200, "depth": task.depth, "at": at, "hops": task.hops}
    nothing = {"content_type": "", "size_bytes": 0, "elapsed_s": 0.0, "rows": ()}
    return Recorded(result=Result(**{**common, **nothing, **values}))


# Which reports count, and for how many leases


@pytest.mark.parametrize(
    ("task", "number", "state"),
    [
        (ONE, 3, None),
        (page("1"), 0, AckState.STALE),
        (page("1"), 3, AckState.STALE),
        (ONE, 2, AckState.STALE),
        (page("1", state=DONE, lease=3), 3, AckState.STALE),
        (page("1", state=DONE, lease=3, settled=(3,)), 3, AckState.OK),
        (leased(page("1"), 4, settled=(3,)), 3, AckState.OK),
        (page("1", lease=3, reserved=True), 3, None),
    ],
    ids=["leased", "no lease", "never granted", "granted again", "final", "again", "again, later", "lost"],
)
def test_a_report_counts_under_its_tasks_current_lease(
    turns: Turns, task: TaskRow, number: int, state: AckState | None
) -> None:
    turn = turns(task, FREE)
    assert settle.ack_if_ignored(turn, "s", report(task, number)) is state
    assert turn.batch() == []


def test_no_session_reports_under_the_lease_of_another(turns: Turns) -> None:
    turn = turns(ONE, lease(3, ONE, session="t"), FREE)
    assert settle.ack_if_ignored(turn, "s", report(ONE)) is AckState.STALE
    assert settle.ack_if_ignored(turn, "t", report(ONE)) is None


def test_what_does_not_count_changes_nothing_and_acks_come_in_order(turns: Turns) -> None:
    done = page("2", state=DONE, settled=(2,), outcome=Outcome.FETCHED)
    turn = turns(ONE, done, lease(3, ONE), HELD)
    assert settle.take(turn, "s", [report(done, 2), report(page("never"), 3), LATE]) == (
        Ack(lease=2, ref=done.ref, state=AckState.OK),
        Ack(lease=3, ref=page("never").ref, state=AckState.REJECTED),
        Ack(lease=2, ref=ONE.ref, state=AckState.STALE),
    )
    assert turn.batch() == []


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({}, Answer(Outcome.FETCHED, 200)),
        (GONE, Answer(Outcome.HTTP_ERROR, 404, "http_404")),
        (DOWN, Answer(Outcome.NETWORK_ERROR, 0, "connect")),
        ({**MOVED, "location": ONE.url}, Answer(Outcome.REDIRECTED, 301, "redirect_loop")),
    ],
    ids=["fetched", "gone", "retried", "what the coordinator finds"],
)
def test_the_story_has_how_each_attempt_ended(turns: Turns, said: dict[str, Any], answer: Answer) -> None:
    turn = turns(ONE, lease(3, ONE), HELD, origin(), NUMBERS)
    settle.take(turn, "s", [report(ONE, **said)])
    (found,) = (change for change in turn.whole_batch() if isinstance(change, Accepted))
    assert found.answer == answer


@pytest.mark.parametrize(
    ("said", "keeps", "is_kept"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"outcome": Outcome.EXTRACT_ERROR, "reason": "extract_error"}, True, True),
        (GONE, True, False),
        (DOWN, True, False),
        ({"links": b""}, True, False),
    ],
    ids=["fetched", "nobody asked", "the hook failed", "gone", "retried", "none"],
)
def test_the_links_of_a_page_that_was_read_are_recorded_with_its_report_if_the_job_asks(
    turns: Turns, said: dict[str, Any], keeps: bool, is_kept: bool
) -> None:
    turn = turns(ONE, lease(3, ONE), HELD, origin(), NUMBERS, keeps_links=keeps)
    settle.take(turn, "s", [report(ONE, **{"links": b"packed", **said})])
    batch = turn.whole_batch()
    (found,) = (change for change in batch if isinstance(change, Accepted))
    assert found.answer is not None
    assert found.answer.links_bytes == (6 if is_kept else 0)
    assert [each for each in batch if isinstance(each, Linked)] == [Linked(ref=ONE.ref, links=b"packed")][
        : int(is_kept)
    ]


def test_links_of_what_is_no_page_are_not_recorded(turns: Turns) -> None:
    rules = leased(robots(order=9), 3)
    turn = turns(rules, lease(3, rules), HELD, origin(), NUMBERS, keeps_links=True)
    settle.take(turn, "s", [report(rules, links=b"packed")])
    assert not [each for each in turn.whole_batch() if isinstance(each, Linked)]


def test_a_fetched_page_is_recorded_its_links_admitted_and_its_lease_over(turns: Turns) -> None:
    turn = turns(ONE, lease(3, ONE), HELD, origin(), NUMBERS, now=5.0)
    sent = report(ONE, outlinks=(THREE.url,), age_s=1.0, size_bytes=7)
    assert settle.take(turn, "s", [sent]) == (Ack(lease=3, ref=ONE.ref, state=AckState.OK),)
    counted = {"pages_reserved": 0, "pages_fetched": 1, "bytes_received": 7, "seeds_fetched": 1}
    assert turn.batch() == [
        ended(TaskEvent.FETCHED, ONE, sent),
        result(ONE, size_bytes=7),
        born(THREE),
        accepted(ONE, THREE.ref),
        gone(lease(3, ONE), "settled", refs=()),
        put(HELD, holders=(), last_start_at=4.0, next_start_at=4.0, ready_at=5.0, known=1),
        put(NUMBERS, next_order=6, **counted),
    ]


def test_several_reports_end_their_lease_once(turns: Turns) -> None:
    turn = turns(ONE, TWO, lease(3, ONE, TWO), HELD, origin(), numbers(pages_reserved=2))
    settle.take(turn, "s", [report(ONE), report(TWO)])
    assert changes(turn, LeaseRow, HostRow) == [put(HELD, holders=(), ready_at=0.0)]
    assert gone(lease(3, ONE, TWO), "settled", refs=()) in turn.batch()


def test_a_report_that_comes_twice_in_one_exchange_counts_once(turns: Turns) -> None:
    turn = turns(ONE, TWO, lease(3, ONE, TWO), HELD, origin(), numbers(pages_reserved=2))
    assert {ack.state for ack in settle.take(turn, "s", [report(ONE), report(ONE)])} == {AckState.OK}
    assert turn.batch() == [
        ended(TaskEvent.FETCHED, ONE, report(ONE)),
        result(ONE, at=0.0),
        accepted(ONE),
        put(lease(3, ONE, TWO), refs=(TWO.ref,)),
        put(numbers(pages_reserved=2), pages_reserved=1, pages_fetched=1, seeds_fetched=1),
    ]


def test_a_late_report_of_a_lost_task_counts_without_its_lease(turns: Turns) -> None:
    lost = page("1", lease=3, reserved=True, losses=1, queue=HOST)
    turn = turns(lost, FREE, origin(), NUMBERS, now=5.0)
    settle.take(turn, "s", [report(lost)])
    assert turn.batch() == [
        ended(TaskEvent.FETCHED, lost, report(lost)),
        result(lost),
        accepted(lost),
        put(NUMBERS, pages_reserved=0, pages_fetched=1, seeds_fetched=1),
    ]


# What a page comes to


@pytest.mark.parametrize(
    ("sent", "event", "state", "reason"),
    [
        (GONE, TaskEvent.GAVE_UP, FAILED, "http_404"),
        ({"outcome": Outcome.TOO_LARGE}, TaskEvent.GAVE_UP, FAILED, "too_large"),
        ({**DOWN, "reason": "head_too_large"}, TaskEvent.GAVE_UP, FAILED, "head_too_large"),
        ({"outcome": Outcome.NOT_MODIFIED, "status": 304}, TaskEvent.NOT_MODIFIED, DONE, "not_modified"),
        ({"outcome": Outcome.DENIED, "reason": "content_type"}, TaskEvent.UNWANTED, DROPPED, "content_type"),
        ({"outcome": Outcome.DENIED, "reason": "hook"}, TaskEvent.GAVE_UP, FAILED, "hook"),
    ],
    ids=["not there", "too large", "never passes", "not modified", "unwanted", "denied"],
)
def test_a_page_that_is_not_fetched_gives_its_place_back(
    turns: Turns, sent: dict[str, Any], event: TaskEvent, state: Any, reason: str
) -> None:
    turn = turns(ONE, FREE, origin(), NUMBERS)
    tell(turn, report(ONE, **sent, size_bytes=9))
    assert turn.batch() == [
        ended(event, ONE, report(ONE, **sent), state=state, reason=reason),
        accepted(ONE),
        put(NUMBERS, pages_reserved=0, bytes_received=9),
    ]


def test_links_of_a_page_whose_extraction_failed_are_followed(turns: Turns) -> None:
    sent = report(ONE, outcome=Outcome.EXTRACT_ERROR, outlinks=(THREE.url,))  # its body came: it counts as a page
    turn = turns(ONE, FREE, origin(), NUMBERS)
    tell(turn, sent)
    assert turn.batch() == [
        ended(TaskEvent.GAVE_UP, ONE, sent, state=FAILED, reason="extract_error"),
        born(THREE),
        accepted(ONE, THREE.ref),
        put(FREE, ready_at=0.0, known=1),
        put(NUMBERS, next_order=6, pages_reserved=0, pages_unused=1),
    ]


def test_a_page_that_was_taken_up_again_and_failed_for_good_has_still_led_on(turns: Turns) -> None:
    again = leased(page("1", settled=(2,), outlinks=(THREE.ref,)), 3)
    sent = report(again, outcome=Outcome.HTTP_ERROR, status=404, reason="http_404")
    turn = turns(again, FREE, NUMBERS)
    tell(turn, sent)
    assert turn.batch()[0] == ended(TaskEvent.GAVE_UP, again, sent, state=FAILED, reason="http_404")
    row = turn.tasks[again.ref]
    assert row is not None
    assert row.outlinks == (THREE.ref,)


def test_a_page_that_wants_no_rows_is_done_and_says_so(turns: Turns) -> None:
    turn = turns(ONE, FREE, NUMBERS)
    tell(turn, report(ONE, reason="noindex"))
    assert turn.batch()[0] == ended(TaskEvent.FETCHED, ONE, report(ONE), reason="noindex")


def test_what_may_pass_is_tried_again_after_a_pause(turns: Turns) -> None:
    turn = turns(ONE, FREE, origin(), NUMBERS, now=5.0)
    tell(turn, report(ONE, **DOWN))
    at = 5.0 + retry.backoff_s(turn.policy, ONE.ref, 0)
    again = {"state": PENDING, "attempt": 1, "not_before": at, "lease": 0, "reason": "connect"}
    assert turn.batch() == [
        ended(TaskEvent.RETRIED, ONE, report(ONE, **DOWN), **again),
        accepted(ONE),
        put(FREE, ready_at=at),
        put(NUMBERS, pages_reserved=0, retries=1, retried={"connect": 1}),
    ]


def test_a_suspect_that_is_tried_again_goes_on_waiting_among_suspects_and_any_other_behind_its_gate(
    turns: Turns,
) -> None:
    for alone, queue in ((True, "alone"), (False, ORIGIN)):
        task = leased(page("1", alone=alone, queue="alone" if alone else HOST), 3)
        turn = turns(task, FREE, NUMBERS)
        tell(turn, report(task, outcome=Outcome.NETWORK_ERROR))
        assert existing(turn.tasks[task.ref]).queue == queue
        assert changes(turn, LedgerRow) == [
            put(NUMBERS, pages_reserved=0, retries=1, retried={Outcome.NETWORK_ERROR: 1})
        ]


def test_when_its_attempts_are_spent_a_page_has_failed_for_its_last_reason(turns: Turns) -> None:
    last = leased(page("1", attempt=3), 3)
    turn = turns(last, FREE, NUMBERS)
    tell(turn, report(last, **DOWN))
    assert turn.batch()[0] == ended(TaskEvent.GAVE_UP, last, report(last, **DOWN), state=FAILED, reason="connect")


def test_an_attempt_on_a_busy_host_does_not_count_and_the_host_is_held(turns: Turns) -> None:
    turn = turns(ONE, FREE, origin(), NUMBERS, now=5.0)
    tell(turn, report(ONE, **BUSY, retry_after_s=30.0))
    at = 5.0 + retry.backoff_s(turn.policy, ONE.ref, 0)
    again = {"state": PENDING, "refusals": 1, "not_before": at, "lease": 0, "reason": "http_429"}
    assert turn.batch() == [
        ended(TaskEvent.RETRIED, ONE, report(ONE, **BUSY), **again),
        accepted(ONE),
        put(FREE, hold_until=35.0, ready_at=35.0),
        put(NUMBERS, pages_reserved=0, retries=1, retried={"http_429": 1}),
    ]


@pytest.mark.parametrize(("refusals", "host_refusals"), [(20, 0), (0, 21)], ids=["of the page", "of the host"])
def test_patience_with_a_busy_host_has_an_end(turns: Turns, refusals: int, host_refusals: int) -> None:
    last = leased(page("1", attempt=3, refusals=refusals), 3)
    turn = turns(last, host(origins=(ORIGIN,), refusals=host_refusals), NUMBERS)
    tell(turn, report(last, **BUSY))
    assert turn.batch()[0] == ended(TaskEvent.GAVE_UP, last, report(last, **BUSY), state=FAILED, reason="http_429")


WAITED: dict[str, Any] = {"outcome": Outcome.HOOK_WAITED, "status": 200, "reason": "hook_waited"}


def test_an_attempt_whose_hook_waited_does_not_count_leads_nowhere_and_does_not_touch_its_host(turns: Turns) -> None:
    turn = turns(ONE, FREE, origin(), NUMBERS, now=5.0)
    tell(turn, report(ONE, **WAITED, retry_after_s=30.0, outlinks=(THREE.url,)))
    at = 5.0 + retry.backoff_s(turn.policy, ONE.ref, 0)
    again = {"state": PENDING, "refusals": 1, "not_before": at, "lease": 0, "reason": "hook_waited"}
    assert turn.batch() == [
        ended(TaskEvent.RETRIED, ONE, report(ONE, **WAITED), **again),
        accepted(ONE),
        put(FREE, ready_at=at),
        put(NUMBERS, pages_reserved=0, retries=1, retried={"hook_waited": 1}),
    ]


def test_a_host_whose_pages_wait_in_a_hook_is_not_slowed_and_counts_as_answering(turns: Turns) -> None:
    pressed = host(origins=(ORIGIN,), delay_s=2.0, adaptive_s=2.0, refusals=3, holders=held_by(3))
    turn = turns(ONE, pressed, origin(), NUMBERS, lease(3, ONE), now=5.0)
    settle.take(turn, "s", (report(ONE, **WAITED, age_s=1.0),))
    after = turn.host(HOST)
    assert (after.refusals, after.hold_until) == (0, 0.0)
    assert after.delay_s < 2.0


def test_a_page_whose_hook_always_waits_has_failed_in_the_end_whatever_retries_are_left(turns: Turns) -> None:
    last = leased(page("1", refusals=20), 3)
    turn = turns(last, FREE, NUMBERS)
    tell(turn, report(last, **WAITED))
    assert turn.batch()[0] == ended(TaskEvent.GAVE_UP, last, report(last, **WAITED), state=FAILED, reason="hook_waited")


def test_a_host_with_a_budget_counts_what_came_of_it(turns: Turns) -> None:
    mine = host(origins=(ORIGIN,), pages_reserved=1)
    turn = turns(ONE, mine, NUMBERS, host_budget=Budget(pages=9))
    tell(turn, report(ONE, size_bytes=7))
    assert changes(turn, HostRow) == [put(mine, pages_reserved=0, pages_fetched=1, bytes_received=7)]


# Redirects


def test_where_a_seed_redirects_to_takes_its_place_and_its_host_joins_the_scope(turns: Turns) -> None:
    seed = leased(page("1", seed=True, priority=4), 3)
    sent = report(seed, **MOVED, location=f"{ORIGIN}/2")
    target = page("2", order=5, found_on=seed.ref, hops=(seed.url,), seed=True, priority=4)
    turn = turns(seed, FREE, origin(), NUMBERS, now=5.0)
    tell(turn, sent)
    assert turn.batch() == [
        ended(TaskEvent.REDIRECTED, seed, sent, outlinks=(target.ref,)),
        born(target),
        accepted(seed, target.ref),
        put(FREE, ready_at=5.0, known=1),
        put(NUMBERS, next_order=6, pages_reserved=0, scope_hosts=(HOST,)),
    ]


@pytest.mark.parametrize(
    ("seed", "grows", "joined", "after"),
    [
        (True, True, (), ("x.test",)),
        (True, True, ("x.test",), ("x.test",)),
        (True, False, (), ()),
        (False, True, (), ()),
    ],
    ids=["a seed's", "once", "a job that does not grow", "another page's"],
)
def test_whose_redirects_let_a_host_join(
    turns: Turns, seed: bool, grows: bool, joined: tuple[str, ...], after: tuple[str, ...]
) -> None:
    task = leased(page("1", seed=seed), 3)
    turn = turns(task, FREE, numbers(scope_hosts=joined, pages_reserved=1), grows=grows)
    tell(turn, report(task, **MOVED, location="http://x.test/"))
    assert turn.ledger.scope_hosts == after
    assert turn.batch()[1].task.state is (PENDING if after else DROPPED)  # type: ignore[attr-defined]  # a birth


@pytest.mark.parametrize(
    ("location", "hops", "reason"),
    [
        ("", (), "redirect_invalid"),
        ("nonsense", (), "redirect_invalid"),
        ("ftp://a.test/", (), "redirect_invalid"),
        ("http://a.test/#x", (), "redirect_invalid"),
        ("http://A.test/", (), "redirect_invalid"),
        (ONE.url, (), "redirect_loop"),
        (TWO.url, (TWO.url,), "redirect_loop"),
        (TWO.url, tuple(map(str, range(10))), "too_many_redirects"),
    ],
)
def test_a_redirect_that_is_not_followed_fails_and_says_why(
    turns: Turns, location: str, hops: tuple[str, ...], reason: str
) -> None:
    task = leased(page("1", hops=hops), 3)
    turn = turns(task, FREE, NUMBERS)
    tell(turn, report(task, **MOVED, location=location))
    assert turn.batch() == [
        ended(
            TaskEvent.GAVE_UP,
            task,
            report(task, **MOVED),
            state=FAILED,
            reason=reason,
            detail=f"Location: {location!r}",
        ),
        accepted(task),
        put(NUMBERS, pages_reserved=0),
    ]


def test_a_redirect_may_hold_its_host(turns: Turns) -> None:
    turn = turns(ONE, FREE, origin(), page("2"), NUMBERS, now=5.0)
    tell(turn, report(ONE, **MOVED, location=TWO.url, retry_after_s=30.0))
    assert changes(turn, HostRow) == [put(FREE, hold_until=35.0)]


# Links


def test_links_that_are_not_canonical_or_out_of_scope_make_no_task(turns: Turns) -> None:
    lies = ("http://x.test/", "http://A.test/a", f"{ORIGIN}/b/../c", "nonsense", f"{ORIGIN}/private/x", "")
    scope = ScopeSpec(hosts=(HOST,), exclude=("/private/",))
    turn = turns(ONE, lease(3, ONE), HELD, origin(), NUMBERS, scope=scope)
    settle.take(turn, "s", [report(ONE, outlinks=(*lies, THREE.url))])
    assert turn.batch()[2:4] == [born(THREE), accepted(ONE, THREE.ref)]
    assert turn.ledger.next_order == 6


def test_links_beyond_the_cap_are_left_out(turns: Turns) -> None:
    turn = turns(ONE, FREE, origin(), NUMBERS, max_outlinks=1)
    tell(turn, report(ONE, outlinks=(THREE.url, f"{ORIGIN}/4")))
    assert turn.batch()[2:4] == [born(THREE), accepted(ONE, THREE.ref)]


def test_a_page_tells_of_all_its_links_but_of_strangers(turns: Turns) -> None:
    turn = turns(ONE, page("2"), page("4"), FREE, NUMBERS)
    never = page("never").ref
    tell(turn, report(ONE, outlinks=(TWO.url,), known=page("4").ref + never), strangers={never})
    assert turn.batch()[2:3] == [accepted(ONE, page("4").ref + TWO.ref)]


def test_under_a_depth_limit_a_page_keeps_its_links_and_passes_its_depth_on(turns: Turns) -> None:
    deep, known = page("2", depth=3), page("4", depth=3, outlinks=(page("5").ref,))
    turn = turns(ONE, deep, known, page("5", depth=4), FREE, NUMBERS, depth=5)
    sent = report(ONE, outlinks=(deep.url,), known=known.ref)
    tell(turn, sent)
    assert turn.batch()[:-1] == [
        ended(TaskEvent.FETCHED, ONE, sent, outlinks=(deep.ref, known.ref)),
        result(ONE, at=0.0),
        moved(TaskEvent.LOWERED, known, depth=1),
        moved(TaskEvent.LOWERED, deep, depth=1),
        moved(TaskEvent.LOWERED, page("5", depth=4), depth=2),
        accepted(ONE, deep.ref + known.ref),
    ]


def test_what_a_report_names_by_fingerprint_is_looked_up_together_and_lowered(turns: Turns) -> None:
    turn = turns(ONE, page("2", depth=3), FREE, lease(3, ONE), origin(), NUMBERS, depth=5)
    settle.take(turn, "s", [report(ONE, known=TWO.ref + page("never").ref)])
    assert moved(TaskEvent.LOWERED, page("2", depth=3), depth=1) in turn.batch()
    assert turn.misses == 0


# When its host was asked, and what it hears


def test_a_host_hears_when_it_was_asked_how_it_answered_and_how_long_it_wants_to_be_left_alone(turns: Turns) -> None:
    turn = turns(ONE, FREE, now=9.0)
    attempts.hear(turn, ONE, report(ONE, outcome=Outcome.HTTP_ERROR, status=429, retry_after_s=5.0), 7.0)
    heard = turn.host(FREE.key)
    assert (heard.last_start_at, heard.pressed_at, heard.hold_until) == (7.0, 9.0, 14.0)


def test_a_host_that_was_not_asked_hears_nothing(turns: Turns) -> None:
    turn = turns(ONE, FREE)
    attempts.hear(turn, ONE, report(ONE), None)
    assert turn.batch() == []


@pytest.mark.parametrize(
    ("sent", "held", "at"),
    [
        ({"age_s": None}, lease(3, ONE), None),
        ({"age_s": 2.0}, None, 8.0),
        ({"age_s": -1e9}, None, 10.0),
        ({"age_s": 2.0}, lease(3, ONE, TWO, starts=((ONE.ref, 9.0), (TWO.ref, 9.5))), 9.0),
        ({"age_s": 2.0}, lease(3, starts=(), session="s"), 8.0),
        ({"age_s": 2.0}, lease(3, TWO, ONE, starts=((TWO.ref, 9.5), (ONE.ref, 9.0)), spacing_s=1.0), 9.0),
        ({"age_s": 2.0}, lease(3, ONE, starts=((ONE.ref, 7.0),), spacing_s=1.0), 8.0),
    ],
    ids=["never", "lease over", "no time travel", "all at once", "no starts", "not before its start", "its age"],
)
def test_when_an_attempt_started_at_the_latest(sent: dict[str, Any], held: LeaseRow | None, at: float | None) -> None:
    assert attempts.start_at(report(ONE, **sent), held, 10.0) == at


def test_the_log_keeps_a_start_on_a_delayed_host(turns: Turns) -> None:
    delayed = host(origins=(ORIGIN,), delay_s=2.0, asked_s=2.0, holders=held_by(3))
    mine = lease(3, ONE, spacing_s=2.0)
    turn = turns(ONE, mine, delayed, origin(), NUMBERS, now=5.0, delay_s=2.0)
    settle.take(turn, "s", [report(ONE, age_s=1.0, gap_s=2.1)])
    start = Start(host=HOST, at=4.0, spacing_s=2.0, gap_s=2.1, sender=crc32(b"s"))
    assert turn.batch()[2:] == [
        accepted(ONE, start=start),
        gone(mine, "settled", refs=()),
        put(delayed, holders=(), last_start_at=4.0, next_start_at=6.0, ready_at=6.0),
        put(NUMBERS, pages_reserved=0, pages_fetched=1, seeds_fetched=1),
    ]


def test_the_log_keeps_a_start_without_its_lease_as_it_is_known(turns: Turns) -> None:
    turn = turns(ONE, host(delay_s=2.0, asked_s=2.0), NUMBERS, now=5.0, delay_s=2.0)
    tell(turn, report(ONE, age_s=1.0))
    start = Start(host=HOST, at=4.0, spacing_s=0.0, gap_s=None, sender=0)
    assert accepted(ONE, start=start) in turn.batch()


def test_a_busy_answer_slows_its_host_and_calls_back_what_is_under_way(turns: Turns) -> None:
    turn = turns(ONE, TWO, lease(3, ONE, TWO), HELD, origin(), numbers(pages_reserved=2), now=5.0)
    settle.take(turn, "s", [report(ONE, **BUSY, age_s=0.0)])
    at = 5.0 + retry.backoff_s(turn.policy, ONE.ref, 0)
    slowed = {"delay_s": 1.0, "adaptive_s": 1.0, "pressed_at": 5.0, "refusals": 1, "recalled_under": 3}
    times = {"last_start_at": 5.0, "next_start_at": 6.0, "hold_until": at}
    assert changes(turn, HostRow) == [put(HELD, **slowed, **times)]


def test_a_server_that_wants_to_be_left_alone_calls_back_what_is_under_way(turns: Turns) -> None:
    turn = turns(ONE, TWO, lease(3, ONE, TWO), HELD, origin(), numbers(pages_reserved=2), now=5.0, adaptive=False)
    settle.take(turn, "s", [report(ONE, **BUSY, retry_after_s=30.0)])
    assert changes(turn, HostRow) == [put(HELD, hold_until=35.0, recalled_under=3, ready_at=35.0)]


# Units


def test_a_host_joins_the_unit_of_the_address_that_it_was_found_at(turns: Turns) -> None:
    mine = host(origins=(ORIGIN,), ready_at=3.0)
    turn = turns(ONE, mine, origin(), NUMBERS, now=5.0, unit=Unit.ADDRESS)
    tell(turn, report(ONE, address="10.0.0.1", age_s=1.0))
    unit = host("10.0.0.1", is_unit=True, ready_at=3.0, last_start_at=4.0, next_start_at=4.0)
    assert changes(turn, HostRow) == [new(unit), put(mine, unit="10.0.0.1", ready_at=5.0)]


# robots.txt


def test_a_robots_txt_that_was_had_opens_its_gate(turns: Turns) -> None:
    task, waiting = leased(robots(), 3), origin(gate=Gate.WAITING, expires_at=0.0)
    sent = report(task, body=b"User-agent: *\nCrawl-delay: 2\n")
    turn = turns(task, FREE, waiting, now=5.0)
    tell(turn, sent)
    assert turn.batch() == [
        ended(TaskEvent.JUDGED, task, sent),
        accepted(task),
        put(FREE, delay_s=2.0, asked_s=2.0, next_start_at=7.0, ready_at=7.0),
        put(waiting, gate=Gate.RULES, robots=sent.body, expires_at=86_405.0, asked_delay_s=2.0),
    ]


def test_a_robots_txt_that_cannot_be_had_is_asked_for_again_and_no_attempt_is_excused(turns: Turns) -> None:
    task, waiting = leased(robots(), 3), origin(gate=Gate.WAITING)
    turn = turns(task, FREE, waiting, now=5.0)
    sent = report(task, **{**DOWN, "reason": "timeout_connect"})
    tell(turn, sent)
    at = 5.0 + retry.backoff_s(turn.policy, task.ref, 0)
    again = {"state": PENDING, "attempt": 1, "not_before": at, "lease": 0, "reason": "timeout_connect"}
    assert turn.batch()[:2] == [ended(TaskEvent.RETRIED, task, sent, **again), accepted(task)]
    assert put(waiting, failing_since=5.0, why="timeout_connect") in turn.batch()


def test_a_robots_txt_that_is_sent_elsewhere_is_asked_for_there_and_its_gate_stays(turns: Turns) -> None:
    task, waiting = leased(robots(), 3), origin(gate=Gate.WAITING)
    sent = report(task, **MOVED, location=f"{OTHER}/rules")
    target = robots(url=f"{OTHER}/rules", order=5, hops=(task.url,), found_on=task.ref)
    turn = turns(task, FREE, waiting, numbers(next_order=5), now=5.0)
    tell(turn, sent)
    assert turn.batch() == [
        ended(TaskEvent.JUDGED, task, sent),
        born(target),
        accepted(task, target.ref),
        new(host(OTHER_HOST, origins=(OTHER,), ready_at=5.0)),
        put(numbers(next_order=5), next_order=6),
    ]


def test_where_a_robots_txt_was_sent_before_is_asked_again(turns: Turns) -> None:
    task, waiting = leased(robots(), 3), origin(rechecking=True)
    known = robots(url=f"{OTHER}/rules", state=DONE, status=200, outcome=Outcome.FETCHED, settled=(1,), attempt=2)
    turn = turns(task, known, FREE, waiting, host(OTHER_HOST), now=5.0)
    tell(turn, report(task, **MOVED, location=known.url))
    anew = {"state": PENDING, "status": 0, "outcome": None, "hops": (task.url,), "attempt": 0}
    assert turn.batch()[1:] == [
        moved(TaskEvent.RECHECKED, known, **anew),
        accepted(task, known.ref),
        put(host(OTHER_HOST), ready_at=5.0),
    ]


def test_a_robots_txt_that_is_sent_in_a_circle_means_no_rules(turns: Turns) -> None:
    task, waiting = leased(robots(), 3), origin(gate=Gate.WAITING)
    turn = turns(task, FREE, waiting, now=5.0)
    tell(turn, report(task, **MOVED, location=task.url))
    assert turn.batch()[:1] == [ended(TaskEvent.JUDGED, task, report(task, **MOVED))]
    assert put(waiting, gate=Gate.ALLOW, expires_at=86_405.0) in turn.batch()


def test_sitemaps_that_a_robots_txt_names_are_read_if_the_job_asks_for_them(turns: Turns) -> None:
    task = leased(robots(), 3)
    for asks in (True, False):
        named = sitemap(order=5, found_on=task.ref)
        turn = turns(task, FREE, origin(gate=Gate.WAITING), numbers(next_order=5), sitemaps=asks)
        tell(turn, report(task, body=b"Sitemap: /map.xml\nSitemap: nonsense:\n"))
        led_to = [born(named), accepted(task, named.ref)] if asks else [accepted(task)]
        assert turn.batch()[1 : 1 + len(led_to)] == led_to


# Sitemaps


def test_a_sitemap_leads_to_pages_and_an_index_to_sitemaps(turns: Turns) -> None:
    task = leased(sitemap(), 3)
    sent = report(task, entries=(SitemapEntry(f"{ORIGIN}/1", 2**40, 7),), sitemaps=(f"{ORIGIN}/2.xml", "nonsense"))
    one = page("1", order=5, found_on=task.ref, priority=1_000, lastmod=7)
    two = sitemap(f"{ORIGIN}/2.xml", order=6, depth=1, found_on=task.ref)
    turn = turns(task, FREE, origin(), numbers(next_order=5))
    tell(turn, sent)
    assert turn.batch() == [
        ended(TaskEvent.JUDGED, task, sent),
        born(one),
        born(two),
        accepted(task, one.ref + two.ref),
        put(FREE, ready_at=0.0, known=2),
        put(numbers(next_order=5), next_order=7),
    ]


def test_an_index_of_indexes_of_sitemaps_is_read_and_nothing_deeper(turns: Turns) -> None:
    task = leased(sitemap(depth=2), 3)
    turn = turns(task, FREE, origin())
    tell(turn, report(task, sitemaps=(f"{ORIGIN}/2.xml",)))
    assert turn.batch()[1:] == [accepted(task)]


@pytest.mark.parametrize(("seed", "number"), [(False, 1), (True, 2)], ids=["named by robots.txt", "by the job"])
def test_a_sitemap_speaks_for_its_own_host_unless_the_job_names_it(turns: Turns, seed: bool, number: int) -> None:
    task = leased(sitemap(seed=seed), 3)
    turn = turns(task, FREE, host(OTHER_HOST, origins=(OTHER,)), origin(), origin(OTHER))
    tell(turn, report(task, entries=(SitemapEntry(f"{ORIGIN}/1"), SitemapEntry(f"{OTHER}/1"))))
    sent = (page("1").ref, page("1", OTHER).ref)[:number]
    assert accepted(task, b"".join(sent)) in turn.batch()


def test_a_part_of_a_sitemap_leads_on_and_its_task_stays_leased(turns: Turns) -> None:
    task = leased(sitemap(), 3)
    one = page("1", order=5, found_on=task.ref)
    turn = turns(task, lease(3, task), HELD, origin(), numbers(next_order=5))
    settle.take(turn, "s", [report(task, entries=(SitemapEntry(one.url),), more=True, age_s=0.0)])
    assert turn.batch() == [
        moved(TaskEvent.PART, task),
        born(one),
        accepted(task, one.ref),
        put(HELD, ready_at=0.0, known=1),
        put(numbers(next_order=5), next_order=6),
    ]


def test_a_sitemap_that_is_not_there_is_given_up_and_costs_nothing(turns: Turns) -> None:
    task = leased(sitemap(), 3)
    turn = turns(task, FREE, origin(), numbers())
    tell(turn, report(task, **GONE, entries=(SitemapEntry(f"{ORIGIN}/1"),)))
    gave_up = ended(TaskEvent.GAVE_UP, task, report(task, **GONE), state=FAILED, reason="http_404")
    told = put(numbers(), short_maps=ShortMaps(1, ((task.url, "http_404"),)))
    assert turn.batch() == [gave_up, accepted(task), told]


def test_a_sitemap_that_is_sent_elsewhere_serves_whom_it_served(turns: Turns) -> None:
    task = leased(sitemap(), 3)
    sent = report(task, **MOVED, location=f"{OTHER}/map.xml")
    target = sitemap(f"{OTHER}/map.xml", serves=ORIGIN, order=5, hops=(task.url,), found_on=task.ref)
    away = host(OTHER_HOST, origins=(OTHER,))
    turn = turns(task, FREE, away, origin(), origin(OTHER), numbers(next_order=5))
    tell(turn, sent)
    assert turn.batch()[:3] == [ended(TaskEvent.REDIRECTED, task, sent), born(target), accepted(task, target.ref)]
