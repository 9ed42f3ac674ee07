"""The rows that a job's rules or sinks reject, in a file of its own: `rejected.jsonl`, a JSON object a row.

It is a sink like any other: it follows the committed log, from which it is determined, so that a crash loses and
doubles no row. Its file is created when the first row is rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.results.columns import Layout
from crawlfleet.coordinator.results.rows import rejected_rows
from crawlfleet.coordinator.sinks.late_sink import LateSink
from crawlfleet.coordinator.sinks.line_file import LineFile
from crawlfleet.coordinator.sinks.line_sink import Lines, LineSink
from crawlfleet.coordinator.sinks.port import Rejected, Shape, SinkKind

REJECTED = "rejected.jsonl"
MAX_REASON_CHARS = 300
MAX_REPR_CHARS = 10_000
# So many sinks and reasons are named in the log.
MAX_SAID = 20

_encode = msgspec.json.Encoder().encode


class RejectedRows(Lines):
    """The kind of file that has what a job rejects: its rules (they have no name), and its sinks, each by its name."""

    def __init__(self, kinds: Mapping[str, SinkKind]) -> None:
        super().__init__(Shape(layout=Layout(())))
        self._kinds = kinds

    def open(self, path: Path, mark: Mark | None, *, power: bool) -> RejectedSink:
        """Open the file at its mark, if it exists."""
        return RejectedSink(self, path, mark, power=power)

    def all_of(self, result: Result) -> list[tuple[str | None, Rejected]]:
        """Return the rejected rows of a result, each with the name of the sink; None if a rule rejected it."""
        by_rules = [(None, Rejected(place, row, why)) for place, (row, why) in enumerate(rejected_rows(result))]
        return [*by_rules, *((name, each) for name, kind in self._kinds.items() for each in kind.rejects_of(result))]

    def lines_of(self, result: Result) -> bytes:
        """Return a line for each row that is rejected, by each sink."""
        return b"".join(_line_of(result, name, each) for name, each in self.all_of(result))

    def rejects_of(self, result: Result) -> list[Rejected]:  # noqa: ARG002  what cannot be written is described
        """Return nothing: it takes every row."""
        return []


class RejectedSink(LateSink):
    """The file of rejected rows, and how many it has."""

    def __init__(self, kind: RejectedRows, path: Path, mark: Mark | None, *, power: bool) -> None:
        self._kind = kind
        self._path = path
        self._said: set[tuple[str | None, str]] = set()
        self.rows = 0

        def create(mark: Mark | None) -> LineSink:
            return LineSink(kind, LineFile(path, mark, power=power))

        super().__init__(path, mark, create, lambda results: any(map(kind.all_of, results)))

    def restore(self, log: Iterator[Result], length: int) -> Mark:
        """See the port."""
        mark = super().restore(log, length)
        self.rows = sum(1 for _ in self._kind.read(self._path, whole=False))
        return mark

    def write(self, results: Sequence[Result]) -> Mark:
        """See the port."""
        found = [(result, name, each) for result in results for name, each in self._kind.all_of(result)]
        self.rows += len(found)
        for result, name, each in found:
            self._say(result, name, each)
        return super().write(results) if found or self.sink is not None else self.skip(results)

    def _say(self, result: Result, name: str | None, rejected: Rejected) -> None:
        said = (name, _cut(rejected.reason))
        if said in self._said or len(self._said) >= MAX_SAID:
            return
        self._said.add(said)
        structlog.get_logger().warning(
            "a row is rejected: it is set aside" if name is None else "a sink cannot take a row: it is set aside",
            sink=name,
            url=result.url,
            reason=said[1],
            detail=f"all such rows are in {self._path}",
        )


def _line_of(result: Result, name: str | None, rejected: Rejected) -> bytes:
    line = {"url": result.url, "item": rejected.row.get("item"), "sink": name, "reason": _cut(rejected.reason)}
    try:
        return _encode({**line, "row": rejected.row}) + b"\n"
    except Exception:  # noqa: BLE001  what JSON has no form for is described
        return _encode({**line, "row": _described(rejected.row)}) + b"\n"


def _described(row: dict[str, Any]) -> str:
    try:
        text = repr(row)
    except RecursionError:
        text = "nested too deep to be shown"
    return text[:MAX_REPR_CHARS].encode(errors="backslashreplace").decode()


def _cut(reason: str) -> str:
    text = " ".join(reason.split())[:MAX_REASON_CHARS]
    return text.encode(errors="backslashreplace").decode()
