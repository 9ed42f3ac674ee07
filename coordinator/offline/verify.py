"""`crawlfleet verify`: the proof, from a crawl's store and files, that it lost nothing and doubled nothing.

What is stored is checked by itself (`laws`). The sinks' files are read themselves, not only their marks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec

from crawlfleet.coordinator.conduct.tallies import TALLIES, told
from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.crawl_folder import refuse_if_running
from crawlfleet.coordinator.frontier.port import StoreReader
from crawlfleet.coordinator.frontier.registry import StorePlace, place_named
from crawlfleet.coordinator.losses import loss_of
from crawlfleet.coordinator.offline.laws import Invariant, check_store
from crawlfleet.coordinator.offline.tables import TABLES, TableSource
from crawlfleet.coordinator.results.columns import Layout
from crawlfleet.coordinator.results.rows import as_results
from crawlfleet.coordinator.served_folders import why_stale
from crawlfleet.coordinator.sinks.outputs import Output, outputs_in, outputs_of
from crawlfleet.coordinator.sinks.port import SinkKind, SinkUnreachable
from crawlfleet.coordinator.sinks.registry import entry_for
from crawlfleet.coordinator.sinks.rejected_sink import REJECTED, RejectedRows
from crawlfleet.shared.status import Cause, ItemCount

Results = Callable[[], Iterator[Result]]

SHOWN_BYTES = 200


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `verify`. `unfinished` counts tasks that are not final (yet), or have links that wait.

    `links_not_admitted` counts links to URLs of `full_hosts` beyond `limits.known_per_host`; `links_left_out` and
    `rows_left_out` what other limits left out of `capped_pages`. `causes` say why pages failed, were dropped, or gave
    no rows. `items` counts rows, and what went wrong with their values.
    """

    invariants: tuple[Invariant, ...]
    unfinished: int
    full_hosts: int = 0
    full_hosts_named: tuple[str, ...] = ()
    links_not_admitted: int = 0
    causes: tuple[Cause, ...] = ()
    capped_pages: int = 0
    links_left_out: int = 0
    rows_left_out: int = 0
    items: tuple[ItemCount, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether nothing is broken."""
        return not any(invariant.broken for invariant in self.invariants)


def verify(crawl: Path | str) -> Proof:
    """Check a crawl, named by its folder or its address.

    Raise `UsageError` if there is no readable crawl, or it is running.
    """
    place = _at_rest(crawl)
    with closing(place.read()) as reader:
        in_store, seen, unfinished = check_store(reader)
        unseen = _why_unseen(reader, place)
        sinks = tuple(_check_sinks(reader, place.folder, unseen, whole=not unfinished))
        tables = tuple(_check_tables(reader, place.folder, unseen)) if not unfinished else ()
        lost = _check_commits(reader, place, unseen)
        full, left_out = reader.ledger.full, reader.ledger.left_out
        return Proof(
            invariants=(*in_store, lost, *sinks, *tables),
            unfinished=unfinished,
            full_hosts=full.hosts,
            full_hosts_named=full.named,
            links_not_admitted=full.links,
            causes=seen.causes,
            capped_pages=left_out.pages,
            links_left_out=left_out.links,
            rows_left_out=left_out.rows,
            items=told(reader.kept(TALLIES), (), reader.ledger.rows),
        )


def _at_rest(crawl: Path | str) -> StorePlace:
    if isinstance(crawl, Path):
        refuse_if_running(crawl)
    place = place_named(crawl)
    place.refuse_if_running()
    return place


def _check_commits(reader: StoreReader, place: StorePlace, unseen: str) -> Invariant:
    """Compare the number of commits and results with what the folder and the marks of sinks know of."""
    outputs = [each for each in outputs_of(reader.job, place.folder or Path()) if not (unseen and each.is_of_folder)]
    invariant = Invariant(name="every commit that was acknowledged is there")
    sentence = loss_of(reader, place, outputs).sentence
    invariant.check(not sentence, sentence)
    return invariant


def _why_unseen(reader: StoreReader, place: StorePlace) -> str:
    """Return why the files in a crawl's folder cannot be looked at; empty if they can."""
    if place.folder is None:
        return "was not looked at: it is in the crawl's folder, and only its address was named"
    stale = why_stale(reader, place)
    return f"is stale, and was not looked at: {stale}" if stale else ""


def _check_tables(reader: StoreReader, folder: Path | None, unseen: str) -> Iterator[Invariant]:
    """Compare the files of the job's tables with what the tables have now."""
    for name, file in (reader.job.get("tables") or {}).items():
        if not file:
            continue
        if folder is None or unseen:
            yield Invariant(name=f"{file} {unseen}")
            continue
        source = TABLES[name]
        (output,) = outputs_in(folder / file, entry_for(file), Layout((source.table,)), {})
        if output.entry.reads_back and output.path.exists():
            invariant = Invariant(name=f"{file} has the rows of the table {name}, each once")
            results = partial(_results_of, source, reader)
            yield _check_sink(results, output.kind, output.path, invariant, whole=True)
        else:
            yield Invariant(name=f"{file} is not there, or cannot be read back, and was not looked at")


def _results_of(source: TableSource, reader: StoreReader) -> Iterator[Result]:
    return as_results(source.table, source.rows(reader))


def _check_sinks(reader: StoreReader, folder: Path | None, unseen: str, *, whole: bool) -> Iterator[Invariant]:
    """Compare the rows in each sink, and those that are rejected, with the rows of the results."""
    outputs = outputs_of(reader.job, folder or Path())
    results = partial(_all_results, reader)
    kinds = {output.name: output.kind for output in outputs}
    for output in outputs:
        name = output.name
        if unseen and output.is_of_folder:
            yield Invariant(name=f"{name} {unseen}")
        elif output.entry.reads_back:
            invariant = Invariant(name=f"{name} has the rows of the results, each once")
            try:
                yield _check_sink(results, output.kind, output.path, invariant, whole=whole)
                if output.is_put:
                    yield _check_put(output)
            except SinkUnreachable as error:
                yield Invariant(name=f"{name} was not looked at: {error}")
        else:
            yield Invariant(name=f"{name} cannot be read back, and was not looked at")
    if folder is None or unseen:
        return
    invariant = Invariant(name=f"{REJECTED} has the rows that are rejected, each once")
    checked = _check_sink(results, RejectedRows(kinds), folder / REJECTED, invariant, whole=whole)
    if checked.checked:
        yield checked


def _check_put(output: Output) -> Invariant:
    """Compare what is at an address, or below it, with what was put there last, by its size."""
    from crawlfleet.coordinator.sinks.object_sink import noted_at, size_at

    invariant = Invariant(name=f"{output.name} is there as it was put last")
    for address, put in noted_at(output.path).sizes.items():
        size = size_at(address)
        invariant.check(size == put, f"{address} has {size} bytes, put were {put}")
    return invariant


def _check_sink(results: Results, kind: SinkKind, path: Path, invariant: Invariant, *, whole: bool) -> Invariant:
    """Compare the rows in a file with the rows of some results; each must be there equally often.

    Unless the crawl is finished, the sink may be behind the log and its last row torn: a resumed crawl repairs both.
    """
    missing: Counter[int] = Counter(hash(row) for _, row in _rows(results, kind))
    for place, row in enumerate(kind.read(path, whole=whole), 1):
        missing[hash(row)] -= 1
        holds = missing[hash(row)] >= 0
        invariant.check(holds, "" if holds else f"row {place} is of no result, or there twice: {_shown(row)}")
    missing = +missing
    for url, row in _rows(results, kind) if whole and missing else ():
        if missing[hash(row)] > 0:
            missing[hash(row)] -= 1
            invariant.check(False, f"a row of {url or path.name} is missing")
    return invariant


def _all_results(reader: StoreReader) -> Iterator[Result]:
    return (result for _, result in reader.results())


def _rows(results: Results, kind: SinkKind) -> Iterator[tuple[str, bytes]]:
    for result in results():
        yield from ((result.url, row) for row in kind.rows_of(result))


def _shown(row: bytes) -> str:
    text = row[:SHOWN_BYTES].decode(errors="replace").strip()
    return text.encode("unicode_escape").decode("ascii")
