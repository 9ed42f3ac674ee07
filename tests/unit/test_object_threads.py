"""The inbox where a call waits: a queue whose wait any signal ends, and no time is missed."""

from __future__ import annotations

import _thread
import queue
import threading

import pytest

from crawlfleet.worker.talk.objects import threads


def test_ctrl_c_that_came_just_before_the_main_thread_slept_ends_its_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "LOOK_UP_EVERY_S", 0.05)
    inbox = threads.Threads().inbox()
    # It notes the signal for the main thread, and wakes nobody.
    noted, too_late = threading.Timer(0.1, _thread.interrupt_main), threading.Timer(10, inbox.put, ["too late"])
    noted.start()
    too_late.start()
    with pytest.raises(KeyboardInterrupt):
        inbox.get()
    too_late.cancel()


@pytest.mark.parametrize("timeout_s", [0.0, 0.02, 0.12])
def test_an_inbox_gives_what_comes_in_time(monkeypatch: pytest.MonkeyPatch, timeout_s: float) -> None:
    monkeypatch.setattr(threads, "LOOK_UP_EVERY_S", 0.05)
    inbox = threads.Threads().inbox()
    with pytest.raises(queue.Empty):
        inbox.get(timeout=timeout_s)
    threading.Timer(0.1, inbox.put, [1]).start()
    assert inbox.get(timeout=10) == 1
    inbox.put(2)
    assert (inbox.get(timeout=timeout_s), inbox.empty()) == (2, True)
