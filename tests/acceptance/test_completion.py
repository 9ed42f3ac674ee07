"""Completion in real shells: Tab in a terminal, where the command is a function that prints its words."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlfleet.__main__ import main
from crawlfleet.commands.registry import COMMANDS

READY = "READY"
WAIT_S = 60
SHOW = "crawlfleet() { printf '<%s>' \"$@\"; printf '\\n'; }"
# What each shell is started with, and what is typed into it first: all in a folder of its own, without a user's files.
START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], ["bind 'set enable-bracketed-paste off'", SHOW]),
    "zsh": (["zsh", "-f", "-i"], ["unset zle_bracketed_paste", "autoload -U compinit; compinit -u -D", SHOW]),
    "fish": (["fish", "--no-config", "-i"], ["function crawlfleet; printf '<%s>' $argv; printf '\\n'; end"]),
}
# As the documents say it.
SWITCH_ON = {"bash": 'eval "$(cat made)"', "zsh": 'eval "$(cat made)"', "fish": "source made"}
# What is typed before Tab, and what Tab adds.
TYPED = {
    "a command": ("audi", "t-politeness"),
    "an option": ("run --accept-c", "hanges"),
    "an option of one command": ("export --keep", "-formulas"),
    "the value of an option": ("worker --start-method forks", "erver"),
    "a job": ("check some-jo", "b.yaml"),
    "a file of an option": ("worker --join-file tok", "en-file"),
    "the folder of a crawl": ("verify crawls/qu", "otes"),
    "what is to complete": ("completion zs", "h"),
}
SHELLS = ("bash", *(pytest.param(shell, marks=pytest.mark.server) for shell in ("zsh", "fish")))


class Terminal:
    """A shell in a terminal."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._pid, self._file = pty.fork()
        if self._pid == 0:
            os.chdir(folder)
            own = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb", "LC_ALL": "C.UTF-8", "PS1": "$ "}
            os.execvpe(command[0], command, own)

    def type(self, text: str) -> None:
        os.write(self._file, text.encode())

    def until(self, wanted: str) -> str:
        """Return what is printed until a pattern is there."""
        printed, ends_at = "", time.monotonic() + WAIT_S
        while not re.search(wanted, printed):
            ready, _, _ = select.select([self._file], [], [], max(0.0, ends_at - time.monotonic()))
            assert ready, f"no {wanted!r} in {printed!r}"
            printed += os.read(self._file, 65536).decode(errors="replace")
        return printed

    def close(self) -> None:
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)
        os.close(self._file)


@pytest.fixture(scope="module", params=SHELLS)
def terminal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A shell in which completion is switched on."""
    shell: str = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    folder = tmp_path_factory.mktemp(shell)
    make = [sys.executable, "-m", "crawlfleet", "completion", shell]
    (folder / "made").write_bytes(subprocess.check_output(make, timeout=60))
    for name in ("some-job.yaml", "token-file"):
        (folder / name).touch()
    (folder / "crawls" / "quotes").mkdir(parents=True)
    command, first = START[shell]
    running = Terminal(command, folder)
    for line in (*first, SWITCH_ON[shell], "echo REA''DY"):
        running.type(f"{line}\n")
    running.until(READY)
    yield running
    running.close()


@pytest.mark.parametrize("what", TYPED)
def test_tab_completes(terminal: Terminal, what: str) -> None:
    typed, added = TYPED[what]
    terminal.type(f"crawlfleet {typed}\t")
    terminal.until(re.escape(added))
    terminal.type("\n")
    words = "".join(f"<{word}>" for word in f"{typed}{added}".split())
    assert words in terminal.until(r"<[^\n]*>\s*\n").replace("/>", ">")


@pytest.mark.parametrize("shell", SWITCH_ON)
def test_every_command_is_completed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    made = capsys.readouterr().out
    assert all(re.search(rf"\b{command.name}\b", made) for command in COMMANDS)
