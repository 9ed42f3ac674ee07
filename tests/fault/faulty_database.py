"""A PostgreSQL server that two coordinators come to, each through a proxy of its own, and what may happen to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

import psycopg

from tests.fault.fleet_processes import await_that
from tests.site.postgresql_proxy import PostgresqlProxy
from tests.site.postgresql_server import DISK_FULL, PostgresqlServer

END_S = 60.0


def can_fill_disk() -> bool:
    """Say whether a small disk can be had: only root can mount one."""
    return os.getuid() == 0


class FaultyDatabase:
    """A server with a proxy for each of two coordinators, maybe with a synchronous standby or on a small disk."""

    def __init__(self, *, has_standby: bool = False, has_small_disk: bool = False) -> None:
        self._has_small_disk = has_small_disk
        self._has_standby = has_standby
        self._standby: PostgresqlServer | None = None
        self._leaves = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as entered:
            names = ("synchronous_standby_names=standby",) if self._has_standby else ()
            self._server = entered.enter_context(PostgresqlServer(*names, syncs=True, small_disk=self._has_small_disk))
            if self._has_standby:
                self._standby = entered.enter_context(PostgresqlServer(syncs=True, of=self._server))
            self.ways = [entered.enter_context(PostgresqlProxy(self._server)) for _ in range(2)]
            self._leaves = entered.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leaves.close()

    @property
    def addresses(self) -> Sequence[str]:
        """Where each of the two coordinators finds the database."""
        return [way.address() for way in self.ways]

    @property
    def own_address(self) -> str:
        """Where the database is, without a proxy."""
        return self._server.address()

    def kill(self) -> None:
        """Kill the server."""
        self._server.kill()

    def stop(self) -> None:
        """Stop the server in an orderly way."""
        self._server.stop(in_order=True)

    def start(self) -> None:
        """Start the server again."""
        self._server.start()

    def freeze(self) -> None:
        """Let the server be silent."""
        self._server.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        self._server.thaw()

    def delay(self, delay_s: float) -> None:
        """Let all requests and answers take longer."""
        for way in self.ways:
            way.delay_s = delay_s

    def fail_over(self) -> None:
        """Let the standby of a server that was killed take its place."""
        assert self._standby is not None
        self._server, self._standby = self._standby, None
        self._server.promote()
        for way in self.ways:
            way.server = self._server

    def fill_disk(self) -> None:
        """Leave the server no room, and wait until it has noticed."""
        before = self._server.has_said(DISK_FULL)
        self._server.fill_disk()
        await_that(lambda: self._server.has_said(DISK_FULL) > before, END_S, "server without room")

    def free_disk(self) -> None:
        """Give the room back, start the server if it has ended, and wait until it answers."""
        self._server.free_disk()

        def answers() -> bool:
            if not self._server.is_running():
                self._server.start()
            with suppress(psycopg.OperationalError), psycopg.connect(self._server.address()):
                return True
            return False

        await_that(answers, END_S, "answer of a server with room")
