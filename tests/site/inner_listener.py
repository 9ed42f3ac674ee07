"""A service that nobody may reach: it listens, and tells whoever has connected to it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

PATIENCE_S = 5.0


class InnerListener:
    """Sockets that listen at one port of several addresses. What connects waits to be told by `visitors`."""

    def __init__(self, port: int, sockets: dict[str, socket.socket]) -> None:
        self.port = port
        self._sockets = sockets

    def visitors(self) -> list[str]:
        """Return where each of those connected who came since the last call, and the first bytes that each has sent."""
        found = []
        for address, listener in self._sockets.items():
            with suppress(BlockingIOError):
                while True:
                    visitor, _ = listener.accept()
                    with visitor:
                        visitor.settimeout(PATIENCE_S)
                        found.append(f"{address}: {_first_bytes(visitor)!r}")
        return found

    def is_reachable(self) -> bool:
        """Say whether each of the sockets notices a visitor."""
        for address in self._sockets:
            with socket.create_connection((address, self.port), PATIENCE_S) as visitor:
                visitor.sendall(b"it is me")
        return self.visitors() == [f"{address}: b'it is me'" for address in self._sockets]


def _first_bytes(visitor: socket.socket) -> bytes:
    try:
        return visitor.recv(200)
    except OSError:
        return b""


@contextmanager
def listening(*addresses: str, port: int = 0) -> Iterator[InnerListener]:
    """Listen at addresses, all at one port, while the block runs; those that this machine lacks are passed over."""
    with ExitStack() as stack:
        sockets = _listen(addresses, port)
        for each in sockets.values():
            stack.enter_context(each)
        yield InnerListener(next(iter(sockets.values())).getsockname()[1], sockets)


def _listen(addresses: tuple[str, ...], port: int) -> dict[str, socket.socket]:
    sockets: dict[str, socket.socket] = {}
    at = port
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            listener = sockets[address] = socket.create_server((address, at), family=family, backlog=1024)
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue
            for each in sockets.values():
                each.close()
            if error.errno != errno.EADDRINUSE or port:
                raise
            return _listen(addresses, port)  # another port is free at all of them
        listener.setblocking(False)
        at = listener.getsockname()[1]
    return sockets
