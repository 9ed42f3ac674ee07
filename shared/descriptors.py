"""File descriptors: how many this process may open (`ulimit -n`), and what follows from that for its connections.

A process that has none left cannot connect, nor look a name up. That is no fault of a host, so it must be told apart
from one, and is better avoided: some systems allow only 256.
"""

from __future__ import annotations

import errno
import resource
from contextlib import suppress
from pathlib import Path

# For pipes, files and the connection to the coordinator; and beyond those that are open already, such as a hook's.
RESERVED = 48
SPARE = 24
# A fetch needs one for its connection, and some more for a moment while a name is looked up.
PER_FETCH = 5
PER_IDLE_CONNECTION = 3
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE})
# If the system refuses its own hard limit, as macOS does: what it accepts (OPEN_MAX).
_OPEN_MAX = 10_240
_OPEN = Path("/dev/fd")


def raise_limit() -> None:
    """Raise the limit of this process, and of its children, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard or soft == resource.RLIM_INFINITY:
        return
    for limit in (hard, _OPEN_MAX):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            return


def limit() -> int | None:
    """Return how many descriptors this process may have open; None if there is no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def fetches_within(wanted: int) -> int:
    """Return how many pages may be fetched at once, at most `wanted`; 0 if there is no room for any."""
    return min(wanted, _room() // PER_FETCH)


def idle_connections_within(wanted: int) -> int:
    """Return how many idle connections this process may keep, at most `wanted`, and at least one."""
    return max(1, min(wanted, _room() // PER_IDLE_CONNECTION))


def are_exhausted() -> bool:
    """Say whether this process or the machine has hardly a descriptor left.

    Not whether it has none: some may have been closed since an error that came for want of one.
    """
    try:
        in_use = _in_use()
    except OSError as error:
        return error.errno in EXHAUSTED
    most = limit()
    return most is not None and in_use >= most - max(16, most // 8)


def _room() -> int:
    most = limit()
    return max(0, most - max(RESERVED, _in_use() + SPARE)) if most is not None else 1_000_000


def _in_use() -> int:
    """Return how many descriptors are open. Raise `OSError` if none is left."""
    return len(list(_OPEN.iterdir())) - 1  # without the one that lists them
