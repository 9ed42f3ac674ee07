"""Numbers in messages: each has a range; what lies outside is refused, and what lies inside harms no store."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from msgspec import inspect

from crawlfleet.coordinator.conduct.counting import count
from crawlfleet.coordinator.conduct.loop import _REFUSALS as REFUSALS
from crawlfleet.coordinator.core.rows import LedgerRow, TaskRow, TaskState
from crawlfleet.shared.errors import WireError
from crawlfleet.shared.message import Message
from crawlfleet.shared.messages import (
    ExchangeAnswer,
    ExchangeRequest,
    Hello,
    Kind,
    Outcome,
    Report,
    ResultPage,
    Row,
    SitemapEntry,
    TaskKey,
    Unconverted,
    Welcome,
    decode,
    encode,
)
from crawlfleet.shared.objects import Collected, ObjectCall, ObjectReply
from crawlfleet.shared.pools import (
    Ask,
    AskReply,
    AskRequest,
    CancelReply,
    CancelRequest,
    SettledPage,
)
from crawlfleet.shared.ranges import MOST
from crawlfleet.shared.status import Numbers, Status
from tests.unit.durable_crawl import SEED, DurableCrawl

MAP = "http://a.test/sitemap.xml"
EXTREMES = (math.nan, math.inf, -math.inf, -1, -(2**63), 2**63, 2**64 - 1, 1e300, -1e300)
REQUESTS = (Hello, ExchangeRequest, ObjectCall, AskRequest, CancelRequest)
ANSWERS = (Welcome, ExchangeAnswer, ResultPage, ObjectReply, Collected, AskReply, CancelReply, SettledPage, Status)


class Place(NamedTuple):
    """Where a message has a number, and what that may be."""

    path: tuple[str | int, ...]
    lowest: float | None
    highest: float | None


def places(kind: inspect.Type, path: tuple[str | int, ...] = ()) -> Iterator[Place]:
    """Yield every place for a number in a type."""
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        yield Place(path, kind.ge, kind.le)
    for step, part in parts(kind):
        yield from places(part, (*path, *step))


def parts(kind: inspect.Type) -> list[tuple[tuple[str | int, ...], inspect.Type]]:
    """Return the types of which a type consists, with the steps to them."""
    match kind:
        case inspect.StructType() if kind.array_like:
            return [((index,), field.type) for index, field in enumerate(kind.fields)]
        case inspect.StructType():
            fields = [field for field in kind.fields if field.name != "fields"]  # they may hold each other, no number
            return [((field.encode_name,), field.type) for field in fields]
        case inspect.NamedTupleType():
            return [((index,), field.type) for index, field in enumerate(kind.fields)]
        case inspect.UnionType():
            return [((), part) for part in kind.types]
        case inspect.VarTupleType():
            return [((0,), kind.item_type)]
        case inspect.DictType():
            return [(("key",), kind.value_type)]
    return []


def places_of(kind: type[Message]) -> list[Place]:
    return list(places(inspect.type_info(kind)))


def with_number(message: Message, place: Place, value: float) -> bytes:
    """Return an encoded message with another number at a place."""
    plain = msgspec.msgpack.decode(encode(message))
    part = plain
    for step in place.path[:-1]:
        part = part[step]
    if isinstance(part, dict):
        assert place.path[-1] in part, f"the message has nothing at {place.path}"
    part[place.path[-1]] = value
    return msgspec.msgpack.encode(plain)


def a_report(lease: int, ref: bytes, outcome: Outcome) -> Report:
    """Return a report with every number."""
    return Report(
        lease=lease,
        ref=ref,
        outcome=outcome,
        status=429,
        reason="content_type" if outcome is Outcome.DENIED else "",
        location=f"{SEED}else",
        age_s=1.0,
        elapsed_s=1.0,
        size_bytes=1,
        retry_after_s=1.0,
        gap_s=1.0,
        fresh_s=1.0,
        entries=(SitemapEntry(f"{SEED}listed", 1, 1),),
        rows=(Row(item="page", index=0, fields={}),),
        unconverted=(Unconverted("page", "title", 1),),
    )


def a_request(lease: int, ref: bytes, outcome: Outcome) -> ExchangeRequest:
    """Return an exchange with every number."""
    key, report = TaskKey(lease, ref), a_report(lease, ref, outcome)
    return ExchangeRequest(
        session="s", reports=(report,), holding=(lease,), started=(key,), released=(lease,), want=1, alone=(key,)
    )


class Case(NamedTuple):
    """A case: which kind of task is reported, and with which outcome."""

    kind: Kind
    outcome: Outcome


CASES = [
    *(Case(Kind.PAGE, outcome) for outcome in Outcome),
    *(Case(Kind.ROBOTS, outcome) for outcome in (Outcome.FETCHED, Outcome.HTTP_ERROR, Outcome.REDIRECTED)),
    *(Case(Kind.SITEMAP, outcome) for outcome in (Outcome.FETCHED, Outcome.EXTRACT_ERROR)),
]


def granted(crawl: DurableCrawl, kind: Kind) -> tuple[int, bytes]:
    """Return lease and reference of a task of a kind, after all that comes before it."""
    crawl.service.add_seeds([SEED], crawl.now, [MAP])
    crawl.service.hello(Hello(session="s"), crawl.now)
    reports: list[Report] = []
    for _ in range(3):
        found = crawl.ask(*reports)
        for lease, task in found:
            if task.kind is kind:
                return lease.id, task.ref
        reports = [
            Report(lease=lease.id, ref=task.ref, outcome=Outcome.HTTP_ERROR, status=404)
            for lease, task in found
            if task.kind is Kind.ROBOTS
        ]
    raise AssertionError(f"no {kind} was granted")


def go_on(crawl: DurableCrawl, folder: Path) -> None:
    """Commit, close, open and use the store again, and count."""
    crawl.service.flush(crawl.now)
    crawl.close()
    again = DurableCrawl(folder)
    again.service.hello(Hello(session="t"), again.now)
    again.service.exchange(ExchangeRequest(session="t", want=8), again.now)
    again.service.flush(again.now)
    numbers = count(again.store, job="job", elapsed_s=1.0, robots_wait_s=1.0)
    assert decode(encode(numbers), Numbers) == numbers
    again.close()


@pytest.mark.parametrize("kind", [*REQUESTS, *ANSWERS])
def test_every_number_in_a_message_has_a_range(kind: type[Message]) -> None:
    unbounded = [place.path for place in places_of(kind) if place.lowest is None or place.highest is None]
    assert unbounded == []
    assert places_of(kind) or kind is ObjectReply


@pytest.mark.parametrize("kind", [*REQUESTS, *ANSWERS])
def test_the_ranges_leave_out_what_is_not_finite_and_what_no_store_keeps(kind: type[Message]) -> None:
    for place in places_of(kind):
        assert place.lowest is not None
        assert place.highest is not None
        assert -(2**63) <= place.lowest < place.highest < 2**63, place.path


SAMPLES: dict[type[Message], Message] = {
    Hello: Hello(
        session="s",
        replaces="r",
        began=(TaskKey(1, b"r" * 16),),
        ended=(a_report(1, b"r" * 16, Outcome.EXTRACT_ERROR),),
    ),
    ExchangeRequest: a_request(1, b"r" * 16, Outcome.FETCHED),
    ObjectCall: ObjectCall(
        session="s", thread=1, slot=0, number=1, kind="Lock", name="n", method="open", timeout_s=1.0
    ),
    AskRequest: AskRequest(session="s", pool=1, asks=(Ask(1, SEED, 1),)),
    CancelRequest: CancelRequest(session="s", tickets=(1,)),
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_numbers_out_of_range_are_refused_when_the_message_is_decoded(kind: type[Message]) -> None:
    sample = SAMPLES[kind]
    for place in places_of(kind):
        assert place.lowest is not None
        assert place.highest is not None
        for value in (*EXTREMES, max(place.lowest - 1, -(2**63)), place.highest * 1.5):
            if not place.lowest <= value <= place.highest:
                with pytest.raises(WireError):
                    decode(with_number(sample, place, value), kind)
        for value in (place.lowest, place.highest):
            decode(with_number(sample, place, value), kind)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.outcome}")
def test_the_extremes_that_a_report_may_have_go_through_a_store_and_its_reopening(tmp_path: Path, case: Case) -> None:
    for index, place in enumerate(places_of(ExchangeRequest)):
        if case.kind is not Kind.PAGE and place.path[0] != "reports":
            continue
        for value in (place.lowest, place.highest):
            assert value is not None
            folder = tmp_path / f"{index}-{value:.0f}"
            folder.mkdir()
            crawl = DurableCrawl(folder)
            request = a_request(*granted(crawl, case.kind), case.outcome)
            for _ in range(2):
                with suppress(*REFUSALS):
                    crawl.service.exchange(decode(with_number(request, place, value), ExchangeRequest), crawl.now)
                crawl.service.flush(crawl.now)
            go_on(crawl, folder)


@pytest.mark.parametrize("kind", [Hello, ObjectCall, AskRequest, CancelRequest])
def test_the_extremes_that_other_requests_may_have_go_through_too(tmp_path: Path, kind: type[Message]) -> None:
    for index, place in enumerate(places_of(kind)):
        for value in (place.lowest, place.highest):
            assert value is not None
            folder = tmp_path / f"{index}-{value:.0f}"
            folder.mkdir()
            crawl = DurableCrawl(folder)
            crawl.begin()
            with suppress(*REFUSALS):
                serve(crawl, decode(with_number(SAMPLES[kind], place, value), kind))
            go_on(crawl, folder)


def serve(crawl: DurableCrawl, message: Any) -> None:
    """Let the service carry out a request."""
    match message:
        case Hello():
            crawl.service.hello(message, crawl.now)
        case ObjectCall():
            crawl.service.call_object(message, crawl.now)
        case AskRequest():
            crawl.service.pools.ask(message, crawl.now)
        case CancelRequest():
            crawl.service.pools.cancel(message, crawl.now)


def test_sums_stop_at_what_a_store_keeps(tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path)
    lease, ref = granted(crawl, Kind.PAGE)
    full = LedgerRow(
        version=crawl.store.ledger().version + 1,
        next_lease=crawl.store.ledger().next_lease,
        next_order=crawl.store.ledger().next_order,
        pages_reserved=crawl.store.ledger().pages_reserved,
        bytes_received=MOST - 1,
        retries=MOST,
        retried={"timeout_total": MOST},
    )
    crawl.service._turns.run(lambda turn: turn.put(full), crawl.now)
    report = Report(
        lease=lease, ref=ref, outcome=Outcome.NETWORK_ERROR, reason="timeout_total", age_s=0.0, size_bytes=2**50
    )
    crawl.ask(report)
    assert crawl.store.rows(TaskRow, [ref])[ref].state is TaskState.PENDING
    ledger = crawl.store.ledger()
    assert (ledger.bytes_received, ledger.retries, ledger.retried) == (MOST, MOST, {"timeout_total": MOST})
    go_on(crawl, tmp_path)
