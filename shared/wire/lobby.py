"""The lobby: one thread that accepts connections, and looks after those whose clients have not said hello yet.

A thread is begun only for a client whose first TLS record is there: a thousand silent ones cost a thousand descriptors.
Owns the listener's events and the sockets of silent and of ready connections. It sends nothing.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from contextlib import suppress

from crawlfleet.shared.errors import WireError
from crawlfleet.shared.wire.frames import WireConnection, WireListener
from crawlfleet.shared.wire.reception import Reception

#: How often deadlines are looked at, and places of those that are being greeted.
LOOK_S = 0.1
LOOK_AT_PLACES_S = 0.01
# Many are accepted at a time, since a client behind a crowd waits in the system's queue, or is dropped there; but only
# a part of those who may be silent, so that each is listened to before it makes room for others.
ACCEPTED_AT_ONCE = 256
HEARD_AT_ONCE = 512
GREETED_AT_ONCE = 16


class Lobby:
    """The silent and the ready connections of a listener. `greet` begins the thread of one that is to be greeted.

    All methods are for one thread.
    """

    def __init__(
        self, listener: WireListener, reception: Reception[WireConnection], greet: Callable[[WireConnection], None]
    ) -> None:
        listener.never_wait()
        self._listener = listener
        self._reception = reception
        self._greet = greet
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._looked_at = time.monotonic()

    def look(self) -> None:
        """Wait until something happens, or a deadline may be over, and see to it.

        Raise `OSError` if accepting fails, `ConnectionAbortedError` if that is its client's doing.
        """
        speaking = self._speaking()
        try:
            self._accept()
        finally:
            self._hear_some(speaking)
            speaking.clear()  # nobody is kept in memory who is gone while others are greeted
            self._end_overdue()
            self._greet_ready()

    def make_room(self) -> bool:
        """End a silent connection so that there is a descriptor for another one; return False if there is none."""
        victim = self._reception.make_room()
        if victim is not None:
            self._end(victim)
        return victim is not None

    def close(self) -> None:
        """End all connections that are silent or ready."""
        for connection in self._reception.waiting():
            self._turn_away(connection, "stopped")
        self._selector.close()

    def _speaking(self) -> list[WireConnection]:
        """Return the silent connections that have something to hear."""
        events = self._selector.select(self._most_s())
        return [key.fileobj for key, _ in events if isinstance(key.fileobj, WireConnection)]

    def _most_s(self) -> float | None:
        if self._reception.has_ready:
            return LOOK_AT_PLACES_S
        return LOOK_S if self._reception.has_silent else None

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connection = self._listener.accept()
            except BlockingIOError:
                return
            self._selector.register(connection, selectors.EVENT_READ)
            victim = self._reception.arrive(connection, time.monotonic())
            if victim is not None:
                self._end(victim)

    def _hear_some(self, speaking: list[WireConnection]) -> None:
        """Listen to those who speak: first to those of whose source the fewest are silent."""
        speaking.sort(key=self._reception.silent_of)
        for connection in speaking[:HEARD_AT_ONCE]:
            if connection.fileno() >= 0:  # it has not made room for another meanwhile
                self._hear(connection)

    def _hear(self, connection: WireConnection) -> None:
        """Take in what a silent client says."""
        try:
            if not connection.hear_hello():
                return
        except WireError:
            self._turn_away(connection, "garbage")
        except (EOFError, OSError):
            self._turn_away(connection, "gone")
        else:
            self._selector.unregister(connection)
            victim = self._reception.said_hello(connection, time.monotonic())
            if victim is not None:
                self._end(victim)

    def _end_overdue(self) -> None:
        """End the connections whose time is over. The oldest of a source is the first of them."""
        now = time.monotonic()
        if now < self._looked_at + LOOK_S:
            return
        self._looked_at = now
        while overdue := [each for each in self._reception.oldest_waiting() if each.is_overdue]:
            for connection in overdue:
                self._turn_away(connection, "deadline")

    def _greet_ready(self) -> None:
        for _ in range(GREETED_AT_ONCE):
            found = self._reception.next_to_greet(time.monotonic())
            if found is None:
                return
            connection, victim = found
            if victim is not None:
                victim.abort()  # its own thread closes it
            self._greet(connection)

    def _turn_away(self, connection: WireConnection, reason: str) -> None:
        self._reception.turn_away(connection, reason)
        self._end(connection)

    def _end(self, connection: WireConnection) -> None:
        with suppress(KeyError):  # it is ready, and no longer listened to
            self._selector.unregister(connection)
        connection.close()
