"""What may stand in front of a PostgreSQL server, behind a Unix socket: a proxy that counts round trips, and delays or
cuts them where a test wants it, and a pool."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from tests.site.postgresql_server import USER, PostgresqlServer

_NAME = ".s.PGSQL.5432"
_BIND, _SYNC, _QUERY = b"B", b"S", b"Q"
# How the message goes on, behind its letter and length, that binds the last statement of a commit.
_COMMITTED = b"\0committed\0"
PATIENCE_S = 60.0
_LOOK_EVERY_S = 0.01


class Passes(Enum):
    """What passes: all; requests without the message that ends them; requests, but no answers; or nothing, which waits
    until it passes again."""

    ALL = "all"
    UNENDED = "unended"
    REQUESTS = "requests"
    NOTHING = "nothing"


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
    """A running proxy. `round_trips` counts what clients have sent and had answered, over all connections. Each request
    waits for `delay_s`, and so does each answer. `server` may be replaced, for new connections."""

    def __init__(self, server: PostgresqlServer) -> None:
        super().__init__()
        self.server = server
        self.passes = Passes.ALL
        self.delay_s = 0.0
        self.round_trips = 0
        # What is to pass from the next commit on, and that something was kept back since.
        self._at_commit: Passes | None = None
        self._has_kept_back = threading.Event()
        self._may_commit = threading.Event()
        self._may_commit.set()
        self._holds = threading.Event()
        self._open: list[socket.socket] = []

    def hold_commits(self) -> None:
        """Keep back from now on what ends a commit: its last statement, by which it counts. All else passes."""
        self._holds.clear()
        self._may_commit.clear()

    def await_commit(self) -> None:
        """Wait until a commit is kept back."""
        assert self._holds.wait(PATIENCE_S), "no commit has come"

    def let_commits_go(self) -> None:
        """Let commits pass, those that were kept back, too, if their connections are still there."""
        self._may_commit.set()

    def cut(self) -> None:
        """Close all connections, on both sides."""
        while self._open:
            with suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def cut_commit(self, timeout_s: float, *, is_sent: bool) -> bool:
        """Cut all connections at the next commit of a crawl: when it `is_sent` before its answer passes, else before
        its end does. Say whether there was one in time."""
        self._has_kept_back.clear()
        self._at_commit = Passes.REQUESTS if is_sent else Passes.UNENDED
        was_cut = self._has_kept_back.wait(timeout_s)
        self._at_commit = None
        self.passes = Passes.ALL  # before the cut, so that whoever connects after it is answered
        if was_cut:
            self.cut()
        return was_cut

    def _close(self) -> None:
        self.passes = Passes.ALL
        self.cut()
        self.let_commits_go()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(self.server.folder / _NAME))
            self._open += client, server
            threading.Thread(target=self._answers, args=(server, client), daemon=True).start()
            self._requests(client, server)

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        is_commit = False
        with suppress(OSError):
            for message in _messages(client):
                kind = message[:1]
                if kind == _BIND and message.startswith(_COMMITTED, 5):
                    is_commit = True
                    self._holds.set()
                    self._may_commit.wait()
                if kind in (_SYNC, _QUERY):
                    self._meet_end(is_commit=is_commit)
                    is_commit = False
                self._await_passage()
                if kind == _SYNC and self.passes is Passes.UNENDED:
                    self._has_kept_back.set()
                    continue
                self.round_trips += kind in (_SYNC, _QUERY)
                server.sendall(message)
            server.shutdown(socket.SHUT_RDWR)

    def _meet_end(self, *, is_commit: bool) -> None:
        """Meet the end of a request, after the delay; that of a commit may be what somebody waits for."""
        time.sleep(self.delay_s)
        if is_commit and self._at_commit is not None:
            self.passes, self._at_commit = self._at_commit, None

    def _await_passage(self) -> None:
        while self.passes is Passes.NOTHING:
            time.sleep(_LOOK_EVERY_S)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65_536):
                time.sleep(self.delay_s)
                self._await_passage()
                if self.passes is Passes.REQUESTS:
                    self._has_kept_back.set()
                else:
                    client.sendall(data)
        # The end of a server that was killed may be an error here; its client hears of it in any case.
        self._await_passage()
        with suppress(OSError):
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
