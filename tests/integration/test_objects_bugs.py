"""A bug in a method of an object is its caller's alone: nothing has changed, and the coordinator goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlfleet import Fleet, connect
from crawlfleet.coordinator.core.objects.desk import Desk, Method
from crawlfleet.coordinator.core.objects.registry import OBJECTS
from crawlfleet.coordinator.core.objects.values import ValueRow
from crawlfleet.coordinator.core.rows import succeed
from crawlfleet.errors import RemoteError
from tests.site.served_crawl import served


@pytest.fixture
def fleets(tmp_path: Path) -> Iterator[tuple[Fleet, Fleet]]:
    with served(tmp_path, wait=True) as crawl, connect(crawl.token) as one, connect(crawl.token) as two:
        yield one, two


def _stumble(desk: Desk, row: ValueRow, *_args: object) -> None:
    if not desk.call.method.startswith("get"):
        desk.put(succeed(row, value=99))
    raise ValueError("a bug")


@pytest.mark.parametrize("method", ["add", "get"])
def test_a_method_that_fails_half_way_has_changed_nothing_and_ends_nobody(
    fleets: tuple[Fleet, Fleet], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    mine, theirs = (fleet.Value("n") for fleet in fleets)
    real = OBJECTS["Value"].methods[method]
    with monkeypatch.context() as patched:
        patched.setitem(OBJECTS["Value"].methods, method, Method(_stumble, real.arguments, reads=real.reads))
        with pytest.raises(RemoteError, match="InternalError"):
            getattr(mine, method)(*[5][: method == "add"])
    assert theirs.add(2) == 2
    assert mine.add(2) == 4
    assert theirs.get() == 4
