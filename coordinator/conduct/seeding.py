"""The seeds of a job while they are added, a portion a turn.

A turn of all seeds would hold everything up, and nobody would hear how far it is. Nothing is granted before the last
portion: so the seeds are known before any page that links to them, as if they had been added at once. Each start of a
coordinator adds all seeds again, and those that are known change nothing: a crash between two portions loses none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from crawlfleet.coordinator.core import sitemaps
from crawlfleet.coordinator.core.link import Link
from crawlfleet.shared.web.url_policy import UrlPolicy

SEEDS_PER_TURN = 1_000


class Seeding:
    """How far the seeds are added: `added` of `total`."""

    def __init__(self, links: Iterator[Link], total: int) -> None:
        self._links = links
        self.total = total
        self.added = 0

    @classmethod
    def of(cls, pages: Sequence[str], maps: Sequence[str], urls: UrlPolicy) -> Seeding:
        """Return the seeding of pages and sitemaps, whose URLs are canonical by the standard."""
        links = (Link(url=url, depth=0, seed=True, always=True) for url in map(urls.apply, pages))
        return cls(chain(links, map(sitemaps.seed_link, maps)), len(pages) + len(maps))

    @property
    def is_over(self) -> bool:
        """Whether all seeds were taken."""
        return self.added == self.total

    def take(self) -> list[Link]:
        """Return the links of the next portion; none if all were taken."""
        portion = list(islice(self._links, SEEDS_PER_TURN))
        self.added += len(portion)
        return portion
