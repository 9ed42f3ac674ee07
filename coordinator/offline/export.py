"""`crawlfleet export`: writes a crawl's rows, or one of its tables, at any time, also while the crawl runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import StoreReader
from crawlfleet.coordinator.frontier.registry import open_reader
from crawlfleet.coordinator.offline.tables import source_of
from crawlfleet.coordinator.results.columns import Layout, layout_of
from crawlfleet.coordinator.results.rows import as_results
from crawlfleet.coordinator.sinks.addresses import check_address
from crawlfleet.coordinator.sinks.jsonl_sink import JsonLines
from crawlfleet.coordinator.sinks.outputs import Output, outputs_at, outputs_in
from crawlfleet.coordinator.sinks.port import ESCAPE, ServiceKind, Shape, Sink
from crawlfleet.coordinator.sinks.registry import entry_for
from crawlfleet.shared.errors import CrawlFailed, UsageError
from crawlfleet.shared.inert import inert_json
from crawlfleet.shared.streams import Output as Stream

BATCH = 500
USUAL = ".jsonl"


class Exported(NamedTuple):
    """How many pages and rows were written, how many rows the format cannot hold, and why the first one is not.

    `files` are the names of what was written, or its address.
    """

    results: int
    rows: int
    rejected: int
    why: str
    files: tuple[Path | str, ...] = ()


def export(
    crawl: Path | str, target: Path | str | None, *, overwrite: bool = False, formulas: str = ESCAPE
) -> Exported:
    """Write all committed rows of a crawl, named by its folder or its address, to a file, or to an address (standard
    output if None); return how many.

    The ending of the file's name selects the format, as for a sink; none means JSON Lines. A format with a file for
    each table makes several. Each is written completely or not at all. Raises `UsageError` if one exists already or
    the ending is unknown, or if there is no standard output, `CrawlFailed` if it cannot be written.
    """
    with closing(open_reader(crawl)) as reader:
        results = (result for _, result in reader.results())
        if isinstance(target, str):
            options = {"crawl": reader.job.get("name", ""), "formulas": formulas}
            return _send(results, layout_of(reader.job), target, options, overwrite=overwrite)
        return _export(results, layout_of(reader.job), target, overwrite=overwrite, formulas=formulas)


def export_table(
    crawl: Path | str, name: str, target: Path | str | None, *, overwrite: bool = False, formulas: str = ESCAPE
) -> Exported:
    """Write one of a crawl's tables (`tables.TABLES`) as `export` writes the rows of its pages."""
    with closing(open_reader(crawl)) as reader:
        table, rows = source_of(reader, name)
        results = as_results(table, rows(reader))
        if isinstance(target, str):
            options = {"crawl": f"{reader.job.get('name', '')} {name}", "formulas": formulas}
            return _send(results, Layout((table,)), target, options, overwrite=overwrite)
        return _export(results, Layout((table,)), target, overwrite=overwrite, formulas=formulas)


def write_table(reader: StoreReader, name: str, target: Path, is_stopped: Callable[[], bool]) -> Exported | None:
    """Write one of a crawl's tables in the place of a file, completely or not at all; None if that was stopped."""
    table, rows = source_of(reader, name)
    results = _until(as_results(table, rows(reader)), is_stopped)
    try:
        return _export(results, Layout((table,)), target, overwrite=True, formulas=ESCAPE)
    except _Stopped:
        return None


class _Stopped(Exception):
    """The rows of a table are not wanted any more."""


def _until(results: Iterable[Result], is_stopped: Callable[[], bool]) -> Iterator[Result]:
    for result in results:
        if is_stopped():
            raise _Stopped
        yield result


def _export(
    results: Iterator[Result], layout: Layout, target: Path | None, *, overwrite: bool, formulas: str
) -> Exported:
    if target is None:
        return _print(results, JsonLines(Shape(layout=layout)))
    entry = entry_for(target.name if target.suffix else USUAL)
    outputs = tuple(outputs_in(target, entry, layout, {"formulas": formulas}))
    taken = [output.path for output in outputs if output.path.exists()]
    if taken and not overwrite:
        raise UsageError(f"{taken[0]} exists already: name another file, or replace it by --overwrite")
    return _write(results, outputs)


def _print(results: Iterator[Result], kind: JsonLines) -> Exported:
    if isinstance(sys.stdout, Stream) and sys.stdout.was_closed:
        raise UsageError("the standard output is closed: name a file by --to")
    count = rows = 0
    is_terminal = sys.stdout.isatty()
    try:
        for result in results:
            lines = kind.lines_of(result)
            sys.stdout.buffer.write(inert_json(lines.decode()).encode() if is_terminal else lines)
            count += 1
            rows += len(result.rows)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise CrawlFailed(f"cannot write standard output: {error.strerror}") from error
    return Exported(count, rows, 0, "")


def _write(results: Iterator[Result], outputs: Sequence[Output]) -> Exported:
    """Write drafts beside the files, then put them in their places."""
    drafts = {output: output.path.with_name(f"{output.path.name}.tmp") for output in outputs}
    try:
        with ExitStack() as opened:
            sinks = []
            for output, draft in drafts.items():
                output.kind.remove(draft)
                sinks.append(opened.enter_context(closing(output.open(None, power=False, path=draft))))
            exported = _fill(sinks, results, outputs)
        written = [output for output, draft in drafts.items() if draft.exists()]
        for output in written:
            drafts[output].replace(output.path)
    except OSError as error:
        raise CrawlFailed(f"cannot write {outputs[0].path}: {error.strerror}") from error
    except _Stopped:
        for output, draft in drafts.items():
            output.kind.remove(draft)
        raise
    return exported._replace(files=tuple(output.path for output in written))


def _send(
    results: Iterator[Result], layout: Layout, address: str, options: Mapping[str, Any], *, overwrite: bool
) -> Exported:
    """Write to a service, or to files that are put at addresses when all are whole."""
    try:
        check_address(address)
    except ValueError as error:
        raise UsageError(str(error)) from error
    with TemporaryDirectory(prefix="crawlfleet-export-") as folder:
        outputs = tuple(outputs_at(address, Path(folder), layout, options))
        if outputs[0].is_put:
            return _put(results, outputs, overwrite=overwrite)
    with closing(cast("ServiceKind", outputs[0].kind).open_for_export(overwrite=overwrite)) as sink:
        return _fill([sink], results, outputs)._replace(files=(address,))


def _put(results: Iterator[Result], outputs: Sequence[Output], *, overwrite: bool) -> Exported:
    from crawlfleet.coordinator.sinks.object_sink import put, size_at

    for output in outputs:
        if not overwrite and size_at(output.shape.address) is not None:
            raise UsageError(f"{output.place} exists already: name another address, or replace it by --overwrite")
    outputs[0].path.parent.mkdir(parents=True, exist_ok=True)
    exported = _write(results, outputs)
    written = [output for output in outputs if output.path in exported.files]
    for output in written:
        put(output.path, output.shape.address)
    return exported._replace(files=tuple(output.shape.address for output in written))


def _fill(sinks: Sequence[Sink], results: Iterator[Result], outputs: Sequence[Output]) -> Exported:
    """Write all results to sinks, and make these whole."""
    count = rows = rejected = 0
    why = ""
    while batch := list(islice(results, BATCH)):
        for sink in sinks:
            sink.write(batch)
        count += len(batch)
        rows += sum(len(result.rows) for result in batch)
        for result, output in product(batch, outputs):
            for each in output.kind.rejects_of(result):
                rejected += 1
                why = why or f"of {result.url}: {each.reason}"
    for sink in sinks:
        sink.finish()
    return Exported(count, rows - rejected, rejected, why)
