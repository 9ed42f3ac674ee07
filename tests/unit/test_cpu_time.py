"""How the CPU time of a thread is read by other threads and processes."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from crawlfleet.worker.process import cpu_time
from crawlfleet.worker.process.cpu_time import ThreadClock, ThreadGone


class Spinner:
    """A thread that takes CPU time until it is told to stop."""

    def __init__(self) -> None:
        self.clock: ThreadClock
        self.id = 0
        self._ready, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _spin(self) -> None:
        self.clock, self.id = ThreadClock(), threading.get_native_id()
        self._ready.set()
        while not self._stop.is_set():
            sum(range(1_000))


def test_a_threads_own_cpu_time_is_read_from_outside() -> None:
    before = ThreadClock()
    spinner = Spinner()
    while spinner.clock.seconds() < 0.2:
        time.sleep(0.01)
    seen_s = cpu_time.of_thread(os.getpid(), spinner.id)
    assert seen_s is not None
    assert 0.1 < seen_s <= spinner.clock.seconds() + 0.1
    assert before.seconds() < time.process_time()
    spinner.stop()
    while Path(f"/proc/self/task/{spinner.id}").exists():  # the system may notice its end a moment later
        time.sleep(0.01)
    with pytest.raises(ThreadGone):
        cpu_time.of_thread(os.getpid(), spinner.id)


def test_a_process_that_is_gone_or_a_system_that_does_not_say_gives_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cpu_time.of_thread(2**22 + 1, 1) is None
    monkeypatch.setattr(cpu_time, "_PROC", tmp_path)
    assert cpu_time.of_thread(os.getpid(), threading.get_native_id()) is None


def test_without_clocks_of_threads_that_of_the_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "pthread_getcpuclockid")
    clock = ThreadClock()
    assert 0.0 <= clock.seconds() - time.process_time() + 1.0 <= 2.0
