"""The rows of what waits: links that are admitted later (see `leading_on`), parts of reports (see `parts`), lines of
seeds files until their pages are recorded (see `seed_lines`)."""

from __future__ import annotations

from crawlfleet.coordinator.core.rows import RemovableRow, ResidentRow, StoreRow
from crawlfleet.coordinator.core.seed_line import SeedLine


class KeptLinksRow(RemovableRow, frozen=True, kw_only=True):
    """Links that were not admitted with the report that had them: too many for one turn, or of a page beyond the crawl.

    `order` is the page's, or a number of its own if what was read is no page that is final. Without a limit of depth
    the row is removed when all are admitted; with one it holds the outlinks of its page in the place of the page's row.
    """

    order: int
    #: The outlinks that a page's report named by URL, packed: see `shared.web.links`.
    links: bytes
    #: The joined fingerprints of those that it named by fingerprint.
    known: bytes = b""
    #: What a sitemap or a robots.txt lists, encoded: see `leading_on`.
    listed: bytes = b""

    @property
    def key(self) -> int:
        return self.order


class KeptPartRow(RemovableRow, frozen=True, kw_only=True):
    """A piece of a report that is not whole yet. `order` is a number of its own; the lease names it."""

    order: int
    data: bytes

    @property
    def key(self) -> int:
        return self.order


class LeadOnRow(ResidentRow, frozen=True, kw_only=True):
    """A task whose outlinks, kept or in its row, are to be admitted, or to get smaller depths, in portions."""

    order: int
    ref: bytes
    #: The host of the task. Hosts take turns.
    host: str = ""
    #: How many of the links are done, at the depth that the task has.
    done: int = 0
    #: How many of them count for the `links_waiting` of the host.
    waiting: int = 0

    @property
    def key(self) -> int:
        return self.order

    @property
    def family(self) -> str:
        return self.host

    @property
    def place(self) -> int:
        return self.order


class SeedLineRow(StoreRow, frozen=True, kw_only=True):
    """A line of a seeds file. Tasks name it by its number, which is a place in the order of admission of its own."""

    number: int
    line: SeedLine
    #: The page had ended before the line was read: its rows do not have what the line says.
    is_late: bool = False

    @property
    def key(self) -> int:
        return self.number
