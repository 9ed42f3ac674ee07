"""The addresses at which the coordinators of a crawl may answer, in the order in which a client tries them.

The one that served last comes first, then those that are not known to fail; the others come in the order in which they
failed, so that an address that is dead, or silent, costs nothing as long as another one serves. While none does, one
that is silent gets less than half of the time, since another may begin to serve meanwhile. It opens no connection,
and has no lock, which a fork might leave closed: any thread may use it, and what one does not see of another's news
costs one attempt.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from crawlfleet.shared.errors import CrawlfleetError, JoinError, NotOwner, Unreachable
from crawlfleet.shared.ranges import MOST_ADDRESSES
from crawlfleet.shared.wire.binding import Address, address_of, shown_address
from crawlfleet.shared.wire.frames import GREETING_S

#: While there are other addresses, the first attempt at one takes so long at most; each that was too short doubles it.
FIRST_ATTEMPT_S = 1.0
#: An address that was silent is left alone for so many times as long as that took.
REST = 2.0
MOST_TOLD = 3

T = TypeVar("T")


class Endpoints:
    """The addresses of one crawl, as one process knows them."""

    def __init__(self, addresses: Sequence[Address], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._given = tuple(addresses)
        self._named: tuple[Address, ...] = ()
        self._last: Address | None = None
        self._failed: tuple[Address, ...] = ()
        # Of addresses that were silent: how long the next attempt may take, and when it is due.
        self._slow: dict[Address, tuple[float, float]] = {}
        #: How long a coordinator of this crawl may be silent during a call.
        self.silence_s = math.inf
        #: Is called when other addresses have been named.
        self.on_named: Callable[[tuple[Address, ...]], object] = lambda _: None

    def in_order(self) -> tuple[Address, ...]:
        """All addresses, those to be tried first at the front."""
        failed = self._failed
        last = (self._last,) if self._last is not None else ()
        known = dict.fromkeys((*last, *self._named, *self._given))
        return (*(each for each in known if each not in failed), *(each for each in failed if each in known))

    def search(self, attempt: Callable[[Address, float], T]) -> T:
        """Try the addresses until one serves. `attempt` gets an address and how long it may take.

        A coordinator that waits for its turn is left at once for the owner that it names, or else for the next.
        Raise `JoinError` if the coordinator that served last refuses the token, or none has served so far and one
        refuses it; else `Unreachable`. Any other error of an attempt ends the search.
        """
        failures: dict[Address, CrawlfleetError] = {}
        all_known = self.in_order()
        waiting = deque(filter(self._is_due, all_known)) or deque(all_known)
        while waiting:
            address = waiting.popleft()
            limit_s = GREETING_S if all_known == (address,) else self._slow.get(address, (FIRST_ATTEMPT_S, 0.0))[0]
            try:
                found = attempt(address, limit_s)
            except (JoinError, Unreachable) as error:
                failures[address] = error
                self.note_failure(address)
                if isinstance(error.__cause__, TimeoutError):
                    self._slow[address] = (min(2 * limit_s, GREETING_S), self._clock() + REST * limit_s)
                owner = address_of(error.owner) if isinstance(error, NotOwner) else None
                if (
                    owner is not None
                    and owner not in failures
                    and self._is_due(owner)
                    and len(failures) < MOST_ADDRESSES
                ):
                    waiting = deque(dict.fromkeys((owner, *waiting)))
            else:
                self.note_service(address)
                return found
        raise self._summed_up(failures)

    def learn(self, addresses: Sequence[Address]) -> None:
        """Note that the crawl's owner has named these addresses, in the place of those that it named before."""
        before, self._named = self._named, tuple(addresses)
        if self._named != before:
            self.on_named(self._named)

    def note_service(self, address: Address) -> None:
        """Note that an address serves."""
        self._last = address
        self._slow.pop(address, None)
        self._failed = tuple(each for each in self._failed if each != address)

    def note_failure(self, address: Address) -> None:
        """Note that an address does not answer, so that others are tried before it."""
        self._failed = (*(each for each in self._failed if each != address), address)[-MOST_ADDRESSES:]

    def _is_due(self, address: Address) -> bool:
        """Whether an address may be tried, or is left alone, since it was silent a moment ago."""
        return address not in self._slow or self._slow[address][1] <= self._clock()

    def _summed_up(self, failures: dict[Address, CrawlfleetError]) -> CrawlfleetError:
        """Return what is to be told of a round in which no address served."""
        refusals = [error for error in failures.values() if isinstance(error, JoinError)]
        last = failures.get(self._last) if self._last is not None else None
        # A private address may belong to another machine here, so a stranger's server there says nothing.
        if last in refusals:
            return last
        if refusals and self._last is None and not any(isinstance(error, NotOwner) for error in failures.values()):
            return refusals[0]
        silent = Unreachable("the coordinator is silent")  # and left alone for a moment
        told = next((error for error in failures.values() if isinstance(error, Unreachable)), silent)
        others = [address for address, error in failures.items() if error is not told]
        if not others:
            return told
        more = ", ".join(map(shown_address, others[:MOST_TOLD]))
        more += f" and {len(others) - MOST_TOLD} more" if len(others) > MOST_TOLD else ""
        return Unreachable(f"{told}; tried in vain, too: {more}")
