"""The trusted certificate authorities: certifi's, and those that the job adds."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import certifi


def usual_file() -> str:
    """Return the path of certifi's certificates."""
    return certifi.where()


class AuthoritiesFile:
    """A file with all authorities, for a library that reads a file once, but a text for each connection."""

    def __init__(self, ca_pem: str) -> None:
        self.path = usual_file()
        self._own: Any = None
        if ca_pem:
            # It has no name, so that nothing is left of it if the process is killed.
            self._own = tempfile.TemporaryFile("w", encoding="utf-8")  # noqa: SIM115  # close() ends it
            self._own.write(Path(self.path).read_text(encoding="utf-8") + "\n" + ca_pem)
            self._own.flush()
            self.path = f"/proc/self/fd/{self._own.fileno()}"

    def close(self) -> None:
        """Remove the file, if it is our own."""
        if self._own is not None:
            self._own.close()
