"""The coordinator's port, from its first use until the process ends, whoever owns the crawl meanwhile.

While this process owns the crawl the port serves it; while another one does, or none can, it stands by. The address and
the join token stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from crawlfleet.shared.wire.binding import Address, shown_address
from crawlfleet.shared.wire.control_port import FleetServer
from crawlfleet.shared.wire.identity import load_or_create
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.shared.wire.manager import FleetManager


class Listening:
    """One port. `identity` is the folder of its key and secret, `advertise` are the addresses that its token names."""

    def __init__(self, identity: Path, address: Address, advertise: Sequence[Address] = ()) -> None:
        self._identity = identity
        self._address = address
        self._advertise = advertise
        self._opened: tuple[FleetServer, JoinToken] | None = None

    def open(self) -> tuple[FleetServer, JoinToken]:
        """Return the server and its token; bind the address if no server listens, or raise `UsageError`."""
        if self._opened is None or self._opened[0].stop_event.is_set():
            manager = FleetManager.serving({}, load_or_create(self._identity), *self._address, on_bug=_log_bug)
            server = manager.get_server()
            self._opened = server, server.join_token(self._advertise)
        return self._opened

    @property
    def address(self) -> str:
        """Where workers find this coordinator, `HOST:PORT`."""
        server, token = self.open()
        return shown_address(server.place_among(token.addresses))

    def stand_by(self, owner: Callable[[], Address | None]) -> None:
        """Refuse all who call, until the crawl is served; `owner` says where its owner is, if that is known."""
        server, _ = self.open()
        server.stand_by(owner)
        server.start()

    def close(self) -> None:
        """Stop the server, unless whoever was served last has done so."""
        if self._opened is not None and not self._opened[0].stop_event.is_set():
            self._opened[0].stop()


def _log_bug(error: BaseException) -> None:
    structlog.get_logger().error("internal error", exc_info=error)
