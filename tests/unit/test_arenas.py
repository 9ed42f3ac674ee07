"""How many arenas the C library has in a process whose threads allocate."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from crawlfleet.shared import arenas

ALLOCATE = """
import ctypes, sys, threading
from crawlfleet.shared.arenas import use_one_arena

if sys.argv[1] == "one":
    use_one_arena()
together = threading.Barrier(4)

def allocate():
    ctypes.CDLL(None).malloc(100_000)
    together.wait(10)

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


def arenas_of(how: str) -> int:
    """Return how many arenas a process has."""
    done = subprocess.run([sys.executable, "-c", ALLOCATE, how], capture_output=True, text=True, check=True)
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="this C library is not glibc")
def test_all_threads_allocate_from_one_arena() -> None:
    assert arenas_of("many") > 1
    assert arenas_of("one") == 1


def test_a_library_without_arenas_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    arenas.use_one_arena()
