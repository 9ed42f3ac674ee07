"""What proxies of named objects have in common."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Protocol, TypeVar

from crawlfleet.shared.errors import CrawlfleetError
from crawlfleet.shared.objects import OPEN
from crawlfleet.shared.ranges import MAX_NAME_CHARS, shown
from crawlfleet.shared.wire.manager import require_spawning
from crawlfleet.worker.hook_waited import HookWaited
from crawlfleet.worker.talk.finished import JobFinished
from crawlfleet.worker.talk.objects.client import ObjectClient

ProxyType = TypeVar("ProxyType", bound="SharedObject")


class Source(Protocol):
    """Where proxies get their client: each process has its own.

    One whose proxies may be passed to a child process is pickled while that starts, as a source of the child.
    """

    @property
    def client(self) -> ObjectClient: ...


class SharedObject:
    """A proxy of an object that the fleet shares under a name. Any thread, and a forked process, may use it.

    It can be passed to a child process that is being started, but cannot be pickled otherwise.
    """

    kind: ClassVar[str]

    def __init__(self, source: Source, name: str, *options: Any) -> None:
        """Create the object, or check that it is what the options say."""
        if not 0 < len(name) <= MAX_NAME_CHARS:
            raise ValueError(f"the name of an object has 1 to {MAX_NAME_CHARS} characters")
        self._source = source
        self.name = name
        self._opened = self._call(OPEN, *options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {shown(self.name)} of the fleet>"

    def __reduce__(self) -> tuple[Any, ...]:
        require_spawning()
        return _rebuild, (type(self), self.__dict__.copy())

    def _call(self, method: str, *args: Any, timeout_s: float | None = 0.0) -> Any:
        return self._source.client.call(self.kind, self.name, method, *args, timeout_s=timeout_s)

    def _read(self, method: str, *args: Any) -> Any:
        return self._source.client.read(self.kind, self.name, method, *args)


def release_after(error: BaseException | None, release: Callable[[], None]) -> None:
    """Release at the end of a `with`, which ended with this error, if any.

    If nothing is held any more because of it, it is the error to be told: that this thread holds nothing is not.
    """
    has_lost = isinstance(error, HookWaited | JobFinished | CrawlfleetError)
    with suppress(*(AssertionError, ValueError) if has_lost else ()):
        release()


def limit_s(timeout: float | None) -> float | None:
    """Return how long a call waits: None is without limit, and a negative timeout is none at all.

    Raise the errors that waiting in `threading` raises.
    """
    if timeout is None:
        return None
    if math.isnan(timeout):
        raise ValueError("Invalid value NaN (not a number)")
    if timeout > threading.TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")
    return max(0.0, timeout)


def _rebuild(kind: type[ProxyType], state: dict[str, Any]) -> ProxyType:
    """Recreate a proxy, of an object that exists, in the child process that it was passed to."""
    proxy = object.__new__(kind)
    proxy.__dict__.update(state)
    return proxy
