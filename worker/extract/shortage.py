"""What this machine lacked when a page could not be read: memory, file descriptors, or room on its disk."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from crawlfleet.shared.reasons import Reason

_BY_ERRNO = {
    errno.ENOMEM: Reason.OUT_OF_MEMORY,
    errno.EMFILE: Reason.HOOK_DESCRIPTORS,
    errno.ENFILE: Reason.HOOK_DESCRIPTORS,
    errno.ENOSPC: Reason.HOOK_DISK,
    errno.EDQUOT: Reason.HOOK_DISK,
}
# Libraries in C have errors of their own for it, lxml among them.
_TEXT = re.compile("out of memory|memory allocation failed|cannot allocate memory", re.IGNORECASE)
_LONGEST_CHAIN = 20


def shortage_of(error: BaseException) -> Reason | None:
    """Return what was lacking when an error was raised; None if it is about something else."""
    for each in _chain(error):
        if isinstance(each, MemoryError):
            return Reason.OUT_OF_MEMORY
        if isinstance(each, OSError) and each.errno in _BY_ERRNO:
            return _BY_ERRNO[each.errno]
    return Reason.OUT_OF_MEMORY if _TEXT.search(str(error)) else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and those from which it was raised."""
    each: BaseException | None = error
    for _ in range(_LONGEST_CHAIN):
        if each is None:
            return
        yield each
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
