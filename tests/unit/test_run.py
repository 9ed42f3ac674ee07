"""The pieces of `crawlfleet run` that whole runs show only by chance."""

from __future__ import annotations

import multiprocessing
import os
import time

from crawlfleet.run.processes import POLL_S, any_ended

DYING_S = 0.5


def _die_slowly() -> None:
    """Close the sentinel, as the end of a process does first, and be dead a moment later."""
    os.closerange(3, 1024)
    time.sleep(DYING_S)
    os._exit(0)


def test_a_process_that_has_ended_has_an_exit_code() -> None:
    dying = multiprocessing.Process(target=_die_slowly)
    living = multiprocessing.Process(target=time.sleep, args=(60,))
    dying.start()
    living.start()
    try:
        until = time.monotonic() + 20 * DYING_S
        while not any_ended(dying, living):
            assert time.monotonic() < until
        assert (dying.exitcode, living.exitcode) == (0, None)
    finally:
        living.kill()
        living.join()


def test_nothing_has_ended_while_all_live() -> None:
    living = multiprocessing.Process(target=time.sleep, args=(60,))
    living.start()
    try:
        began = time.monotonic()
        assert not any_ended(living)
        assert time.monotonic() - began >= POLL_S * 0.9
    finally:
        living.kill()
        living.join()
