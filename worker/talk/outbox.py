"""The outbox: the parse threads put reports in, the control thread takes them out.

The control thread sleeps in `wait`; it is woken by the first delivery into an empty outbox, by a full batch, and by
`ring`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from crawlfleet.shared.messages import Report
from crawlfleet.worker.lanes import Attempt


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A report to send, after those `ahead`: parts, of which `sent` are there. `wire_bytes` is the encoded size of the
    largest."""

    attempt: Attempt
    report: Report
    wire_bytes: int
    ahead: tuple[Report, ...] = ()
    sent: int = 0

    @property
    def next(self) -> Report:
        """What is to be sent next."""
        return self.ahead[self.sent] if self.sent < len(self.ahead) else self.report


class Bell(Protocol):
    """The event in which the control thread sleeps: a `threading.Event`."""

    def set(self) -> object: ...
    def clear(self) -> object: ...
    def wait(self, timeout: float | None = None) -> object: ...


class Outbox:
    """A list of deliveries between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, batch: int = 64, bell: Bell | None = None) -> None:
        self._clock = clock
        self._batch = batch
        self._lock = threading.Lock()
        self._bell: Bell = bell if bell is not None else threading.Event()
        self._ready: list[Delivery] = []
        self._first_at: float | None = None

    def put(self, delivery: Delivery) -> None:
        """Add a delivery; wake the control thread if the outbox was empty or the batch is full."""
        with self._lock:
            self._ready.append(delivery)
            ready = len(self._ready)
            if ready == 1:
                self._first_at = self._clock()
        if ready in (1, self._batch):
            self._bell.set()

    def take_all(self) -> tuple[Delivery, ...]:
        """Empty the outbox."""
        with self._lock:
            ready, self._ready, self._first_at = self._ready, [], None
        return tuple(ready)

    def ring(self) -> None:
        """Wake the control thread."""
        self._bell.set()

    def wait(self, timeout_s: float) -> None:
        """Sleep until the bell rings, for `timeout_s` at most."""
        self._bell.wait(timeout_s)
        self._bell.clear()

    def due_at(self, linger_s: float) -> float | None:
        """When to send the oldest delivery: `linger_s` after it came, or at once if the batch is full."""
        with self._lock:
            if self._first_at is None:
                return None
            return self._first_at if len(self._ready) >= self._batch else self._first_at + linger_s
