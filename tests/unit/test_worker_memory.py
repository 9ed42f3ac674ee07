"""How much memory a worker may take, and what becomes of a page that takes more."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from crawlfleet.worker.process import memory
from crawlfleet.worker.process.memory import LEAST_BYTES, share_of

GIGABYTE = 2**30

# Each `<p>` opens again what was never closed: 84 KB of markup, millions of elements, three gigabytes.
_BOMB = """
from pathlib import Path
from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.fetch.port import Fetched, Headers
from crawlfleet.worker.process.memory import limit_memory

limit_memory(400 * 2**20)
html = Headers((("Content-Type", "text/html"),))
bomb = "<p>" + "".join(f"<b id={number}></x>" for number in range(990)) + "</p>" + "<p>x</x>" * 9_000

def hook(page):
    return {"tree": page.tree.root is not None}

extractor = Extractor(Brief(job="j", scope=ScopeSpec(hosts=("h",))), parse=hook)
for body in (bomb, "<a href=next>next</a>"):
    try:
        found = extractor.extract(Fetched(url="http://h/", status=200, headers=html, body=body.encode()))
        print(found.error, found.outlinks, sep="|")
    except MemoryError as error:
        print(error)
# Not `ru_maxrss`: that begins with what the process had that started this one.
status = Path("/proc/self/status").read_text()
print(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
"""


def test_a_page_whose_tree_takes_too_much_memory_fails_alone() -> None:
    done = subprocess.run([sys.executable, "-c", _BOMB], capture_output=True, text=True, check=True)
    bomb, good, peak_mb = done.stdout.splitlines()
    assert bomb == "the hook raised MemoryError: its tree takes more memory than a worker may have at <string>:13"
    assert good == "|('http://h/next',)"
    assert int(peak_mb) < 600


def test_a_limit_that_is_set_already_is_kept() -> None:
    code = (
        "import resource; from crawlfleet.worker.process.memory import limit_memory;"
        "resource.setrlimit(resource.RLIMIT_DATA, (2**31, resource.RLIM_INFINITY)); limit_memory(2**30);"
        "print(resource.getrlimit(resource.RLIMIT_DATA)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 2**31


def test_workers_share_half_of_the_memory_of_the_machine_or_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_GROUP_LIMITS", (tmp_path / "memory.max", tmp_path / "none"))
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 16 * GIGABYTE // 4096, "SC_PAGE_SIZE": 4096}.get)
    assert [share_of(processes) // 2**20 for processes in (1, 2, 64)] == [8192, 4096, LEAST_BYTES // 2**20]
    (tmp_path / "memory.max").write_text("max\n")
    assert share_of(2) == 4 * GIGABYTE
    (tmp_path / "memory.max").write_text(f"{4 * GIGABYTE}\n")
    assert share_of(2) == GIGABYTE


def test_this_process_is_not_limited() -> None:
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY


_IN_USE = """
import resource
from crawlfleet.worker.process import memory

print(memory.share_in_use(), memory.limit_text())
memory.limit_memory(512 * 2**20)
before = memory.share_in_use()
held = bytearray(256 * 2**20)
print(round(memory.share_in_use() - before, 2), memory.limit_text())
memory.allow_last_words()
print(memory.limit_text())
"""


def test_a_process_knows_which_share_of_its_memory_it_uses_and_may_speak_at_its_end() -> None:
    done = subprocess.run([sys.executable, "-c", _IN_USE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["0.0 no limit", "0.5 512 MiB", "576 MiB"]
