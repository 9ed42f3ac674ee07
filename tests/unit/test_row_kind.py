"""A kind of row is a class with a key, and a line in the table of kinds: here is one that no other file knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crawlfleet.coordinator.core.changes import Put
from crawlfleet.coordinator.core.kinds import KINDS
from crawlfleet.coordinator.core.rows import StoreRow, succeed
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.coordinator.frontier.durable import row_cache
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.coordinator.frontier.port import Conflict, Frontier
from crawlfleet.coordinator.frontier.sqlite.store import SqliteStore
from tests.commits import commit
from tests.unit.rule_turns import POLICY, host


class NoteRow(StoreRow, frozen=True, kw_only=True):
    """What somebody notes under a name."""

    name: str
    text: str

    @property
    def key(self) -> str:
        return self.name


ONE, TWO = NoteRow(name="one", text="1"), NoteRow(name="two", text="2")
KIND: type[StoreRow] = NoteRow
STORES: dict[str, Callable[[Path], Frontier]] = {"memory": lambda _: MemoryStore(), "sqlite": SqliteStore}


@pytest.fixture(autouse=True)
def _line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, KIND, "notes")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Frontier]:
    with closing(STORES[request.param](tmp_path / "frontier.db")) as store:
        yield store


def test_a_turn_shows_a_row_of_the_kind_and_puts_it(store: Frontier) -> None:
    store.apply([Put(row=ONE)])
    turn = Turn(store, POLICY, 0.0)
    notes = turn.table(NoteRow)
    assert (notes["one"], notes["two"]) == (ONE, None)
    turn.put(succeed(ONE, text="one"))
    turn.put(TWO)
    assert (notes["one"], notes["two"]) == (succeed(ONE, text="one"), TWO)
    assert turn.batch() == [Put(row=succeed(ONE, text="one")), Put(row=TWO)]


def test_a_store_takes_rows_of_the_kind_and_gives_them_back(store: Frontier) -> None:
    store.apply([Put(row=ONE), Put(row=TWO)])
    store.apply([Put(row=succeed(ONE, text="one"))])
    commit(store, 1.0)
    assert store.rows(NoteRow, ["one", "two", "never"]) == {"one": succeed(ONE, text="one"), "two": TWO}


def test_a_store_refuses_what_was_decided_on_a_row_that_has_changed(store: Frontier) -> None:
    store.apply([Put(row=ONE), Put(row=succeed(ONE, text="one"))])
    with pytest.raises(Conflict, match="NoteRow 'one' is at version 2"):
        store.apply([Put(row=host()), Put(row=succeed(ONE, text="other"))])
    assert store.rows(NoteRow, ["one"]) == {"one": succeed(ONE, text="one")}
    assert store.rows(type(host()), [host().key]) == {}


def test_rows_of_the_kind_outlive_the_process(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "frontier.db")
    first.apply([Put(row=ONE), Put(row=TWO)])
    commit(first, 1.0)
    first.apply([Put(row=succeed(ONE, text="lost"))])
    first.close()
    again = SqliteStore(tmp_path / "frontier.db")
    assert again.rows(NoteRow, ["one", "two"]) == {"one": ONE, "two": TWO}
    again.apply([Put(row=succeed(TWO, text="kept"))])
    commit(again, 2.0)
    again.close()
    last = SqliteStore(tmp_path / "frontier.db")
    assert last.rows(NoteRow, ["two"]) == {"two": succeed(TWO, text="kept")}
    last.close()


def test_a_file_from_before_the_kind_gets_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as before:
        before.delitem(KINDS, KIND)
        SqliteStore(tmp_path / "frontier.db").close()
    store = SqliteStore(tmp_path / "frontier.db")
    store.apply([Put(row=ONE)])
    commit(store, 1.0)
    store.close()
    again = SqliteStore(tmp_path / "frontier.db")
    assert again.rows(NoteRow, ["one"]) == {"one": ONE}
    again.close()


def test_the_cache_of_a_durable_store_bounds_the_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_cache, "CACHED_OF_OTHERS", 2)
    store = SqliteStore(tmp_path / "frontier.db")
    cached = store._rows.rows[NoteRow]
    for number, left in ((2, 2), (3, 0)):
        store.apply([Put(row=NoteRow(name=f"{number} {place}", text="")) for place in range(number - len(cached))])
        commit(store, float(number))
        assert len(cached) == left
    assert len(store.rows(NoteRow, ["2 0", "2 1", "3 0"])) == 3
    store.close()
