"""Whether this process is executing the file of a hook. Such a file may be the script that began the crawl."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_IS_LOADING = ContextVar("is_loading", default=False)


class HookCalledCrawl(BaseException):
    """The file of a hook calls `crawl()`: what stands above that call is what the hook needs.

    It is no `Exception`, so that the file does not handle it as one.
    """


def is_loading_hook() -> bool:
    """Say whether a hook's file is being executed."""
    return _IS_LOADING.get()


@contextmanager
def loading_hook() -> Iterator[None]:
    """Say that a hook's file is executed; its execution ends with its end, or at its call of `crawl()`."""
    token = _IS_LOADING.set(True)
    try:
        yield
    except HookCalledCrawl:
        pass
    finally:
        _IS_LOADING.reset(token)
