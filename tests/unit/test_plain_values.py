"""Values that not every sink can write are refused at the door, with type and place: from programs and reports."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.msgpack import Ext

from crawlfleet.__main__ import main
from crawlfleet.coordinator.core.judging import judged
from crawlfleet.coordinator.core.rows import Result, TaskRow, TaskState
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.coordinator.results.columns import Column
from crawlfleet.coordinator.results.rows import as_value
from crawlfleet.coordinator.sinks.registry import SINKS
from crawlfleet.fleet.held import Held
from crawlfleet.shared.field_types import JSON
from crawlfleet.shared.messages import VALUE_ITEM, ExchangeRequest, Kind, Outcome, Report, Row, Task, decode, encode
from crawlfleet.shared.plain_values import FIELD_DEPTH, VALUE_DEPTH, refuse_odd_parts
from crawlfleet.shared.wire import payload
from crawlfleet.worker.lanes import Attempt
from tests.policies import policy_with
from tests.results import result
from tests.shapes import shape_of
from tests.toys.sinks import LINES, TABLE
from tests.unit.durable_crawl import ITEMS, SEED, DurableCrawl
from tests.unit.rule_turns import POLICY

KINDS = [
    entry.made_for(shape_of("page", Column("x", JSON), Column("fine"))) for entry in (*SINKS.values(), LINES, TABLE)
]


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


ODD: dict[str, tuple[Any, str]] = {
    "key None": ({None: 1}, r"\[None\] is under a key of type NoneType"),
    "key bool": ([0, {True: 1}], r"\[1\]\[True\] is under a key of type bool"),
    "key int": ({"a": {7: 1}}, r"\['a'\]\[7\] is under a key of type int"),
    "key list": ({(1, 2): 1}, r"\[\(1, 2\)\] is under a key of type tuple"),
    "key bytes": ({b"a": 1}, r"\[b'a'\] is under a key of type bytes"),
    "extension": ({"a": [1, {"b": Ext(5, b"x")}]}, r"\['a'\]\[1\]\['b'\] is of type msgspec\.msgpack\.Ext"),
    "moment": ([datetime(2026, 1, 1, tzinfo=UTC)], r"\[0\] is of type datetime\.datetime"),
    "not a number": ([1.0, float("nan")], r"\[1\] is nan: a number must be finite"),
    "infinite": ({"a": float("-inf")}, r"\['a'\] is -inf"),
    "nested": (nested(500), r"\[0\]\[0\].* is nested deeper than"),
}


@pytest.fixture
def held() -> Held:
    return Held(Attempt(lease_id=1, host="h", task=Task(ref=b"r", kind=Kind.PAGE, url=SEED, depth=0), started_at=0.0))


@pytest.mark.parametrize(("value", "why"), ODD.values(), ids=ODD)
def test_a_walk_names_type_and_place(value: Any, why: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^value{why}") as caught:
        refuse_odd_parts(value, "value", VALUE_DEPTH)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("value", "error", "why"),
    [
        *((value, (TypeError, ValueError), why) for name, (value, why) in ODD.items() if name != "nested"),
        (float("inf"), ValueError, r"value is inf"),
        ([2**64], ValueError, r"value\[0\] is an int of more than 64 bits"),
        ([-(2**63) - 1], ValueError, r"value\[0\] is an int of more than 64 bits"),
        (["\ud800"], ValueError, r"value\[0\] has half a surrogate pair"),
        ({"\ud800": 1}, ValueError, r"value\['\\ud800'\] has half a surrogate pair"),
        ({"a": {1, 2}}, TypeError, r"value\['a'\] is of type builtins\.set"),
        ({"x" * 500: object()}, TypeError, r"value\['x+\.\.\.\] is of type builtins\.object"),
        (nested(63), ValueError, r"nested deeper than"),
    ],
)
def test_a_program_is_refused_at_the_assignment_with_the_place(held: Held, value: Any, error: Any, why: str) -> None:
    with pytest.raises(error, match=why):
        held.stage(value)


def test_what_a_program_may_nest_deepest_can_be_read_again(held: Held) -> None:
    held.stage(nested(VALUE_DEPTH))
    (row,) = decode(encode(held.delivery(Outcome.FETCHED, "", 1 << 20).report), Report).rows
    assert payload.dumps(("#RETURN", [as_value((row,))]))


def forged(lease: int, ref: bytes, value: Any, item: str = "page", **more: Any) -> bytes:
    """Return an exchange with a row that no honest worker sends, as it arrives."""
    row = Row(item=item, index=0, fields={"fine": "text", "x": value})
    report = Report(lease=lease, ref=ref, outcome=Outcome.FETCHED, status=200, age_s=0.0, rows=(row,), **more)
    return encode(ExchangeRequest(session="s", reports=(report,)))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        *((value, why) for name, (value, why) in ODD.items() if name != "nested"),
        (float("nan"), "is nan"),
        (nested(FIELD_DEPTH + 1), "nested deeper than"),
        (nested(400), "nested deeper than"),
    ],
)
def test_a_page_with_a_forged_row_fails_alone_and_the_crawl_can_be_written_verified_and_exported(
    tmp_path: Path, value: Any, why: str
) -> None:
    crawl = DurableCrawl(tmp_path)
    crawl.begin()
    ((lease, robots),) = crawl.ask()
    honest = Report(lease=lease.id, ref=robots.ref, outcome=Outcome.HTTP_ERROR, status=404)
    ((lease, page),) = crawl.ask(honest)
    request = decode(forged(lease.id, page.ref, value, outlinks=(f"{SEED}1",)), ExchangeRequest)
    crawl.service.exchange(request, crawl.now)
    crawl.service.flush(crawl.now)
    task = crawl.store.rows(TaskRow, [page.ref])[page.ref]
    assert (task.state, task.reason) == (TaskState.FAILED, "extract_error")
    assert re.match(rf"a row cannot be kept: row\[0\]\['x'\].*{why}", task.detail)
    crawl.finish()
    crawl.close()
    assert [each for each in verify(tmp_path).invariants if each.broken] == []
    assert main(["export", str(tmp_path), "--to", str(tmp_path / "out.jsonl")]) == 0
    urls = [json.loads(line)["url"] for line in (tmp_path / ITEMS).read_bytes().splitlines()]
    assert urls == [f"{SEED}1", f"{SEED}3"]


def test_rows_of_a_page_that_gives_none_change_nothing_of_how_it_ends() -> None:
    row = Row(item="page", index=0, fields={"x": {None: 1}})
    sent = Report(lease=1, ref=b"r", outcome=Outcome.NETWORK_ERROR, reason="reset", rows=(row,))
    assert judged(sent, Kind.PAGE, POLICY) is sent


@pytest.mark.parametrize(("item", "depth"), [("page", FIELD_DEPTH), (VALUE_ITEM, VALUE_DEPTH)])
def test_what_may_be_nested_deepest_in_a_report_can_be_read_again(item: str, depth: int) -> None:
    for more, outcome in ((0, Outcome.FETCHED), (1, Outcome.EXTRACT_ERROR)):
        row = Row(item=item, index=0, fields={VALUE_ITEM: nested(depth + more)})
        report = judged(Report(lease=1, ref=b"r", outcome=Outcome.FETCHED, status=200, rows=(row,)), Kind.PAGE, POLICY)
        assert report.outcome is outcome
        if report.rows:
            assert payload.dumps(("#RETURN", [as_value(report.rows)]))


_KEYS = st.one_of(st.text(max_size=3), st.none(), st.booleans(), st.integers(-3, 3), st.binary(max_size=2))
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.builds(Ext, st.integers(0, 9), st.binary(max_size=3)),
    st.datetimes(timezones=st.just(UTC)),
    st.integers(50, 70).map(nested),
)
_VALUES = st.recursive(
    _LEAVES,
    lambda parts: st.one_of(st.lists(parts, max_size=3), st.dictionaries(_KEYS, parts, max_size=3)),
    max_leaves=8,
)


@given(value=_VALUES)
def test_what_is_accepted_can_be_written_by_every_sink_and_sent_to_programs(value: Any) -> None:
    (arrived,) = decode(forged(1, b"r", value), ExchangeRequest).reports
    report = judged(arrived, Kind.PAGE, policy_with(POLICY))
    if not report.rows:
        assert report.outcome is Outcome.EXTRACT_ERROR
        return
    assert report is arrived
    recorded: Result = msgspec.structs.replace(result(1), rows=report.rows)
    stored = msgspec.msgpack.decode(msgspec.msgpack.encode(recorded), type=Result)
    for kind in KINDS:
        assert b"".join(kind.rows_of(stored))
    msgspec.msgpack.decode(msgspec.msgpack.encode(as_value(stored.rows)))
