"""Remembers of each reason the last task that ended for it, and what was said about that task.

It gets the same changes as the store, and keeps what it remembers there, in the same commit: so a later command can
tell it, too. How many pages have a reason is counted by the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from crawlfleet.coordinator.core.changes import Change, TaskEvent, TaskMoved
from crawlfleet.coordinator.core.rows import LedgerRow, TaskRow, TaskState
from crawlfleet.coordinator.frontier.port import Keeping
from crawlfleet.shared.messages import Kind, Outcome
from crawlfleet.shared.ranges import total
from crawlfleet.shared.reasons import UNSERVED, meaning_of
from crawlfleet.shared.status import Cause

MAX_URL_CHARS = 500
RETRIED = "retried"
SITEMAP = "sitemap"
BROKEN = "broken"
UNCHECKED = "unchecked"
MOST_OF_SEEDS = 10
MOST_OF_SITEMAPS = 100

_OUTCOMES = frozenset(outcome.value for outcome in Outcome)
# What moves a task without ending an attempt.
_ENDS_NOTHING = frozenset(
    {TaskEvent.GRANTED, TaskEvent.LOWERED, TaskEvent.ASKED, TaskEvent.UNASKED, TaskEvent.PART, TaskEvent.LISTED}
)
_WITHOUT_PAGE = frozenset({TaskState.FAILED, TaskState.DROPPED})
_SEEDS = "causes of seeds"
_SITEMAPS = "causes of sitemaps"

Verdicts = Mapping[tuple[TaskState, str], int]


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """The last task that ended for a reason, and what was said about it; of sitemaps, how many did."""

    url: str = ""
    detail: str = ""
    number: int = 0


class Causes:
    """The samples of one crawl, by how tasks ended and why."""

    def __init__(self, store: Keeping) -> None:
        self._store = store

    def note(self, changes: Sequence[Change]) -> None:
        """Keep the last task of each reason among changes that the store has taken."""
        last: dict[tuple[str, str], TaskRow] = {}
        of_seeds: dict[str, Sample] = {}
        for change in changes:
            if not isinstance(change, TaskMoved):
                continue
            task = change.task
            if task.kind is Kind.SITEMAP:
                self._note_sitemap(change)
            if not task.reason or change.event in _ENDS_NOTHING:
                continue
            if task.state in _WITHOUT_PAGE and task.depth == 0 and task.kind in (Kind.PAGE, Kind.SITEMAP):
                of_seeds[task.reason] = sample_of(task)
            ended = RETRIED if change.event is TaskEvent.RETRIED else _end_of(task)
            if ended:
                last[ended, task.reason] = task
        for (ended, reason), task in last.items():
            self._store.keep(_key(ended, reason), _encode(sample_of(task)))
        if of_seeds:
            some = list((self._kept(_SEEDS) | of_seeds).items())[:MOST_OF_SEEDS]
            self._store.keep(_SEEDS, _encode(dict(some)))

    def tell(self, verdicts: Verdicts, checks: Verdicts, ledger: LedgerRow) -> tuple[Cause, ...]:
        """Return all causes, the most frequent first."""
        counted = [
            *told(verdicts),
            *told_of_checks(checks),
            *((RETRIED, reason, number) for reason, number in ledger.retried.items()),
        ]
        causes = [cause(*each, self._sample(each[0], each[1])) for each in counted]
        sitemaps = self._kept(_SITEMAPS).items()
        return in_order([*causes, *(cause(SITEMAP, reason, sample.number, sample) for reason, sample in sitemaps)])

    def why_no_seed(self) -> tuple[str, ...]:
        """Return why seeds gave no page: a line for each reason, with the last seed and what was said about it."""
        return tuple(
            f"{reason}: {meaning_of(reason)} {f'{sample.detail} ' if sample.detail else ''}({sample.url})"
            for reason, sample in self._kept(_SEEDS).items()
        )

    def _note_sitemap(self, move: TaskMoved) -> None:
        if move.event is TaskEvent.REVIVED:
            self._count_no_more(move.task)
        elif move.task.reason and move.event not in _ENDS_NOTHING and move.task.state in _WITHOUT_PAGE:
            self._count_sitemap(move.task)

    def _count_sitemap(self, task: TaskRow) -> None:
        """Count a sitemap that failed or was dropped: the store counts pages only. Which one it was is kept, too."""
        sitemaps = self._kept(_SITEMAPS)
        known = sitemaps.get(task.reason)
        if known is not None or len(sitemaps) < MOST_OF_SITEMAPS:
            number = total(known.number if known is not None else 0, 1)
            sitemaps[task.reason] = msgspec.structs.replace(sample_of(task), number=number)
            self._store.keep(_SITEMAPS, _encode(sitemaps))
            self._store.keep(_key_of(task), task.reason.encode())

    def _count_no_more(self, task: TaskRow) -> None:
        """Take back what was counted of a sitemap that is to be read after all."""
        reason = (self._store.kept(_key_of(task)) or b"").decode()
        sitemaps = self._kept(_SITEMAPS)
        known = sitemaps.pop(reason, None)
        if known is None:
            return
        if known.number > 1:
            sitemaps[reason] = msgspec.structs.replace(known, number=known.number - 1)
        self._store.keep(_SITEMAPS, _encode(sitemaps))
        self._store.keep(_key_of(task), b"")

    def _kept(self, key: str) -> dict[str, Sample]:
        kept = self._store.kept(key)
        return {} if kept is None else _decode_some(kept)

    def _sample(self, ended: str, reason: str) -> Sample:
        kept = self._store.kept(_key(ended, reason))
        return Sample() if kept is None else _decode(kept)


def told(verdicts: Verdicts) -> list[tuple[str, str, int]]:
    """Return what users are told of: how pages ended, why, and how many.

    The verdict of a page that is DONE without a reason is its outcome, about which there is nothing to say.
    """
    return [
        (state.value, reason, number)
        for (state, reason), number in verdicts.items()
        if state in (TaskState.FAILED, TaskState.DROPPED) or (state is TaskState.DONE and reason not in _OUTCOMES)
    ]


def told_of_checks(verdicts: Verdicts) -> list[tuple[str, str, int]]:
    """Return what users are told of external links: whether they are broken or were not checked, why, and how many."""
    return [
        (end_of_check(state, reason), reason, number)
        for (state, reason), number in verdicts.items()
        if state in _WITHOUT_PAGE
    ]


def end_of_check(state: TaskState, reason: str) -> str:
    """Return how a check ended that is FAILED or DROPPED. A host where nothing serves the web has been asked."""
    return BROKEN if state is TaskState.FAILED or reason in UNSERVED else UNCHECKED


def _end_of(task: TaskRow) -> str:
    """Return how a page or a check ended; empty if it is none of these, or a check that has not ended."""
    if task.kind is Kind.CHECK and task.state in _WITHOUT_PAGE:
        return end_of_check(task.state, task.reason)
    return task.state.value if task.kind is Kind.PAGE else ""


def cause(ended: str, reason: str, number: int, sample: Sample) -> Cause:
    """Return a cause with the sentence of its reason."""
    meaning = meaning_of(reason)
    return Cause(ended=ended, reason=reason, number=number, meaning=meaning, url=sample.url, detail=sample.detail)


def in_order(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Return causes, the most frequent first."""
    return tuple(sorted(causes, key=lambda each: (-each.number, each.reason)))


def sample_of(task: TaskRow) -> Sample:
    """Return what is remembered of a task."""
    url = task.url if len(task.url) <= MAX_URL_CHARS else f"{task.url[:MAX_URL_CHARS]}..."
    return Sample(url, task.detail)


def _key(ended: str, reason: str) -> str:
    return f"cause:{ended}:{reason}"


def _key_of(sitemap: TaskRow) -> str:
    return f"cause of sitemap:{sitemap.ref.hex()}"


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Sample).decode
_decode_some = msgspec.msgpack.Decoder(dict[str, Sample]).decode
