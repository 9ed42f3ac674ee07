"""`crawlfleet try`, from the job to what is shown: once, or again after each edit of the job or its hook."""

from __future__ import annotations

import os
import time
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Protocol

import msgspec

from crawlfleet.coordinator.job.job import Job, load_from
from crawlfleet.coordinator.job.named_files import hook_named
from crawlfleet.coordinator.job.source import JobSource, read
from crawlfleet.shared.errors import CrawlfleetError, UsageError
from crawlfleet.shared.exits import INTERRUPTED
from crawlfleet.shared.paths import shown
from crawlfleet.trial.errand import errand_of
from crawlfleet.trial.run import Stopped, Trials
from crawlfleet.trial.saved_page import answer_of
from crawlfleet.trial.watched_files import WatchedFiles, with_neighbours
from crawlfleet.tried import READ, Tried
from crawlfleet.worker.process.wakeup import Signals

LOOK_EVERY_S = 0.2
NOT_READ = 1


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What to try: an address, or a file in its place; both empty for the job's first seed."""

    source: JobSource
    address: str = ""
    file: Path | None = None
    watch: bool = False


class View(Protocol):
    """What a user sees."""

    def get_ready(self) -> object:
        """Prepare to show something. Called while a page is asked for."""

    def show(self, tried: Tried) -> object:
        """Show what a page gives."""

    def say(self, sentence: str) -> object:
        """Say a sentence."""

    def fail(self, error: CrawlfleetError) -> object:
        """Say an error, after which the session goes on."""


class Session:
    """Tries one page, for a view."""

    def __init__(self, options: Options, view: View) -> None:
        self._options = options
        self._view = view
        self._named: list[Path] = []
        self._watched = WatchedFiles()

    def run(self, trials: Trials) -> int:
        """Try the page, and with `watch` again after each edit, until a signal; return the exit code."""
        if self._options.watch and self._options.source.path is None:
            raise UsageError("--watch reads a page again after edits of a job: name its file")
        with Signals([SIGINT, SIGTERM]) as signals:
            if not self._options.watch:
                return self._try(trials, signals)
            while True:
                try:
                    self._try(trials, signals)
                except Stopped as stopped:
                    if not self._watched.changed():
                        raise
                    self._view.say(str(stopped))
                except CrawlfleetError as error:
                    self._view.fail(error)
                trials.prepare()
                if not self._await_edit(signals):
                    return INTERRUPTED

    def _try(self, trials: Trials, signals: Signals) -> int:
        job = self._load()
        errand = errand_of(job, self._options.address, self._options.file)
        if self._options.file is not None:
            trials.keep(answer_of(self._options.file, errand.url, errand.brief.fetch.max_size_bytes))
        tried = trials.run(errand, signals, self._is_stale, self._view.get_ready)
        self._view.show(tried)
        return 0 if tried.state == READ else NOT_READ

    def _is_stale(self) -> bool:
        return self._options.watch and bool(self._watched.changed())

    def _load(self) -> Job:
        """Load the job; each of its files is looked at before it is read."""
        source, file = self._options.source, self._options.file
        if self._options.watch:
            hook = _hook_of(source)
            self._named = [each for each in (source.path, hook, file) if each is not None]
            neighbours = with_neighbours(hook) if hook is not None else []
            self._watched = WatchedFiles([*self._named, *neighbours])
        return load_from(source, needs_seeds=False)

    def _await_edit(self, signals: Signals) -> bool:
        """Wait for an edit, until it is whole; return False at a signal."""
        files = ", ".join(shown(file.name) for file in self._named)
        self._view.say(f"watching {files}: after an edit the same answer is read again; Ctrl-C ends it")
        while not self._watched.changed():
            if signals.wait(LOOK_EVERY_S):
                return False
        now = WatchedFiles(self._watched.changed())
        while not signals.wait(LOOK_EVERY_S / 2):
            if not now.changed():
                changed = ", ".join(shown(file.name) for file in self._watched.changed())
                self._view.say(f"{time.strftime('%H:%M:%S')} {changed} has changed")
                return True
            now = WatchedFiles(self._watched.changed())
        return False


def _hook_of(source: JobSource) -> Path | None:
    """Return the hook that a job names, though it may have problems."""
    value = read(source).value
    named = value.get("hooks") if isinstance(value, dict) else None
    return Path(os.path.realpath(source.base / hook_named(named)[0])) if isinstance(named, str) else None
