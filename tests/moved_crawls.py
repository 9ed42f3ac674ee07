"""Crawls that are half done and have rows of many kinds, and what is in a store, for tests of moves."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from crawlfleet.coordinator.core.changes import Put
from crawlfleet.coordinator.core.later_rows import KeptLinksRow, KeptPartRow
from crawlfleet.coordinator.core.objects.rows import PartRow
from crawlfleet.coordinator.core.rows import TrapRow
from crawlfleet.coordinator.frontier.copying import COPIED, MOVED, CopySource
from crawlfleet.coordinator.frontier.durable.batch import kept_key
from crawlfleet.coordinator.frontier.registry import FRONTIER, StorePlace
from crawlfleet.coordinator.offline.copy_digest import CopyDigest
from crawlfleet.shared.messages import Outcome, Report
from tests.commits import commit
from tests.unit.durable_crawl import DurableCrawl, report
from tests.unit.parts_crawl import PartsCrawl

#: More than one transaction of SQLite takes.
LARGE_BYTES = 9 * 1024 * 1024
_OF_MOVES = {kept_key(COPIED), kept_key(MOVED)}


def half_done(folder: Path, *, is_laden: bool = False) -> Path:
    """Make a crawl in a folder: some pages are fetched, one waits for a retry, one is leased, and sinks have written.

    If it is laden, it has rows that are large, have long keys, or are many.
    """
    folder.mkdir()
    crawl = DurableCrawl(folder)
    crawl.begin()
    granted = crawl.ask()
    while not any(task.depth for _, task in granted):
        granted = crawl.ask(*(report(*each) for each in granted))
    failed, _ = granted
    crawl.ask(Report(lease=failed[0].id, ref=failed[1].ref, outcome=Outcome.NETWORK_ERROR, reason="timeout_total"))
    crawl.write_sinks()
    if is_laden:
        crawl.store.apply([Put(row=KeptLinksRow(order=1_000, links=b"k" * LARGE_BYTES))])
        crawl.store.apply([Put(row=KeptPartRow(order=number, data=b"p" * 1_000)) for number in range(1_200)])
        crawl.store.apply(
            [Put(row=PartRow(object=1, subkey=b"s%d" % n, place=n, value=b"v" * 5_000)) for n in range(600)]
        )
        crawl.store.apply([Put(row=TrapRow(key="long" * 500 + end)) for end in ("", "a", "b")])
        commit(crawl.store, crawl.now)
    crawl.close()
    return folder


def with_links(folder: Path) -> Path:
    """Make a crawl in a folder, of which a page has many rows and records of links."""
    folder.mkdir()
    crawl = PartsCrawl(folder)
    with closing(crawl):
        for part in crawl.begin()[-1:]:
            crawl.send(part)
    return folder


def as_of_old(folder: Path) -> Path:
    """Let a crawl be as an earlier version has left it: a block has no time, and commits have no number."""
    with closing(sqlite3.connect(folder / FRONTIER, isolation_level=None)) as db:
        db.execute("UPDATE story SET at = NULL WHERE seq = 1")
        db.execute("DELETE FROM meta WHERE key = 'commit'")
    return folder


def digest(source: CopySource) -> CopyDigest:
    """Return what is in a store, apart from marks, and what moves keep there."""
    found = CopyDigest()
    for batch in source.batches():
        batch.meta = [(key, value) for key, value in batch.meta if key not in _OF_MOVES]
        found.note(batch)
    for blocks in source.blocks():
        found.note_blocks(blocks)
    return found


def digest_at(place: StorePlace) -> CopyDigest:
    """Return what is in a store that nobody has open."""
    with closing(place.copying().source()) as source:
        return digest(source)
