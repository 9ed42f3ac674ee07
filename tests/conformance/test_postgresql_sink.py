"""What the kinds of sinks keep to (`test_sinks`), over a real PostgreSQL server: a path of these tests is a schema."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path, PosixPath
from typing import Any

import msgspec
import psycopg
import pytest

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.sinks.port import Rejected, Sink, SinkKind
from crawlfleet.coordinator.sinks.registry import SERVICES
from tests.conformance import test_sinks as suite
from tests.conformance.test_sinks import (  # noqa: F401  tests, collected here with the fixtures of this module
    test_a_mark_that_is_behind_its_sink_doubles_nothing,
    test_a_sink_goes_on_where_it_was,
    test_a_sink_is_taken_back_with_a_log_that_was_cut_short,
    test_a_sink_may_be_written_by_another_thread_than_the_one_that_opens_and_closes_it,
    test_a_sink_that_is_gone_is_written_again,
    test_a_sink_that_lost_its_mark_is_known_by_the_log,
    test_rows_are_there_once_however_the_log_is_cut_into_batches,
    test_the_sink_of_another_crawl_is_refused_by_name_and_left_alone,
    test_what_is_somebody_elses_is_refused_by_name_and_left_alone,
    test_what_was_never_written_has_no_rows,
    test_what_was_written_is_read_back,
)
from tests.shapes import QUOTES
from tests.site.postgresql_server import PostgresqlServer, programs

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(programs() is None, reason="not installed: postgresql"),
]
ENTRY = SERVICES["postgresql"]
# Of some thousand calls: each death takes a process and some connections.
DEATHS = 40


class Schema(PosixPath):
    """A path that stands for a schema of the same name, in the place of a file."""

    address = ""

    @property
    def schema(self) -> str:
        return str(self)[-60:]

    def unlink(self, missing_ok: bool = False) -> None:  # noqa: ARG002  as a path has it
        self.execute(f'DROP SCHEMA "{self.schema}" CASCADE')

    def write_bytes(self, data: Any) -> int:
        self.execute(f'CREATE SCHEMA "{self.schema}"')
        self.execute(f'CREATE TABLE "{self.schema}".quote (data) AS SELECT %s::bytea', data)
        return len(data)

    def read_bytes(self) -> bytes:
        found: bytes = self.execute(f'SELECT data FROM "{self.schema}".quote')[0][0]
        return found

    def execute(self, query: Any, *values: Any) -> list[Any]:
        with psycopg.connect(self.address, autocommit=True) as db:
            cursor = db.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []


class BySchema:
    """The kind, each of its sinks in the schema that its path stands for."""

    def __init__(self, address: str) -> None:
        self._address = address

    @cached_property
    def _any(self) -> SinkKind:
        return self.at(Path("any"))

    def at(self, path: Path) -> SinkKind:
        return ENTRY.made_for(
            msgspec.structs.replace(QUOTES, address=self._address, crawl="shop", schema_name=str(path)[-60:])
        )

    def open(self, path: Path, mark: Mark | None, *, power: bool) -> Sink:
        return self.at(path).open(path, mark, power=power)

    def read(self, path: Path, *, whole: bool) -> Iterator[bytes]:
        return self.at(path).read(path, whole=whole)

    def remove(self, path: Path) -> None:
        self.at(path).remove(path)

    def rows_of(self, result: Result) -> list[bytes]:
        return self._any.rows_of(result)

    def rejects_of(self, result: Result) -> list[Rejected]:
        return self._any.rejects_of(result)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with PostgresqlServer() as running:
        yield running


@pytest.fixture
def kind(server: PostgresqlServer) -> SinkKind:
    return BySchema(server.address())


transactional = kind


@pytest.fixture
def path(server: PostgresqlServer, tmp_path: Path) -> Path:
    Schema.address = server.address()
    return Schema(tmp_path / "folder" / suite.NAME)


def test_a_death_at_any_call_leaves_a_whole_number_of_transactions_and_nothing_is_lost_torn_or_doubled(
    kind: SinkKind, tmp_path: Path, server: PostgresqlServer
) -> None:
    Schema.address = server.address()
    before, after = suite.rows(kind, suite.LOG[: suite.HALF]), suite.rows(kind, suite.LOG)
    left = []
    stride = _calls_of_second_half(kind, Schema(tmp_path / "counted")) // DEATHS + 1
    for call in itertools.count(0, stride):
        path = Schema(tmp_path / f"death-{call}")
        mark = suite.written(kind, path, suite.LOG[: suite.HALF])
        died = _dies_in_second_half(kind, path, mark, call)
        left.append(suite.found(kind, path))
        assert suite.followed(kind, path, mark) == after, f"killed at call {call}"
        path.unlink()
        if not died:
            break
    assert left == [before] * left.count(before) + [after] * left.count(after)
    assert left.count(before) > 10
    assert left.count(after) > 0


def _calls_of_second_half(kind: SinkKind, path: Path) -> int:
    mark = suite.written(kind, path, suite.LOG[: suite.HALF])
    calls = itertools.count()
    with closing(kind.open(path, mark, power=False)) as sink:
        sys.setprofile(lambda *_: (next(calls), None)[1])
        sink.write(suite.LOG[suite.HALF :])
        sys.setprofile(None)
    return next(calls)


def _dies_in_second_half(kind: SinkKind, path: Path, mark: Mark, call: int) -> bool:
    """Write the rest of the log in a process that is killed at its n-th call or return; say whether it came to that."""
    child = os.fork()
    if child == 0:
        try:
            with closing(kind.open(path, mark, power=False)) as sink:
                left = iter(range(call))
                sys.setprofile(lambda *_: suite._die_after(left))
                sink.write(suite.LOG[suite.HALF :])
                sys.setprofile(None)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.waitstatus_to_exitcode(status) == 0
    return False
