"""Notices that a store has lost commits which it had acknowledged: a standby was promoted that did not have them, or an
older copy was put back.

The crawl's folder knows the number of the last commit (see `known_commits`), and each sink how many results it has. A
store that has fewer is not gone on with, unless the user accepts that: then sinks are restored from the log as it is.
With `durability: process` a power cut may take the last commits of a file: where the machine was restarted since, they
are told, and gone on without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import structlog

from crawlfleet.coordinator.crawl_folder import CrawlFolder
from crawlfleet.coordinator.frontier.crawl_clock import read_clocks
from crawlfleet.coordinator.frontier.port import Candidate, Mark, Store, StoreReader
from crawlfleet.coordinator.frontier.registry import StorePlace
from crawlfleet.coordinator.known_commits import CRAWL, Known, KnownCommits, crawl_id, number_anew
from crawlfleet.coordinator.served_folders import FileNames
from crawlfleet.coordinator.sinks.outputs import Output
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.paths import shown

_ADVICE = "put back a later copy of it, or go on without them by --accept-loss: then their pages are fetched again"


class Loss(NamedTuple):
    """What a store has, what the folder's file knows of it, and how many results those sinks have that have more."""

    place: str
    commits: int
    results: int
    file: str
    known: Known
    sinks: Mapping[str, int]

    @property
    def sentence(self) -> str:
        """What was lost, and who knows of it; empty if nothing is known to be lost."""
        knows = self.known.commits > self.commits
        if not knows and not self.sinks:
            return ""
        commits = max(1, self.known.commits - self.commits)
        results = max(0, *self.sinks.values(), self.known.results if knows else 0) - self.results
        knowing = [f"{self.file} knows of {self.known.commits:,} and {self.known.results:,}"] if knows else []
        knowing += [f"{name} has {number:,} results" for name, number in self.sinks.items()]
        return (
            f"{self.place} has lost commits that were acknowledged, at least {commits:,}, and with them at least "
            f"{max(0, results):,} results: it has {self.commits:,} commits and {self.results:,} results, "
            f"{', '.join(knowing)}"
        )


def open_store(place: StorePlace, folder: CrawlFolder, *, power: bool, candidate: Candidate | None = None) -> Store:
    """Open the store of a crawl; see `StorePlace.open`. Where it has lost openings, too, it is opened again until this
    one has a number that none had: leases and workers go by it."""
    while True:
        store = place.open(power=power, candidate=candidate)
        known = folder.commits.of(crawl_id(store.kept(CRAWL), place.entry.name))
        if store.epoch > known.epoch:
            return store
        store.close()


class Losses:
    """Looks for what a store has lost, as its owner, before anything is granted or restored."""

    def __init__(self, store: Store, place: StorePlace, folder: CrawlFolder, *, accept: bool, power: bool) -> None:
        self._store = store
        self._place = place
        self._commits = folder.commits
        self._accept = accept
        known = self._commits.of(self._id)
        may_end = place.at is None and not power
        self._was_restarted = may_end and known.boot not in ("", read_clocks().boot)
        self._sinks: dict[str, int] = {}
        self._told = ""

    def look(self, output: Output, mark: Mark | None) -> None:
        """Look at how many results a sink has, by its mark, or by what it says itself.

        What a crawl that has never begun finds there is another one's, and no loss.
        """
        if self._id and mark is not None and mark.results > self._store.result_count():
            self._sinks[shown(output.place)] = mark.results

    def refuse(self) -> None:
        """Raise `UsageError` if anything is lost so far, unless that is accepted, or may be by a power cut."""
        self._told = self._found().sentence
        if self._told and not (self._accept or self._was_restarted):
            raise UsageError(f"{self._told}: {_ADVICE}")

    def settle(self, outputs: Sequence[Output]) -> str:
        """Note in the folder what the store has now; return what is gone on without, as a sentence, if anything is
        lost."""
        store = self._store
        if self._told or store.kept(CRAWL) is None:
            number_anew(store)
        if "none" not in self._place.entry.durabilities:
            known = Known(self._id, store.epoch, store.commit_number, store.result_count(), read_clocks().boot)
            self._commits.begin(known)
        if not self._told:
            return ""
        structlog.get_logger().warning("lost commits are accepted", detail=self._told)
        why = "" if self._accept else " The machine was restarted, and durability: process survives no power cut."
        return f"{self._told}.{why} The crawl goes on without them: {_meaning(outputs)}."

    @property
    def _id(self) -> str:
        return crawl_id(self._store.kept(CRAWL), self._place.entry.name)

    def _found(self) -> Loss:
        store, commits = self._store, self._commits
        return Loss(
            shown(str(self._place)),
            store.commit_number,
            store.result_count(),
            shown(commits.path),
            commits.of(self._id),
            self._sinks,
        )


def loss_of(reader: StoreReader, place: StorePlace, outputs: Sequence[Output]) -> Loss:
    """Return what a stored crawl has lost, by what its folder knows, and by the marks of these sinks."""
    results = reader.result_count
    names = FileNames(place)
    marks = {shown(output.place): reader.mark(names.of(output)) or Mark() for output in outputs}
    known, file = Known(), ""
    if place.folder is not None:
        commits = KnownCommits(place.folder)
        known, file = commits.of(crawl_id(reader.kept(CRAWL), place.entry.name)), shown(commits.path)
    more = {name: mark.results for name, mark in marks.items() if mark.results > results}
    return Loss(shown(str(place)), reader.commit_number, results, file, known, more)


def _meaning(outputs: Sequence[Output]) -> str:
    """Say what becomes of rows of results that are lost."""
    said = ["sinks are cut back to what it has"]
    for output in outputs:
        where = shown(output.place)
        if output.is_put:
            said.append(f"{where} is put anew when the run ends")
        elif not output.entry.reads_back:
            said.append(f"{where} keeps what it was sent, and gets rows of these pages again with the same ids")
    return ", ".join(said)
