"""A PostgreSQL server of its own for tests: of Debian's package, in a folder of /tmp, behind a Unix socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

USER = "crawler"
#: What a server says that has found its disk full.
DISK_FULL = "No space left on device"
# Room for a new server, and a crawl of some hundred pages.
_SMALL_DISK, _BALLAST = "64m", "ballast"
_SMALL_WAL = ("min_wal_size=2MB", "max_wal_size=8MB", "log_min_messages=error")
#: What goes in front of a program that root may not run.
AS_USER = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups") if os.getuid() == 0 else ()
_SETTINGS = ("listen_addresses=", "max_connections=30", "shared_buffers=16MB", "log_min_messages=panic")


def programs() -> Path | None:
    """Return the folder of the newest server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class PostgresqlServer:
    """A running server, with more settings. Unless it `syncs`, a power cut may damage it. Root may not run one: then
    `nobody` does. It is a standby `of` another one if that is given, which knows it as `standby`. Its folder is in that
    for temporary files, or `within` another one, which it may enter. With a `small_disk`, which only root can mount,
    `fill_disk` leaves it no room. `preface` goes in front of its commands."""

    def __init__(
        self,
        *settings: str,
        syncs: bool = False,
        encoding: str = "UTF8",
        of: PostgresqlServer | None = None,
        small_disk: bool = False,
        preface: tuple[str, ...] = (),
        within: Path | None = None,
    ) -> None:
        self._settings = (
            *_SETTINGS,
            f"fsync={'on' if syncs else 'off'}",
            *(_SMALL_WAL if small_disk else ()),
            *settings,
        )
        self._has_small_disk = small_disk
        bin_folder = programs()
        assert bin_folder is not None
        self._bin = bin_folder
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir=within))
        self._data = self.folder / "data"
        self._preface = (*preface, *AS_USER)
        if small_disk:
            self._data.mkdir()
            subprocess.run(("mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK}", "tmpfs", self._data), check=True)
        if os.getuid() == 0:
            for folder in (self.folder, self._data) if small_disk else (self.folder,):
                shutil.chown(folder, "nobody", "nogroup")
        if of is not None:
            primary = f"host={of.folder} user={USER} application_name=standby"
            self._run("pg_basebackup", "-D", "data", "-R", "--no-sync", "--checkpoint=fast", "-d", primary)
            return
        segments = ("--wal-segsize=1",) if small_disk else ()
        options = ("--auth=trust", "--no-sync", f"--encoding={encoding}", "--locale=C", *segments)
        self._run("initdb", "-D", "data", "-U", USER, *options)

    def address(self, database: str = "postgres") -> str:
        """Return the address of a database."""
        return f"postgresql:///{database}?host={quote(str(self.folder))}&user={USER}"

    def create_database(self, name: str) -> str:
        """Create a database; return its address."""
        self._run("createdb", "-h", str(self.folder), "-U", USER, name)
        return self.address(name)

    def command(self) -> list[str]:
        """Return the command that runs the server, until it is terminated."""
        return [*self._preface, str(self._bin / "postgres"), "-D", str(self._data), *self._options()]

    def answers(self) -> bool:
        """Say whether the server accepts connections."""
        ask = [str(self._bin / "pg_isready"), "--quiet", f"--host={self.folder}"]
        return subprocess.run(ask, check=False).returncode == 0

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", " ".join(self._options()), "start")

    def stop(self, *, in_order: bool = False) -> None:
        """Stop the server as a crash does: its clients lose their connections. If `in_order`, it tells them."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", "fast" if in_order else "immediate", "stop")

    def promote(self) -> None:
        """Make a primary of a standby."""
        self._run("pg_ctl", "-D", "data", "-w", "promote")

    def kill(self) -> None:
        """Kill all processes of the server at once, without a chance to tell their clients."""
        killed = self._signal(signal.SIGKILL)
        while any(Path(f"/proc/{number}").exists() for number in killed):
            time.sleep(0.01)

    def freeze(self) -> None:
        """Stop all processes of the server: it is silent until it is thawed."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)

    def is_running(self) -> bool:
        """Say whether the server neither was stopped nor has ended by itself."""
        with suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "-D", "data", "status")
            return True
        return False

    def fill_disk(self) -> None:
        """Take all the room that a small disk has left."""
        with suppress(OSError), (self._data / _BALLAST).open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4_096))

    def free_disk(self) -> None:
        """Give that room back."""
        (self._data / _BALLAST).unlink()

    def has_said(self, words: str) -> int:
        """Return how often the server has said some words in its log."""
        return (self.folder / "log").read_text(errors="replace").count(words)

    def __enter__(self) -> PostgresqlServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_running():
            self.stop()
        if self._has_small_disk:
            subprocess.run(("umount", self._data), check=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, number: signal.Signals) -> Sequence[int]:
        """Send a signal to all processes of the server, and return their ids. Meanwhile it starts no other one."""
        first = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(first, signal.SIGSTOP)
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        processes = (*map(int, children), first)
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, number)
        return processes

    def _options(self) -> list[str]:
        settings = (*self._settings, f"unix_socket_directories={self.folder}")
        return [option for setting in settings for option in ("-c", setting)]

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._preface, str(self._bin / program), *arguments]
        own: dict[str, Any]
        # A server that is started must not hold the pipes of this process.
        with (self.folder / "said").open("w") as said:
            own = {"cwd": self.folder, "stdin": subprocess.DEVNULL, "stdout": said, "stderr": said}
            subprocess.run(command, timeout=60, check=True, **own)
