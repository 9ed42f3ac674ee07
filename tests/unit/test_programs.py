"""Which programs keep a crawl open, and for how long."""

from __future__ import annotations

import pytest

from crawlfleet.coordinator.conduct.programs import Programs
from crawlfleet.shared.errors import Unreachable
from crawlfleet.shared.messages import Outcome
from crawlfleet.shared.objects import OPEN, ObjectCall
from tests.unit.core_crawl import CoreCrawl


def waiting() -> CoreCrawl:
    """Return a crawl that waits for programs, after its only page."""
    crawl = CoreCrawl(wait=True)
    crawl.hello("worker", "one", "two")
    crawl.open_gates("worker")
    crawl.settle(*crawl.ask("worker")[0], session="worker")
    return crawl


def test_the_first_program_is_awaited_and_then_the_end_of_all() -> None:
    programs = Programs()
    programs.wait()
    assert programs.is_awaited
    programs.gone("worker")
    assert programs.is_awaited
    for session in ("one", "two", "one"):
        programs.opened(session)
    programs.gone("one")
    assert programs.is_awaited
    programs.gone("two")
    assert not programs.is_awaited


def test_a_program_that_comes_after_the_others_have_gone_is_awaited_too() -> None:
    programs = Programs()
    programs.wait()
    programs.opened("one")
    programs.gone("one")
    programs.opened("two")
    assert programs.is_awaited


def test_none_is_awaited_unless_that_was_asked_for() -> None:
    programs = Programs()
    assert not programs.is_awaited
    programs.opened("one")
    assert not programs.is_awaited


def test_a_crawl_without_tasks_is_open_until_its_programs_have_said_goodbye() -> None:
    crawl = waiting()
    answer = crawl.turn("worker")
    assert (crawl.service.open_tasks(), crawl.service.is_finished, answer.finished) == (0, False, False)
    assert answer.idle_s > 0
    crawl.service.program_opened("one")
    crawl.service.program_opened("two")
    crawl.service.goodbye("one", crawl.now)
    assert not crawl.turn("worker").finished
    crawl.service.goodbye("two", crawl.now)
    assert crawl.service.is_finished
    assert crawl.turn("worker").finished


def test_a_program_that_is_lost_has_gone() -> None:
    crawl = waiting()
    crawl.service.program_opened("one")
    crawl.pass_time(crawl.policy.lease_s)
    assert crawl.service.is_finished


def test_a_program_that_is_replaced_has_gone() -> None:
    crawl = waiting()
    crawl.service.program_opened("one")
    crawl.hello("three", replaces="one")
    assert crawl.service.is_finished


def test_a_crawl_with_tasks_is_not_finished_because_its_programs_have_gone() -> None:
    crawl = CoreCrawl(wait=True)
    crawl.hello("worker", "one")
    crawl.service.program_opened("one")
    crawl.service.goodbye("one", crawl.now)
    assert not crawl.service.awaits_programs
    assert not crawl.service.is_finished
    crawl.open_gates("worker")
    crawl.settle(*crawl.ask("worker")[0], session="worker", outcome=Outcome.HTTP_ERROR, status=404)
    assert crawl.service.is_finished


def test_who_is_no_member_opens_nothing() -> None:
    crawl = waiting()
    with pytest.raises(Unreachable, match="said hello"):
        crawl.service.program_opened("stranger")
    crawl.service.program_opened("one")
    crawl.service.goodbye("one", crawl.now)
    assert crawl.service.is_finished


def test_after_a_restart_programs_are_awaited_anew() -> None:
    crawl = waiting()
    crawl.service.program_opened("one")
    crawl.service.goodbye("one", crawl.now)
    crawl.reopen()
    assert crawl.service.awaits_programs


def opening(session: str, *, hook: bool = False) -> ObjectCall:
    return ObjectCall(session=session, thread=1, slot=0, number=1, kind="Lock", name="n", method=OPEN, hook=hook)


def test_a_program_counts_once_it_opens_an_object_and_a_hook_never_does() -> None:
    crawl = waiting()
    crawl.service.call_object(opening("worker", hook=True), crawl.now)
    crawl.service.call_object(opening("one"), crawl.now)
    assert crawl.service.awaits_programs
    crawl.service.goodbye("one", crawl.now)
    assert crawl.service.is_finished


def test_a_program_that_was_lost_and_says_hello_again_is_awaited_again() -> None:
    crawl = waiting()
    crawl.service.call_object(opening("one"), crawl.now)
    crawl.service.call_object(opening("two"), crawl.now)
    crawl.now += 1_000.0
    crawl.service.flush(crawl.now)
    assert not crawl.service.awaits_programs
    crawl.hello("one")
    assert crawl.service.awaits_programs


def test_whoever_is_no_member_can_call_no_object() -> None:
    with pytest.raises(Unreachable, match="not known"):
        CoreCrawl().service.call_object(opening("ghost"), 0.0)
