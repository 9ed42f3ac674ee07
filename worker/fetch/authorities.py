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
            # It exists until `close`.
            self._own = tempfile.NamedTemporaryFile("w", prefix="crawlfleet-", suffix=".pem", encoding="utf-8")  # noqa: SIM115  # close() ends it
            self._own.write(Path(self.path).read_text(encoding="utf-8") + "\n" + ca_pem)
            self._own.flush()
            self.path = self._own.name

    def close(self) -> None:
        """Remove the file, if it is our own."""
        if self._own is not None:
            self._own.close()
