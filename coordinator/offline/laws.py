"""What holds of a stored crawl, whatever became of its files: the laws of its log, its tasks and its results.

The log of changes is replayed through the core's table of transitions, and the result is compared with the tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import msgspec

from crawlfleet.coordinator.conduct.causes import SITEMAP, cause, end_of_check, in_order, sample_of
from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.rows import FINAL, TaskRow, TaskState
from crawlfleet.coordinator.core.transitions import SETTLING, TRANSITIONS
from crawlfleet.coordinator.frontier.port import StoreReader
from crawlfleet.coordinator.frontier.story import ACCEPTED, EVENTS, LEASED, LED_ON, StoryLine
from crawlfleet.shared.messages import Kind, Outcome
from crawlfleet.shared.status import Cause
from crawlfleet.shared.web.urls import split_fingerprints

SHOWN = 10
LINES_AT_ONCE = 500
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


class Seen(NamedTuple):
    """What was found among the tasks: URLs of fetched pages, how often each was, the numbers of their lines of seeds
    files, how many URLs each host has, and how many pages, sitemaps or checks ended in each way for each reason, with
    the last of them."""

    urls: dict[int, str]
    fetched: Counter[int]
    lines: dict[int, int]
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


def laws_of(reader: StoreReader) -> tuple[Invariant, ...]:
    """Return what `verify` proves of a stored crawl, without looking at files and other destinations of rows."""
    return check_store(reader)[0]


def check_store(reader: StoreReader) -> tuple[tuple[Invariant, ...], Seen, int]:
    """Check what is stored; return what was found among the tasks, too, and how many of them are unfinished."""
    replay = Replay(reader.name_of)
    outlinks = _check_outlinks(reader, replay)
    seen = Seen({}, Counter(), {}, Counter(), Counter(), {})
    states, unfinished = _check_states(reader, replay, seen)
    unfinished += sum(1 for _ in reader.leading_on())
    results = _check_results(reader, seen.urls, seen.fetched)
    known = _check_known(reader, seen.known)
    budget = Invariant(name="pages counted as fetched are the pages that were")
    budget.check(reader.ledger.pages_fetched == seen.fetched.total(), f"counted {reader.ledger.pages_fetched}")
    links = _check_links(reader, replay.links_bytes)
    lines = _check_seed_lines(reader, seen.lines)
    always = (states, replay.legal, replay.current, outlinks, results, budget, known)
    return (*always, *links, *lines), seen, unfinished


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


def _check_states(reader: StoreReader, replay: Replay, seen: Seen) -> tuple[Invariant, int]:
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
            if task.seed_line:
                seen.lines[number] = task.seed_line
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


def _check_seed_lines(reader: StoreReader, lines: dict[int, int]) -> Iterator[Invariant]:
    """Compare the lines of seeds files in results with those that led to their pages, if there are any."""
    invariant = Invariant(name="every page that a line of a seeds file led to was recorded with it")
    results = ((number, result) for number, result in reader.results() if number in lines or result.seed_line)
    while some := list(islice(results, LINES_AT_ONCE)):
        stored = reader.seed_lines({lines[number] for number, _ in some if number in lines})
        for number, result in some:
            row = stored.get(lines.get(number, 0))
            is_late = row is not None and row.is_late and result.seed_line is None
            holds = row is not None and (is_late or row.line == result.seed_line)
            invariant.check(holds, "" if holds else f"{reader.name_of(number)}: {result.seed_line}, not {row}")
    if invariant.checked:
        yield invariant


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
