"""Core files: what the system would write of a process that crashes holds the secrets that are in its memory."""

from __future__ import annotations

import resource


def forbid() -> None:
    """Have the system write none, of this process and of those that it starts."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
