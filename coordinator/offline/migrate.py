"""`crawlfleet migrate`: move a stored crawl to another store, whole, and only once the copy is proved.

Until the last step the old place is untouched, and is the crawl; whatever interrupts it, the same command starts over.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from crawlfleet.coordinator.crawl_folder import held
from crawlfleet.coordinator.frontier.copying import COPIED, MOVED, Copying, CopySource, CopyTarget, Numbers
from crawlfleet.coordinator.frontier.crawl_address import CrawlAddress, check_database
from crawlfleet.coordinator.frontier.durable.batch import Batch, kept_key
from crawlfleet.coordinator.frontier.kept_address import folder_id, keep_address, new_folder_id
from crawlfleet.coordinator.frontier.registry import STORES, USUAL, StorePlace, database_for, place_named
from crawlfleet.coordinator.offline.copy_digest import CopyDigest
from crawlfleet.coordinator.offline.laws import laws_of
from crawlfleet.coordinator.served_folders import FOLDERS, FileNames
from crawlfleet.coordinator.sinks.outputs import outputs_of
from crawlfleet.coordinator.sinks.schema import schema_key
from crawlfleet.shared.errors import CrawlFailed, UsageError

#: Told now and then: what is done, how many rows of how many.
Progress = Callable[[str, int, int], None]

_OF_MOVES = frozenset({kept_key(COPIED), kept_key(MOVED)})


class Migrated(NamedTuple):
    """A crawl that has moved: what `frontier` of its job is now, how many rows were copied, and what is left."""

    frontier: str
    rows: int
    left: str


class _Copied(msgspec.Struct, frozen=True):
    """What is kept with a copy: where it is from, on which machine, and the epoch with which it was made."""

    source: str
    host: str
    epoch: int


class _Names(NamedTuple):
    """The names that marks and kept values get in the copy, and those values that are left out."""

    marks: Mapping[str, str]
    meta: Mapping[str, str]
    left_out: frozenset[str]

    def of(self, batch: Batch) -> Batch:
        """Return a portion with these names."""
        if batch.meta:
            kept = [(self.meta.get(key, key), value) for key, value in batch.meta if key not in self.left_out]
            batch.meta = kept
        return batch


def migrate(folder: Path, to: str, tell: Progress) -> Migrated:
    """Move the crawl of a folder to where `to` says: an address of a database, or the name of a store in the folder.

    Raise `UsageError` if that is refused, `CrawlFailed` if it fails: then the crawl is where it was.
    """
    place_named(folder)
    with held(folder):
        old = place_named(folder)
        new = _target(folder.resolve(), to)
        if old.at == new.at:
            return _ended(old)
        copying = new.copying()
        with closing(old.copying().source()) as source:
            made = _Copied(
                str(folder.resolve()) if old.at is None else str(old.at), socket.gethostname(), source.numbers().epoch
            )
            _refuse_taken(new, copying, made)
            own = folder_id(folder) or new_folder_id()
            copied = _copied(source, copying, _names(old, new, own), made, tell)
            source.numbers()  # the crawl is still held
            copying.publish()
            if new.at is not None:
                keep_address(folder, new.at, own)
            left = old.copying().retire(source, _told(new))
    return Migrated(_frontier(new), copied, left)


def _ended(place: StorePlace) -> Migrated:
    """Mark the old place of a crawl that has moved as that, if that was interrupted; else refuse to move the crawl."""
    with closing(place.read()) as reader:
        kept = reader.kept(COPIED)
    made = None if kept is None else msgspec.json.decode(kept, type=_Copied)
    if made is not None and "://" in made.source and (old := place_named(made.source)).is_stored():
        with closing(old.read()) as reader:
            is_marked = reader.kept(MOVED) is not None
        with closing(old.copying().source()) as source:
            if not is_marked and source.numbers().epoch == made.epoch:
                return Migrated(_frontier(place), 0, old.copying().retire(source, _told(place)))
    raise UsageError(f"the crawl is in {place} already: name another place")


def _frontier(place: StorePlace) -> str:
    return place.at.database if place.at is not None else place.entry.name


def _told(place: StorePlace) -> str:
    if place.at is not None:
        return str(place.at)
    assert place.folder is not None
    return f"the folder {place.folder.resolve()} on {socket.gethostname()}"


def _target(folder: Path, to: str) -> StorePlace:
    if "://" not in to:
        if to not in STORES or not STORES[to].file:
            raise UsageError(f"{to!r} is no place for a crawl: write {USUAL}, or postgresql://HOST/DATABASE")
        return StorePlace(STORES[to], folder)
    try:
        at = CrawlAddress(check_database(to), folder.name)
        return StorePlace(database_for(at.database), folder, at)
    except ValueError as error:
        raise UsageError(f"the address to move to: {error}") from error


def _refuse_taken(new: StorePlace, copying: Copying, made: _Copied) -> None:
    """Raise `UsageError` if a crawl is there already. A copy of this crawl that nobody has opened is removed."""
    if not new.is_stored():
        return
    with closing(new.read()) as reader:
        kept, moved = reader.kept(COPIED), reader.kept(MOVED)
    if kept is not None and moved is None:
        with closing(copying.source()) as there:
            epoch = there.numbers().epoch
        before = msgspec.json.decode(kept, type=_Copied)
        if (before.source, before.host) == (made.source, made.host) and before.epoch == epoch:
            copying.remove()
            return
    why = f", which has moved to {moved.decode()}" if moved is not None else ""
    raise UsageError(f"{new} holds a crawl already{why}: drop it or move it aside first, or name another database")


def _copied(source: CopySource, copying: Copying, names: _Names, made: _Copied, tell: Progress) -> int:
    """Make a draft, and prove it; return how many rows it has."""
    expected = CopyDigest()
    with closing(copying.target()) as target:
        numbers = _copy(source, target, names, made, expected, tell)
    found = CopyDigest()
    with closing(copying.drafted()) as draft:
        for batch in draft.batches():
            batch.meta = [(key, value) for key, value in batch.meta if key not in _OF_MOVES]
            found.note(batch)
            tell("comparing", found.total, expected.total)
        for blocks in draft.blocks():
            found.note_blocks(blocks)
            tell("comparing", found.total, expected.total)
        found.note_marks(draft.marks())
        wrong = [*expected.differences(found)]
        there = draft.numbers()
        if (there.epoch, there.commits) != (numbers.epoch, numbers.commits) or there.crawl_s < numbers.crawl_s:
            wrong.append(f"the numbers {there} in the place of {numbers}")
    if wrong:
        raise CrawlFailed(f"the copy is not what was copied, and does not count: {'; '.join(wrong)}")
    tell("proving", 0, expected.total)
    with closing(copying.read_draft()) as reader:
        broken = [law for law in laws_of(reader) if law.broken]
    if broken:
        raise CrawlFailed(
            f"the crawl is damaged, and was not moved: it does not hold that {broken[0].name} ({broken[0].where[0]}); "
            "look at it by crawlfleet verify"
        )
    return expected.total


def _copy(
    source: CopySource, target: CopyTarget, names: _Names, made: _Copied, expected: CopyDigest, tell: Progress
) -> Numbers:
    rows = source.rows()
    for batch in map(names.of, source.batches()):
        expected.note(batch)
        target.write(batch)
        tell("copying", expected.total, max(rows, expected.total))
    for blocks in source.blocks():
        expected.note_blocks(blocks)
        target.write_blocks(blocks)
        tell("copying", expected.total, max(rows, expected.total))
    marks = [(names.marks.get(sink, sink), mark) for sink, mark in source.marks()]
    expected.note_marks(marks)
    target.write(Batch(number=0, at=0.0, meta=[(kept_key(COPIED), msgspec.json.encode(made))]))
    numbers = source.numbers()
    target.finish(numbers, marks)
    return numbers


def _names(old: StorePlace, new: StorePlace, own: str) -> _Names:
    """Return the names of what is known of the folder's files: a crawl in a database has them for each folder."""
    left_out = _OF_MOVES | ({kept_key(FOLDERS)} if new.at is None else set())
    assert new.folder is not None
    with closing(old.read()) as reader:
        job = reader.job if reader.kept("job") is not None else None
    if job is None or (old.at is None) == (new.at is None):
        return _Names({}, {}, frozenset(left_out))
    outputs = outputs_of(job, new.folder)
    known, named = (FileNames(place._replace(folder=new.folder), own).by_sink(outputs) for place in (old, new))
    marks = {known[sink]: named[sink] for sink in known}
    meta = {kept_key(known[sink]): kept_key(named[sink]) for sink in known}
    meta |= {kept_key(schema_key(known[sink])): kept_key(schema_key(named[sink])) for sink in known}
    return _Names(marks, meta, frozenset(left_out))
