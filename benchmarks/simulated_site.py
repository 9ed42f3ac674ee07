"""A site of any size that no network serves: its addresses, its pages' outlinks, and the reports of a worker.

The site has `HOSTS` hosts; every page has 20 outlinks of which one is new, fourteen are popular or recent, as
navigation is, and five lie anywhere among all that was known at the start: no cache can hold those. As every worker
does, this one names what it has sent before by fingerprint.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from crawlfleet.shared.messages import Kind, Lease, Outcome, Report, Row, Task
from crawlfleet.worker.talk.outstanding import SentLinks

HOSTS = 20
POPULAR = 100
RECENT = 2_000
ANYWHERE = 5
DEPTH = 1
# What a page tells, and the fingerprints of what was sent before.
_Links: TypeAlias = tuple[tuple[str, ...], bytes]
_ROWS = (Row(item="page", index=0, fields={"title": "A title of usual length, as pages have them"}),)


def address(number: int) -> str:
    """Return the address of a page by its number."""
    return f"http://www.host-{number % HOSTS:02}.test/section-{number % 37}/an-article-of-some-length-{number}.html"


def site_hosts() -> tuple[str, ...]:
    """Return the names of all hosts."""
    return tuple(f"www.host-{number:02}.test" for number in range(HOSTS))


class SimulatedSite:
    """What is found on each page in turn. Several sites grow side by side if each takes every `step`th new number."""

    def __init__(self, known: int, offset: int = 0, step: int = 1) -> None:
        self._start = known
        self._next = known + offset
        self._step = step
        self._chance = random.Random(known + offset)
        self._sent = SentLinks()
        self._untold: list[tuple[str, ...]] = []
        self._foreseen: deque[_Links] = deque()

    @property
    def known(self) -> int:
        """The first number that no page has named yet."""
        return self._next

    def foresee(self, pages: int, at_once: int) -> None:
        """Make so many pages up ahead of time, so that to report them costs next to nothing. What a page tells is taken
        for accepted once twice as many were made as are reported at once."""
        for number in range(pages):
            if number % at_once == 0:
                accepted = self._untold[:-at_once]
                del self._untold[: len(accepted)]
                self._learn(accepted)
            self._foreseen.append(self._links())

    def reports(self, leases: Sequence[Lease]) -> tuple[Report, ...]:
        """Return the reports of all tasks of some leases; those that were returned before have been accepted."""
        if not self._foreseen:
            self._learn(self._untold)
            self._untold.clear()
        return tuple(self._report(lease, task) for lease in leases for task in lease.tasks)

    def _learn(self, accepted: Sequence[tuple[str, ...]]) -> None:
        for outlinks in accepted:
            self._sent.learn(outlinks, DEPTH)

    def _links(self) -> _Links:
        links = self._sent.split(tuple(address(number) for number in self._outlinks()), DEPTH)
        self._untold.append(links[0])
        return links

    def _report(self, lease: Lease, task: Task) -> Report:
        if task.kind is Kind.ROBOTS:
            return Report(
                lease=lease.id, ref=task.ref, outcome=Outcome.HTTP_ERROR, status=404, reason="http_404", age_s=0.0
            )
        outlinks, known = self._foreseen.popleft() if self._foreseen else self._links()
        return Report(
            lease=lease.id,
            ref=task.ref,
            outcome=Outcome.FETCHED,
            status=200,
            age_s=0.0,
            elapsed_s=0.02,
            size_bytes=38_000,
            content_type="text/html",
            outlinks=outlinks,
            known=known,
            rows=_ROWS,
        )

    def _outlinks(self) -> Iterator[int]:
        chance, new = self._chance, self._next
        self._next += self._step
        yield new
        for _ in range(8):
            yield int(chance.random() * POPULAR)
        for _ in range(6):
            yield max(0, new - self._step * (1 + int(chance.random() * RECENT)))
        for _ in range(ANYWHERE):
            yield int(chance.random() * self._start)
