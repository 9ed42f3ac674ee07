"""`crawlfleet verify`: the proof, from a crawl's files, that it lost nothing and doubled nothing.

The log of changes is replayed through the core's table of transitions, and the result is compared with the tables. The
sinks' files are read themselves, not only their marks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from crawlfleet.coordinator.conduct.causes import SITEMAP, cause, end_of_check, in_order, sample_of
from crawlfleet.coordinator.conduct.tallies import TALLIES, told
from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.rows import FINAL, Result, TaskRow, TaskState
from crawlfleet.coordinator.core.transitions import SETTLING, TRANSITIONS
from crawlfleet.coordinator.crawl_folder import refuse_if_running
from crawlfleet.coordinator.frontier.port import StoreReader
from crawlfleet.coordinator.frontier.registry import open_reader
from crawlfleet.coordinator.frontier.story import ACCEPTED, EVENTS, LEASED, LED_ON, StoryLine
from crawlfleet.coordinator.offline.tables import TABLES, TableSource
from crawlfleet.coordinator.results.columns import Layout
from crawlfleet.coordinator.results.rows import as_results
from crawlfleet.coordinator.sinks.outputs import Output, outputs_in, outputs_of
from crawlfleet.coordinator.sinks.port import SinkKind, SinkUnreachable
from crawlfleet.coordinator.sinks.registry import entry_for
from crawlfleet.coordinator.sinks.rejected_sink import REJECTED, RejectedRows
from crawlfleet.shared.messages import Kind, Outcome
from crawlfleet.shared.status import Cause, ItemCount
from crawlfleet.shared.web.urls import split_fingerprints

Results = Callable[[], Iterator[Result]]

SHOWN = 10
SHOWN_BYTES = 200
# After these events no report counts until the task is granted again.
DISOWNED = frozenset(
    {TaskEvent.RELEASED, TaskEvent.REFUSED, TaskEvent.POISONED, TaskEvent.RECHECKED, TaskEvent.ADOPTED}
)


class Invariant(msgspec.Struct, kw_only=True):
    """A condition that must hold: how often it was checked, how often it did not hold, and some of the places."""

    name: str
    checked: int = 0
    broken: int = 0
    where: list[str] = []

    def check(self, holds: bool, where: str) -> None:
        """Count one case."""
        self.checked += 1
        if not holds:
            self.broken += 1
            if len(self.where) < SHOWN:
                self.where.append(where)


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


class _Seen(NamedTuple):
    """What was found among the tasks: URLs of fetched pages, how often each was, how many URLs each host has, and how
    many pages, sitemaps or checks ended in each way for each reason, with the last of them."""

    urls: dict[int, str]
    fetched: Counter[int]
    known: Counter[str]
    reasons: Counter[tuple[str, str]]
    last: dict[tuple[str, str], TaskRow]

    def note_reason(self, task: TaskRow) -> None:
        """Count a page, sitemap or check that ended for a reason."""
        ended = SITEMAP if task.kind is Kind.SITEMAP else task.state.value
        key = (end_of_check(task.state, task.reason) if task.kind is Kind.CHECK else ended, task.reason)
        self.reasons[key] += 1
        self.last[key] = task

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Why pages, sitemaps and checks failed or were dropped, or why pages gave no rows."""
        return in_order(cause(*key, number, sample_of(self.last[key])) for key, number in self.reasons.items())


class Replay:
    """Replays the log of changes through the table of transitions: the state and the current lease of each task."""

    def __init__(self, name: Callable[[int], str]) -> None:
        self._name = name
        self.states: dict[int, TaskState | None] = {}
        self._lease: dict[int, int] = {}
        self._settling: dict[int, int] = {}
        #: How many bytes of links were recorded of each page.
        self.links_bytes: dict[int, int] = {}
        self.legal = Invariant(name="every change is one that the rules allow")
        self.current = Invariant(name="every accepted report came from a lease that was current")

    def play(self, line: StoryLine) -> None:
        """Apply one line of the log."""
        if line.event in (LED_ON, LEASED):
            return
        if line.event == ACCEPTED:
            held = self._settling.pop(line.task, 0)
            self._check(self.current, line.lease == held != 0, line.task, f"lease {line.lease}, not {held}")
            if line.answer is not None and line.answer.links_bytes:
                self.links_bytes[line.task] = line.answer.links_bytes
            return
        event = TaskEvent(EVENTS[line.event])
        before = self.states.get(line.task)
        after = TRANSITIONS.get((before, event))
        self._check(self.legal, after is not None, line.task, f"{event} when {before or 'new'}")
        self.states[line.task] = after if after is not None else before
        if event in SETTLING:
            self._settling[line.task] = self._lease.pop(line.task, 0)
        elif event is TaskEvent.PART:
            self._settling[line.task] = self._lease.get(line.task, 0)
        elif event is TaskEvent.GRANTED:
            self._lease[line.task] = line.lease
        elif event in DISOWNED:
            self._lease.pop(line.task, None)

    def _check(self, invariant: Invariant, holds: bool, task: int, what: str) -> None:
        invariant.check(holds, "" if holds else f"{self._name(task)}: {what}")


def verify(folder: Path) -> Proof:
    """Check a crawl's folder; raise `UsageError` if it holds no readable crawl, or the crawl is running."""
    refuse_if_running(folder)
    with closing(open_reader(folder)) as reader:
        replay = Replay(reader.name_of)
        outlinks = _check_outlinks(reader, replay)
        seen = _Seen({}, Counter(), Counter(), Counter(), {})
        states, unfinished = _check_states(reader, replay, seen)
        unfinished += sum(1 for _ in reader.leading_on())
        results = _check_results(reader, seen.urls, seen.fetched)
        known = _check_known(reader, seen.known)
        budget = Invariant(name="pages counted as fetched are the pages that were")
        budget.check(reader.ledger.pages_fetched == seen.fetched.total(), f"counted {reader.ledger.pages_fetched}")
        links = _check_links(reader, replay.links_bytes)
        sinks = tuple(_check_sinks(reader, folder, whole=not unfinished))
        tables = tuple(_check_tables(reader, folder)) if not unfinished else ()
        invariants = (states, replay.legal, replay.current, outlinks, results, budget, known, *links, *sinks, *tables)
        full, left_out = reader.ledger.full, reader.ledger.left_out
        return Proof(
            invariants=invariants,
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


def _check_outlinks(reader: StoreReader, replay: Replay) -> Invariant:
    """Replay the log, and look up every outlink of every accepted page."""
    invariant = Invariant(name="every outlink of an accepted page is a task of the crawl")
    for line in reader.story():
        replay.play(line)
        outlinks = split_fingerprints(line.outlinks)
        known = reader.known(outlinks) if outlinks else set()
        for ref in outlinks:
            holds = ref in known
            invariant.check(holds, "" if holds else f"{reader.name_of(line.task)}: its outlink {ref.hex()} is no task")
    return invariant


def _check_states(reader: StoreReader, replay: Replay, seen: _Seen) -> tuple[Invariant, int]:
    """Compare the tasks' states with those of the log; collect what is `seen`."""
    invariant = Invariant(name="every discovered URL is in the one state that its history leads to")
    unfinished = 0
    for number, ref, task in reader.tasks():
        logged = replay.states.pop(number, None)
        holds = task.state is logged and task.ref == ref and task.order == number
        invariant.check(holds, f"{task.url} is {task.state}, its history: {logged}")
        unfinished += task.state not in FINAL
        seen.known[task.host] += task.kind is not Kind.ROBOTS
        if task.kind is not Kind.ROBOTS and task.state in FINAL and task.reason:
            seen.note_reason(task)
        if task.kind is Kind.PAGE and task.state is TaskState.DONE and task.outcome is Outcome.FETCHED:
            seen.fetched[number] += 1
            seen.urls[number] = task.url
    for number in replay.states:
        invariant.check(False, f"task {number} has a history, but is not there")
    return invariant, unfinished


def _check_known(reader: StoreReader, known: Counter[str]) -> Invariant:
    """Compare how many URLs each host counts as known with how many there are."""
    invariant = Invariant(name="every host counts the URLs that are known of it")
    for host in reader.hosts():
        number = known.pop(host.key, 0)
        invariant.check(host.known == number, f"{host.key} has {number}, counted {host.known}")
    for key in +known:
        invariant.check(False, f"{key} counts none")
    return invariant


def _check_results(reader: StoreReader, urls: dict[int, str], fetched: Counter[int]) -> Invariant:
    invariant = Invariant(name="every fetched page has exactly one result")
    found = Counter(task for task, _ in reader.results())
    for number in fetched.keys() | found.keys():
        name = urls.get(number) or reader.name_of(number)
        invariant.check(
            found[number] == fetched[number] == 1, f"{name}: {found[number]} results, fetched {fetched[number]} times"
        )
    return invariant


def _check_links(reader: StoreReader, links_bytes: dict[int, int]) -> Iterator[Invariant]:
    """Compare the recorded links of pages with what the log says of them, if there are any."""
    invariant = Invariant(name="the links of each page are recorded as its report had them, once")
    for number, packed in reader.links():
        size = links_bytes.pop(number, 0)
        invariant.check(len(packed) == size, f"{reader.name_of(number)}: {len(packed)} bytes of links, not {size}")
    for number in links_bytes:
        invariant.check(False, f"{reader.name_of(number)}: its links are missing")
    if invariant.checked:
        yield invariant


def _check_tables(reader: StoreReader, folder: Path) -> Iterator[Invariant]:
    """Compare the files of the job's tables with what the tables have now."""
    for name, file in (reader.job.get("tables") or {}).items():
        if not file:
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


def _check_sinks(reader: StoreReader, folder: Path, *, whole: bool) -> Iterator[Invariant]:
    """Compare the rows in each sink, and those that are rejected, with the rows of the results."""
    outputs = outputs_of(reader.job, folder)
    results = partial(_all_results, reader)
    kinds = {output.name: output.kind for output in outputs}
    for output in outputs:
        name = output.name
        if output.entry.reads_back:
            invariant = Invariant(name=f"{name} has the rows of the results, each once")
            try:
                yield _check_sink(results, output.kind, output.path, invariant, whole=whole)
                if output.is_put:
                    yield _check_put(output)
            except SinkUnreachable as error:
                yield Invariant(name=f"{name} was not looked at: {error}")
        else:
            yield Invariant(name=f"{name} cannot be read back, and was not looked at")
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
