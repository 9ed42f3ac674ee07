"""How a coordinator waits for a crawl in a database: for its turn while another one owns it, or for the database.

Meanwhile its port refuses members and names the owner. The session of an owner whose heartbeat stands still is ended:
nothing else ends that of a process which was stopped in the middle of a transaction.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from crawlfleet.coordinator.frontier.port import Candidate, Claim, Owner
from crawlfleet.coordinator.listening import Listening
from crawlfleet.coordinator.sinks.port import SinkUnreachable
from crawlfleet.shared.errors import CrawlLost
from crawlfleet.shared.wire.binding import Address, address_of

T = TypeVar("T")

#: An owner whose heartbeat has stood still for so many lease times is taken for dead.
SILENT_LEASES = 1.5
#: After so many it may be: nobody is sent there any more, and it is looked at more often.
QUIET_LEASES = 1.0
#: It is looked at so often at least, or thrice a lease time; or so many times as often.
LOOK_S = 1.0
LOOKS_AT_QUIET = 4
#: The database is tried again after so long.
RETRY_S = 0.5
SAID_EVERY_S = 10.0
_PAUSE_S = 0.1


class StandingBy:
    """One coordinator that wants a crawl in a database. With `waits` it waits for its turn from the start; otherwise
    only once it has owned the crawl."""

    def __init__(
        self,
        listening: Listening,
        lease_s: float,
        *,
        waits: bool,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._listening = listening
        self._lease_s = lease_s
        self._waits = waits
        # Once it has waited or served, it waits for a database that is away, too.
        self._is_patient = self._is_standing_by = False
        self._clock = clock
        self._sleep = sleep
        self._owner: Owner | None = None
        self._look_at = 0.0
        self._opened_at = -math.inf
        # What was said, and when it may be said again.
        self._said: dict[str, float] = {}
        # The opening of the owner whose heartbeat stood still at the last look.
        self._silent_epoch = 0

    def candidate(self) -> Candidate:
        """Return with what the crawl is opened."""
        return Candidate(self._listening.address, self._lease_s, self._wait if self._waits else None)

    def until_open(self, open_crawl: Callable[[], T]) -> T:
        """Return what `open_crawl` opens; call it again while its database, or that of a sink, does not answer."""
        while True:
            try:
                opened = open_crawl()
            except (CrawlLost, SinkUnreachable) as error:
                if not self._is_patient:
                    raise
                self._say(f"{error}: this coordinator waits for it, and goes on then")
                self._sleep(RETRY_S)
            else:
                self._is_patient = self._waits = True
                self._owner, self._look_at, self._opened_at = None, 0.0, self._clock()
                self._is_standing_by = False
                return opened

    def note_loss(self, error: CrawlLost) -> None:
        """Say why the crawl was lost. One that was lost soon after it was opened, and may be again, is left alone for a
        moment."""
        self._say(f"{error}: this coordinator opens the crawl again when it can")
        if self._clock() < self._opened_at + RETRY_S:
            self._sleep(RETRY_S)

    def _say(self, sentence: str) -> None:
        """Say a sentence unless it was said a moment ago."""
        now = self._clock()
        self._said = {said: until for said, until in self._said.items() if until > now}
        if sentence not in self._said:
            self._said[sentence] = now + SAID_EVERY_S
            structlog.get_logger().warning(sentence)

    def _wait(self, claim: Claim) -> None:
        """Wait for a moment, while another coordinator has the crawl."""
        if self._clock() >= self._look_at:
            self._look(claim)
            every_s = min(LOOK_S, self._lease_s / 3)
            self._look_at = self._clock() + (every_s / LOOKS_AT_QUIET if self._is_quiet() else every_s)
        self._sleep(_PAUSE_S)

    def _look(self, claim: Claim) -> None:
        """Look at the owner, and be seen by it."""
        before, self._owner = self._owner, claim.owner()
        if not self._is_standing_by:
            self._listening.stand_by(self._where_to)
        self._is_standing_by = self._is_patient = True
        owner = self._owner
        if owner is None:
            return
        claim.say_waiting(self._listening.address)
        if before is None or before.epoch != owner.epoch:
            structlog.get_logger().info(
                f"the coordinator {owner.name} owns the crawl {owner.told_since}: "
                f"this one stands by at {self._listening.address}, and takes over when that one ends"
            )
        self._end_if_silent(claim, owner)

    def _where_to(self) -> Address | None:
        """Return where the owner serves the crawl, if it is known to do so."""
        return address_of(self._owner.address) if self._owner is not None and not self._is_quiet() else None

    def _is_quiet(self) -> bool:
        return self._owner is not None and self._owner.silent_s > QUIET_LEASES * self._lease_s

    def _end_if_silent(self, claim: Claim, owner: Owner) -> None:
        """End the session of an owner that is silent for the second time: at the first, a next one may be beginning."""
        is_silent = owner.silent_s > SILENT_LEASES * self._lease_s
        if is_silent and self._silent_epoch == owner.epoch and claim.terminate_owner():
            structlog.get_logger().warning(
                f"the coordinator {owner.name} has said nothing for {owner.silent_s:.1f} s: its session was ended"
            )
            is_silent = False
        self._silent_epoch = owner.epoch if is_silent else 0
