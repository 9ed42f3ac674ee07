"""A PostgreSQL server of its own for tests: of Debian's package, in a folder of /tmp, behind a Unix socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

USER = "crawler"
_SETTINGS = ("fsync=off", "listen_addresses=", "max_connections=30", "shared_buffers=16MB", "log_min_messages=panic")


def programs() -> Path | None:
    """Return the folder of the newest server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class PostgresqlServer:
    """A running server. Root may not run one: then `nobody` does."""

    def __init__(self) -> None:
        bin_folder = programs()
        assert bin_folder is not None
        self._bin = bin_folder
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._as: dict[str, str] = {}
        if os.getuid() == 0:
            self._as = {"user": "nobody", "group": "nogroup"}
            shutil.chown(self.folder, "nobody", "nogroup")
        self._run("initdb", "-D", "data", "-U", USER, "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")

    def address(self, database: str = "postgres") -> str:
        """Return the address of a database."""
        return f"postgresql:///{database}?host={quote(str(self.folder))}&user={USER}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = " ".join(f"-c {setting}" for setting in (*_SETTINGS, f"unix_socket_directories={self.folder}"))
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")

    def stop(self) -> None:
        """Stop the server as a crash does: its clients lose their connections."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", "immediate", "stop")

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
