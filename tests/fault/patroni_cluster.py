"""Two PostgreSQL servers that Patroni keeps, with one etcd, as programs of this machine: of Debian's packages."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import psycopg
import yaml

from tests.fault.fleet_processes import await_that, children_of, end_group, free_port, signal_one
from tests.site.postgresql_server import AS_USER, USER, programs

HOST = "127.0.0.1"
START_S = 90.0
# How long a primary may be silent until the other one is promoted, how often each looks, how long etcd may take.
TTL_S, LOOK_S, ETCD_S = 8, 1, 3


def what_is_missing() -> str:
    """Return the first program that is not installed; nothing if all are."""
    missing = (program for program in ("etcd", "patroni") if not shutil.which(program))
    return next(missing, "" if programs() else "postgresql")


class PatroniNode:
    """One server and its Patroni."""

    def __init__(self, folder: Path, name: str, etcd_port: int) -> None:
        self.port = free_port()
        self.data = folder / name
        self._settings = folder / f"{name}.yaml"
        self._settings.write_text(yaml.safe_dump(_settings(folder, name, self.port, etcd_port)))

    def start(self) -> None:
        """Start it."""
        self._patroni = _start(self._settings.with_suffix(".log"), "patroni", str(self._settings))

    def kill(self) -> None:
        """Kill all that runs of it, as the end of its machine does."""
        end_group(self._patroni)
        noted = self.data / "postmaster.pid"
        if noted.exists():
            first = int(noted.read_text().split()[0])
            for process in (first, *children_of(first)):
                signal_one(process, signal.SIGKILL)
            await_that(lambda: not Path(f"/proc/{first}").exists(), START_S, "end of a server")
            noted.unlink()


class PatroniCluster:
    """A primary and its synchronous standby."""

    def __init__(self) -> None:
        self._ends = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="patroni-"))
        self._ends.callback(shutil.rmtree, self.folder, ignore_errors=True)
        if os.getuid() == 0:
            shutil.chown(self.folder, "nobody", "nogroup")
        self._etcd_port = free_port()
        self.nodes = [PatroniNode(self.folder, name, self._etcd_port) for name in ("a", "b")]

    @property
    def address(self) -> str:
        """The address of whichever server is the primary."""
        hosts = ",".join(f"{HOST}:{node.port}" for node in self.nodes)
        return f"postgresql://{USER}@{hosts}/postgres?target_session_attrs=read-write"

    @property
    def primary(self) -> PatroniNode:
        """The node of the primary."""
        with psycopg.connect(self.address, connect_timeout=5) as db:
            (found,) = (node for node in self.nodes if node.port == db.info.port)
        return found

    def __enter__(self) -> PatroniCluster:
        try:
            self._start()
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def _start(self) -> None:
        client, peer = (f"http://{HOST}:{port}" for port in (self._etcd_port, free_port()))
        place = ("--data-dir", str(self.folder / "etcd"), "--unsafe-no-fsync")
        clients = ("--listen-client-urls", client, "--advertise-client-urls", client)
        peers = ("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer)
        members = ("--initial-cluster", f"default={peer}")
        etcd = _start(self.folder / "etcd.log", "etcd", *place, *clients, *peers, *members)
        self._ends.callback(end_group, etcd)
        for node in self.nodes:
            node.start()
            self._ends.callback(node.kill)
        self.await_standby()

    def await_standby(self) -> None:
        """Wait until the primary has its synchronous standby."""
        await_that(self._is_replicated, START_S, "primary with a synchronous standby")

    def _is_replicated(self) -> bool:
        query = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'"
        try:
            with psycopg.connect(self.address, connect_timeout=5) as db:
                return db.execute(query).fetchone() == (1,)
        except psycopg.OperationalError:
            return False


def _settings(folder: Path, name: str, port: int, etcd_port: int) -> dict[str, object]:
    rest, server = (f"{HOST}:{number}" for number in (free_port(), port))
    bin_folder = programs()
    assert bin_folder is not None
    shared = {
        "ttl": TTL_S,
        "loop_wait": LOOK_S,
        "retry_timeout": ETCD_S,
        "synchronous_mode": True,
        "postgresql": {"use_pg_rewind": True, "parameters": {"shared_buffers": "16MB", "max_connections": 30}},
    }
    return {
        "scope": "crawls",
        "name": name,
        "restapi": {"listen": rest, "connect_address": rest},
        "etcd3": {"host": f"{HOST}:{etcd_port}"},
        "watchdog": {"mode": "off"},
        "bootstrap": {"dcs": shared, "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "no-sync"]},
        "postgresql": {
            "listen": server,
            "connect_address": server,
            "data_dir": str(folder / name),
            "bin_dir": str(bin_folder),
            "pgpass": str(folder / f"{name}.pgpass"),
            "parameters": {"unix_socket_directories": str(folder)},
            "pg_hba": [f"host {database} all {HOST}/32 trust" for database in ("all", "replication")],
            "authentication": {"superuser": {"username": USER}, "replication": {"username": "replicator"}},
        },
    }


def _start(log: Path, *command: str) -> subprocess.Popen[bytes]:
    with log.open("ab") as out:
        return subprocess.Popen(
            (*AS_USER, *command),
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
