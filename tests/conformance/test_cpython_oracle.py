"""CPython's own tests of what `multiprocessing` shares, as an oracle for named objects: see `cpython_oracle`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.conformance.cpython_oracle import GROUPS, Case, NoTests, Oracle, cases_of, find_tests
from tests.conformance.vectors import published
from tests.site.served_crawl import served

LIMIT_S = 30.0


class LeftOut(NamedTuple):
    """Why a case is not among those that must pass."""

    reason: str
    #: What its failure says; None if it cannot run by nature.
    shown_by: str | None
    #: Whether each Python has it.
    everywhere: bool = True


NO_MEMORY = "No memory is shared: there is no ctypes object, and nothing without a lock."
NO_FEEDER = "No thread feeds a queue: `put` itself sends, and refuses what cannot be shared."
NO_PROXIES = "Containers hold values, not other objects of the fleet: one shares the name of an object."
NO_DESCRIPTOR = "A pipe of the fleet has no file descriptor, and sends none."
NO_CLOSE = "Like a manager's, a queue has no `close`: it is everybody's."

LEFT_OUT = {
    "Array.test_getobj_getlock_obj": LeftOut(NO_MEMORY, "no attribute 'get_obj'"),
    "Array.test_rawarray": LeftOut(NO_MEMORY, "no attribute 'RawArray'"),
    "Connection.test_fd_transfer": LeftOut(NO_DESCRIPTOR, "Bad file descriptor"),
    "Connection.test_large_fd_transfer": LeftOut(NO_DESCRIPTOR, "Bad file descriptor"),
    "Connection.test_missing_fd_transfer": LeftOut(NO_DESCRIPTOR, "Bad file descriptor"),
    "Containers.test_dict_iter": LeftOut(
        "A loop over a dict goes on when others change it: it shows what was there when it began.",
        "RuntimeError not raised by next",
    ),
    "Containers.test_dict_proxy_nested": LeftOut(NO_PROXIES, "TypeError: .*Dict cannot be shared"),
    "Containers.test_list": LeftOut(NO_PROXIES, "TypeError: .*List cannot be shared"),
    "Containers.test_list_proxy_in_list": LeftOut(NO_PROXIES, "TypeError: .*List cannot be shared"),
    "Containers.test_nested_queue": LeftOut(NO_PROXIES, "TypeError: .*Queue cannot be shared"),
    "Event.test_repr": LeftOut("An object shows its name, not its address.", "Regex didn't match: .*EventProxy object"),
    "Queue.test_closed_queue_empty_exceptions": LeftOut(NO_CLOSE, "no attribute 'close'", everywhere=False),
    "Queue.test_closed_queue_put_get_exceptions": LeftOut(NO_CLOSE, "no attribute 'close'"),
    "Queue.test_no_import_lock_contention": LeftOut(NO_CLOSE, "no attribute 'close'"),
    "Queue.test_queue_feeder_donot_stop_onexc": LeftOut(NO_FEEDER, "TypeError: .* cannot be shared"),
    "Queue.test_queue_feeder_on_queue_feeder_error": LeftOut(
        f"{NO_FEEDER} It tests multiprocessing's own class.", None
    ),
    "Semaphore.test_timeout": LeftOut(
        "A manager's semaphore, and so ours, refuses a timeout for which nothing waits.",
        "ValueError: can't specify timeout for non-blocking acquire",
    ),
    "Value.test_getobj_getlock": LeftOut(NO_MEMORY, "no attribute 'get_obj'"),
    "Value.test_rawvalue": LeftOut(NO_MEMORY, "no attribute 'RawValue'"),
}

#: Classes and cases that check more if they take us for processes than for a manager.
LIKE_PROCESSES = {
    "_TestConnection",
    "Barrier.test_thousand",
    "Queue.test_queue_feeder_donot_stop_onexc",
    "Semaphore.test_timeout",
}
#: Cases that take longer: 1,000 passes of five processes through a barrier.
LONG = {"Barrier.test_thousand"}
LONG_LIMIT_S = 600.0

try:
    CASES = {str(case): case for case in cases_of(find_tests())}
except NoTests as missing:
    pytest.skip(str(missing), allow_module_level=True)

IF_LONG = [pytest.mark.long, pytest.mark.timeout(LONG_LIMIT_S + 60)]
MUST_PASS = [
    pytest.param(case, id=name, marks=IF_LONG if name in LONG else [])
    for name, case in CASES.items()
    if name not in LEFT_OUT
]
MUST_FAIL = [
    pytest.param(CASES[name], left_out.shown_by, id=name)
    for name, left_out in LEFT_OUT.items()
    if name in CASES and left_out.shown_by is not None
]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    folder = tmp_path_factory.mktemp("oracle")
    with served(folder, "http://never-asked.invalid/") as crawl, Oracle(crawl.token) as oracle:
        yield oracle


def like(case: Case) -> str:
    return "processes" if LIKE_PROCESSES & {case.group, str(case)} else "manager"


@pytest.mark.parametrize("case", MUST_PASS)
def test_an_object_of_the_fleet_passes(case: Case, oracle: Oracle) -> None:
    outcome = oracle.ask(case, like(case), LONG_LIMIT_S if str(case) in LONG else LIMIT_S)
    assert outcome.passed, outcome.why_not


@pytest.mark.parametrize(("case", "shown_by"), MUST_FAIL)
def test_what_is_left_out_fails_for_its_reason(case: Case, shown_by: str, oracle: Oracle) -> None:
    outcome = oracle.ask(case, like(case), LIMIT_S)
    assert re.search(shown_by, outcome.why_not), outcome.why_not or "it passes: it need not be left out"


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="no Python after 3.13 is counted")
@pytest.mark.parametrize("group", GROUPS)
def test_the_counts_of_a_class_are_those_published(group: str) -> None:
    names = [str(case) for case in CASES.values() if case.group == group]
    counted = [name for name in names if name not in LEFT_OUT or LEFT_OUT[name].everywhere]
    assert (len(counted), len(set(counted) - set(LEFT_OUT))) == published(f"`{group}`")


def test_each_case_is_run_or_left_out_by_name() -> None:
    names = {name for name, left_out in LEFT_OUT.items() if left_out.everywhere} | LONG | (LIKE_PROCESSES - {*GROUPS})
    assert names <= set(CASES), "a case has gone, or its name is misspelt"
    run = {param.id for param in MUST_PASS}
    assert run.isdisjoint(LEFT_OUT)
    assert run | set(LEFT_OUT) >= set(CASES)
    assert all(left_out.reason.endswith(".") for left_out in LEFT_OUT.values())
