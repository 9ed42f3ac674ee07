"""Properties of a page that are computed once, by two threads at a time."""

from __future__ import annotations

import threading

from crawlfleet.worker.extract.lazy import lazy


class Reader:
    def __init__(self, meeting: threading.Barrier | None = None) -> None:
        self.meeting = meeting
        self.times = 0

    @lazy
    def value(self) -> int:
        """Say how often it was computed."""
        self.times += 1
        if self.meeting is not None:
            self.meeting.wait(10)
        return self.times


def test_a_value_is_computed_once() -> None:
    reader = Reader()
    assert (reader.value, reader.value, reader.times) == (1, 1, 1)
    assert Reader.value.__doc__ == "Say how often it was computed."


def test_two_threads_compute_those_of_two_pages_at_once() -> None:
    meeting = threading.Barrier(2)
    readers = [Reader(meeting), Reader(meeting)]
    threads = [threading.Thread(target=lambda reader=reader: reader.value) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [reader.times for reader in readers] == [1, 1]
    assert not meeting.broken
