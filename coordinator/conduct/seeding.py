"""The seeds of a job while they are added, a portion a turn.

A turn of all seeds would hold everything up, and nobody would hear how far it is. Each start of a coordinator adds all
seeds again, and those that are known change nothing: a crash between two portions loses none.

Nothing is granted before the last portion: so the seeds are known before any page that links to them, as if they had
been added at once. Where a page leads nowhere but by redirects, nothing links to a seed: there, pages are granted while
further lines of seeds files are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from crawlfleet.coordinator.core import admission, reach, seed_lines, sitemaps
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.coordinator.core.seed_lines import Listed
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.web.url_policy import UrlPolicy

SEEDS_PER_TURN = 1_000

#: Canonical URLs, each with the line of a seeds file that names it.
Lines = Iterable[tuple[str, SeedLine]]


class Portion(NamedTuple):
    """Seeds that are admitted in one turn: links, and lines of seeds files. The hosts of those that are `named` by the
    job itself are trusted."""

    links: Sequence[Link]
    lines: Sequence[tuple[Link, SeedLine]] = ()
    is_last: bool = False
    named: Sequence[Link] = ()

    def admit(self, turn: Turn) -> list[Listed]:
        """Admit them; say what became of each line."""
        reach.trust(turn, self.named)
        admission.want(turn, self.links)
        admission.admit(turn, self.links)
        return seed_lines.admit(turn, self.lines) if self.lines else []


class LineTally:
    """What became of the lines of seeds files so far, and which numbers they have.

    `repeated` counts those whose page has an earlier line, `late` those whose page had ended before, `aside` those on
    hosts whose links are not followed.
    """

    def __init__(self) -> None:
        self.lines = 0
        self.repeated = 0
        self.late = 0
        self.aside = 0
        self._numbers = bytearray()

    @property
    def numbers(self) -> bytes:
        """The numbers of the seed lines that are there, as bits: the lowest bit of the first byte is number 0."""
        return bytes(self._numbers)

    def note(self, told: Iterable[Listed]) -> None:
        """Count lines that were admitted."""
        for each in told:
            self.lines += 1
            self.late += each.is_late
            self.aside += not each.is_joined
            place, bit = each.number >> 3, 1 << (each.number & 7)
            if place >= len(self._numbers):
                self._numbers.extend(bytes(place + 1 - len(self._numbers)))
            self.repeated += bool(self._numbers[place] & bit)
            self._numbers[place] |= bit


class Seeding:
    """How far the seeds are added: `added` of `total`, in which lines count that were read.

    With `is_open` pages may be granted before all are added.
    """

    def __init__(
        self, links: Iterator[Link], total: int, lines: Lines | None, urls: UrlPolicy, *, is_open: bool
    ) -> None:
        self._links = links
        self._left = total
        self._lines = ((_link(urls.apply(url)), line) for url, line in lines or ())
        # The line after the last portion: so the last one is known to be that.
        self._following: list[tuple[Link, SeedLine]] = []
        self._is_open = is_open
        self.is_over = not total and lines is None
        self.total = total
        self.added = 0
        self.tally = LineTally()

    @classmethod
    def of(
        cls,
        pages: Sequence[str],
        maps: Sequence[str],
        urls: UrlPolicy,
        lines: Lines | None = None,
        *,
        is_open: bool = False,
    ) -> Seeding:
        """Return the seeding of pages, sitemaps and lines, whose URLs are canonical by the standard."""
        links = chain(map(_link, map(urls.apply, pages)), map(sitemaps.seed_link, maps))
        return cls(links, len(pages) + len(maps), lines, urls, is_open=is_open)

    @property
    def may_grant(self) -> bool:
        """Whether pages may be granted by now."""
        return self.is_over or (self._is_open and not self._left and self.added > 0)

    def take(self) -> Portion:
        """Return the next portion, empty if there is none. One thread at a time may call it; it may read a file."""
        links = list(islice(self._links, SEEDS_PER_TURN))
        self._left -= len(links)
        if self._left:
            return Portion(links, named=links)
        lines = list(islice(chain(self._following, self._lines), SEEDS_PER_TURN - len(links)))
        self._following = list(islice(self._lines, 1))
        return Portion(links, lines, is_last=not self._following, named=links)

    def note(self, portion: Portion, told: Iterable[Listed]) -> None:
        """Note that a portion was admitted, and what became of its lines."""
        self.tally.note(told)
        self.added += len(portion.links) + len(portion.lines)
        self.total = max(self.total, self.added)
        self.is_over = portion.is_last


def _link(url: str) -> Link:
    return Link(url=url, depth=0, seed=True, always=True)
