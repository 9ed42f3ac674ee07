"""Asks the coordinator of an embedded crawl for its numbers, for a caller and for what a caller should be told."""

from __future__ import annotations

import time
from collections.abc import Iterator

from crawlfleet.shared.errors import Unreachable
from crawlfleet.shared.messages import encode
from crawlfleet.shared.quantities import duration_text
from crawlfleet.shared.status import Status
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.shared.wire.manager import FleetManager

LOOK_EVERY_S = 2.0
NAMED = 2
UNANSWERED = "No name server and no host has answered so far: is this machine connected?"


class Watchman:
    """A connection to the coordinator that a token names."""

    def __init__(self, token: str) -> None:
        self._manager = FleetManager.joining(JoinToken.parse(token))
        self._is_connected = False
        self._look_at = time.monotonic() + LOOK_EVERY_S
        self._told: set[str] = set()

    def status(self) -> bytes:
        """Return the encoded numbers of the crawl; empty if the coordinator does not answer."""
        status = self._ask()
        return b"" if status is None else encode(status)

    def news(self) -> Iterator[str]:
        """Yield, now and then, what keeps the crawl waiting, each sentence once."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_EVERY_S
        status = self._ask()
        for text in () if status is None else _waits(status):
            if text not in self._told:
                self._told.add(text)
                yield text

    def close(self) -> None:
        """End the connection."""
        self._manager.disconnect()

    def _ask(self) -> Status | None:
        try:
            if not self._is_connected:
                self._manager.connect()
                self._is_connected = True
            return self._manager.Control().status()
        except Unreachable:
            return None


def _waits(status: Status) -> Iterator[str]:
    if status.unanswered:
        yield UNANSWERED
    if status.robots_waiting and status.robots_last_s is not None:
        some = ", ".join(status.robots_waiting_for[:NAMED])
        yield (
            f"The crawl waits for robots.txt of {some}, as nothing else is left; politeness.robots_wait_last says how "
            f"long ({duration_text(round(status.robots_last_s))} from now)."
        )
