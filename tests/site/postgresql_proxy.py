"""What may stand in front of a PostgreSQL server, behind a Unix socket: a proxy that counts round trips, and cuts them
where a test wants it, and a pool."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from tests.site.postgresql_server import USER, PostgresqlServer

_NAME = ".s.PGSQL.5432"
_SYNC, _QUERY = b"S", b"Q"


class Passes(Enum):
    """What passes: all; requests without the message that ends them; or requests, but no answers."""

    ALL = "all"
    UNENDED = "unended"
    REQUESTS = "requests"


class _Front:
    """What listens at a Unix socket in a folder of its own, and serves each client in a thread, before a server."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-front-"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.folder / _NAME))
        self._listener.listen()

    def address(self) -> str:
        """Return the address of the database, through what is in front of it."""
        return f"postgresql:///postgres?host={quote(str(self.folder))}&user={USER}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        raise NotImplementedError

    def _close(self) -> None:
        raise NotImplementedError


class PostgresqlProxy(_Front):
    """A running proxy. `round_trips` counts what clients have sent and had answered, over all connections."""

    def __init__(self, server: PostgresqlServer) -> None:
        super().__init__()
        self._server = server
        self.passes = Passes.ALL
        self.round_trips = 0
        self._open: list[socket.socket] = []

    def cut(self) -> None:
        """Close all connections, on both sides."""
        while self._open:
            with suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        self.cut()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server.folder / _NAME))
            self._open += client, server
            threading.Thread(target=self._answers, args=(server, client), daemon=True).start()
            self._requests(client, server)

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError), client, server:
            for message in _messages(client):
                kind = message[:1]
                if kind == _SYNC and self.passes is Passes.UNENDED:
                    continue
                self.round_trips += kind in (_SYNC, _QUERY)
                server.sendall(message)
            server.shutdown(socket.SHUT_RDWR)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                if self.passes is not Passes.REQUESTS:
                    client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


def _messages(sender: socket.socket, at: int = 0) -> Iterator[bytes]:
    """Yield the messages of a sender. The first one of a client has no letter before its length."""
    data = b""
    while received := sender.recv(65_536):
        data += received
        while len(data) >= at + 4 and len(data) >= (size := at + int.from_bytes(data[at : at + 4])):
            yield data[:size]
            data, at = data[size:], 1


class TransactionPool(_Front):
    """A pool in front of a PostgreSQL server with one session, which a client has for the time of a transaction."""

    def __init__(self, server: PostgresqlServer) -> None:
        super().__init__()
        self._session = socket.socket(socket.AF_UNIX)
        self._session.connect(str(server.folder / _NAME))
        named = f"user\0{USER}\0database\0postgres\0client_encoding\0UTF8\0\0".encode()
        self._session.sendall((8 + len(named)).to_bytes(4) + (3 << 16).to_bytes(4) + named)
        self._greeting = self._answers()
        self._is_free = threading.Lock()

    def _close(self) -> None:
        self._session.close()

    def _serve(self, client: socket.socket) -> None:
        messages = _messages(client)
        with suppress(OSError, StopIteration), client:
            next(messages)
            client.sendall(self._greeting)
            while True:
                first = next(messages)
                if first[:1] == b"X":
                    return
                with self._is_free:
                    self._transaction(client, first, messages)

    def _transaction(self, client: socket.socket, message: bytes, messages: Iterator[bytes]) -> None:
        while True:
            self._session.sendall(message)
            if message[:1] in (_SYNC, _QUERY):
                answers = self._answers()
                client.sendall(answers)
                if answers.endswith(b"I"):
                    return
            message = next(messages)

    def _answers(self) -> bytes:
        """Return what the server says until it is ready for the next query, and how it is then."""
        found = b""
        for message in _messages(self._session, at=1):
            found += message
            if message[:1] == b"Z":
                break
        return found
