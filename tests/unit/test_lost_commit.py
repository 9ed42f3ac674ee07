"""A crawl whose commit another owner has fenced off, or of which nobody knows whether it is in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.app import Options, open_crawl
from crawlfleet.coordinator.crawl_folder import CrawlFolder
from crawlfleet.coordinator.frontier.port import Conclusion, CrawlTaken, StoreUnreachable
from crawlfleet.coordinator.job.job import load
from crawlfleet.coordinator.job.source import JobSource
from crawlfleet.coordinator.listening import Listening
from crawlfleet.shared.errors import CrawlLost, NotOwner
from crawlfleet.shared.status import Status
from crawlfleet.shared.wire.manager import FleetManager

LOST = pytest.mark.parametrize(
    ("conclusion", "sentence"),
    [
        (Conclusion.FENCED, "another coordinator has taken this crawl over"),
        (Conclusion.UNKNOWN, "the connection to the crawl's database was lost"),
    ],
    ids=["fenced", "unknown"],
)


class Losing:
    """A crawl with one seed whose store loses commits when it is told to. From then on nothing may be asked of it."""

    def __init__(self, folder: Path, conclusion: Conclusion) -> None:
        path = folder / "job.yaml"
        path.write_text("name: lost\nseeds: ['http://a.test/']\n", encoding="ascii")
        place = CrawlFolder(folder / "crawls", "lost", fresh=False)
        self._listening = Listening(place.path, ("127.0.0.1", 0))
        self.crawl = open_crawl(load(path), place, Options(job=JobSource(path=path)), self._listening)
        self._store: Any = self.crawl._store
        self._conclusion = conclusion
        self._kept = self._store.kept

    def lose_once_seeded(self, status: Status, _news: object) -> None:
        if status.seeds_added:
            self.lose()

    def __enter__(self) -> Losing:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def lose(self) -> None:
        self._store.conclude = lambda: self._conclusion
        self._store.kept = self._ask

    def _ask(self, key: str) -> object:
        assert self.crawl._loop.lost is None, "a store that can only be closed is asked"
        return self._kept(key)


@LOST
def test_the_crawl_ends_as_failed_with_the_numbers_that_it_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conclusion: Conclusion, sentence: str
) -> None:
    monkeypatch.setattr("crawlfleet.coordinator.crawl.TICK_S", 0.0)
    with Losing(tmp_path, conclusion) as losing:
        summary = losing.crawl.run(losing.lose_once_seeded)
        assert isinstance(losing.crawl.lost, CrawlLost)
        with pytest.raises(NotOwner):
            FleetManager.joining(losing.crawl.token).connect()
    assert not losing.crawl.folder.summary.exists()
    assert (summary.ended, summary.exit_code) == ("failed", 1)
    assert summary.detail.startswith(sentence)
    assert (summary.discovered, summary.pending) == (1, 1)


@LOST
def test_a_commit_that_is_lost_at_the_start_is_told_to_whoever_runs_the_crawl(
    tmp_path: Path, conclusion: Conclusion, sentence: str
) -> None:
    with Losing(tmp_path, conclusion) as losing:
        losing.lose()
        with pytest.raises(CrawlLost, match=sentence):
            losing.crawl.run()
        assert isinstance(losing.crawl.lost, CrawlLost)


def test_the_status_names_who_waits_for_the_crawl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlfleet.coordinator.crawl.TICK_S", 0.0)
    seen: list[tuple[str, ...]] = []

    def note(status: Status, _news: object) -> None:
        seen.append(status.standing_by)
        losing.crawl.stop()

    with Losing(tmp_path, Conclusion.DONE) as losing:
        monkeypatch.setattr(losing.crawl._store, "standing_by", lambda: ("b.test:7320",))
        assert losing.crawl.run(note).ended == "interrupted"
    assert seen[0] == ("b.test:7320",)


def test_a_crawl_that_is_lost_when_its_end_is_noted_ends_its_parts_once_and_is_opened_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_store: object, *, finished: bool) -> None:
        if finished or losing.crawl._has_ended:
            raise StoreUnreachable("the connection was lost")

    monkeypatch.setattr("crawlfleet.coordinator.crawl.TICK_S", 0.0)
    monkeypatch.setattr("crawlfleet.coordinator.crawl.note_end", lost)
    with Losing(tmp_path, Conclusion.DONE) as losing:
        monkeypatch.setattr(losing.crawl, "_wait", lambda _on_tick: True)
        with pytest.raises(StoreUnreachable):
            losing.crawl.run()
        assert isinstance(losing.crawl.lost, StoreUnreachable)
        server, _ = losing._listening.open()
        assert not server.stop_event.is_set()


def test_a_crawl_that_was_stopped_is_not_opened_anew(tmp_path: Path) -> None:
    with Losing(tmp_path, Conclusion.UNKNOWN) as losing:
        losing.lose()
        losing.crawl.stop()
        with pytest.raises(CrawlLost):
            losing.crawl.run()
        assert losing.crawl.lost is None


def test_a_crawl_that_is_taken_while_there_is_nothing_to_commit_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken() -> tuple[str, ...]:
        raise CrawlTaken("another coordinator has taken it")

    monkeypatch.setattr("crawlfleet.coordinator.crawl.TICK_S", 0.0)
    with Losing(tmp_path, Conclusion.DONE) as losing:
        monkeypatch.setattr(losing.crawl._store, "standing_by", taken)
        with pytest.raises(CrawlTaken):
            losing.crawl.run()
        assert isinstance(losing.crawl.lost, CrawlTaken)
