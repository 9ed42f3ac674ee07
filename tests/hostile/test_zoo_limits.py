"""Whole crawls of pages of the zoo that take more memory, or more CPU time, than a page may: they alone fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.shared.reasons import Reason
from tests.hostile.zoo import page
from tests.integration.sick_crawl import OTHERS, crawl

pytestmark = pytest.mark.long

# What a process may have. Trees of bs4 are built so slowly that their pages come to the end of their time before.
MEMORY_MB = {"turbohtml": 400, "lexbor": 400, "bs4": 1_000}
JOB = "parse: {{engine: {engine}}}\nlimits: {{cpu: 3s}}\nscope: {{exclude: [/found/]}}"
# How the largest and the slowest whole pages end.
ENDS = {
    "turbohtml": {"bold-numbered": Reason.OUT_OF_MEMORY, "bold-in-blocks": Reason.OUT_OF_MEMORY},
    "lexbor": {
        "bold-in-blocks": Reason.OUT_OF_MEMORY,
        "foster-tables": Reason.OUT_OF_MEMORY,
        "attributes": Reason.CPU_LIMIT,
    },
    "bs4": {"nobr": Reason.CPU_LIMIT, "foster-tables": Reason.CPU_LIMIT},
}


@pytest.mark.parametrize("engine", sorted(PARSE_ENGINES))
def test_a_page_that_takes_too_much_fails_by_its_name_and_no_other_does(tmp_path: Path, engine: str) -> None:
    ends = ENDS[engine]
    within = ("sh", "-c", f'ulimit -S -d {MEMORY_MB[engine] * 1024}; exec "$@"', "sh")
    found = crawl(tmp_path, JOB.format(engine=engine), "", {f"/{name}": page(name) for name in ends}, within)
    assert found.code == 0, found.printed
    failed = {str(line["url"]).rpartition("/")[2]: line["reason"] for line in found.logged("page failed")}
    assert failed == ends
    assert (found.summary["fetched"], found.summary["failed"]) == (OTHERS + 1, len(ends))
    assert found.events[TaskEvent.POISONED] == list(ends.values()).count(Reason.OUT_OF_MEMORY)
