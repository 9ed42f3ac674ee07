"""A PostgreSQL server of its own for tests: of Debian's package, in a folder of /tmp, behind a Unix socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

USER = "crawler"
_SETTINGS = ("listen_addresses=", "max_connections=30", "shared_buffers=16MB", "log_min_messages=panic")


def programs() -> Path | None:
    """Return the folder of the newest server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class PostgresqlServer:
    """A running server, with more settings. Unless it `syncs`, a power cut may damage it. Root may not run one: then
    `nobody` does. It is a standby `of` another one if that is given, which knows it as `standby`."""

    def __init__(
        self, *settings: str, syncs: bool = False, encoding: str = "UTF8", of: PostgresqlServer | None = None
    ) -> None:
        self._settings = (*_SETTINGS, f"fsync={'on' if syncs else 'off'}", *settings)
        bin_folder = programs()
        assert bin_folder is not None
        self._bin = bin_folder
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._as: dict[str, str] = {}
        if os.getuid() == 0:
            self._as = {"user": "nobody", "group": "nogroup"}
            shutil.chown(self.folder, "nobody", "nogroup")
        if of is not None:
            primary = f"host={of.folder} user={USER} application_name=standby"
            self._run("pg_basebackup", "-D", "data", "-R", "--no-sync", "--checkpoint=fast", "-d", primary)
            return
        self._run(
            "initdb", "-D", "data", "-U", USER, "--auth=trust", "--no-sync", f"--encoding={encoding}", "--locale=C"
        )

    def address(self, database: str = "postgres") -> str:
        """Return the address of a database."""
        return f"postgresql:///{database}?host={quote(str(self.folder))}&user={USER}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = " ".join(f"-c {setting}" for setting in (*self._settings, f"unix_socket_directories={self.folder}"))
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")

    def stop(self) -> None:
        """Stop the server as a crash does: its clients lose their connections."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")

    def promote(self) -> None:
        """Make a primary of a standby."""
        self._run("pg_ctl", "-D", "data", "-w", "promote")

    def kill(self) -> None:
        """Kill all processes of the server at once, without a chance to tell their clients."""
        first = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        for number in (first, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        while Path(f"/proc/{first}").exists():
            time.sleep(0.01)

    def __enter__(self) -> PostgresqlServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        own: dict[str, Any]
        # A server that is started must not hold the pipes of this process.
        with (self.folder / "said").open("w") as said:
            own = {"cwd": self.folder, "stdin": subprocess.DEVNULL, "stdout": said, "stderr": said, **self._as}
            subprocess.run(command, timeout=60, check=True, **own)
