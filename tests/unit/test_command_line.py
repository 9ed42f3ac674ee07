"""A command is a module and a line in the table; what the command line costs before it does anything."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from crawlfleet.__main__ import main
from crawlfleet.commands import registry
from crawlfleet.commands.command_line import command_line
from crawlfleet.commands.registry import COMMANDS, Command, run_alone

IMPORTED = """\
import runpy, sys
module, *sys.argv = sys.argv[1:]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
print("imported:", *{name.partition(".")[0] for name in sys.modules})
"""
HELP = {
    "crawlfleet": ["crawlfleet", "crawlfleet", "--help"],
    "crawlfleet run": ["crawlfleet", "crawlfleet", "run", "--help"],
    "crawlfleet worker": ["crawlfleet", "crawlfleet", "worker", "--help"],
    "python -m crawlfleet.worker": ["crawlfleet.worker", "worker", "--help"],
    "python -m crawlfleet.coordinator": ["crawlfleet.coordinator", "coordinator", "--help"],
}

TOY = """\
from crawlfleet.shared.errors import UsageError

def add_arguments(parser):
    parser.add_argument("words", nargs="*")
    parser.add_argument("--shout", action="store_true", help="in capitals")

def execute(args):
    if not args.words:
        raise UsageError("nothing to say")
    print(" ".join(args.words).upper() if args.shout else " ".join(args.words))
    return 7
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of the test: a module, and a line in the table."""
    (tmp_path / "toy_command.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "COMMANDS", [*COMMANDS, Command("say-it", "say some words", "toy_command")])
    monkeypatch.delitem(sys.modules, "toy_command", raising=False)


@pytest.mark.usefixtures("toy")
def test_a_line_in_the_table_is_listed_and_not_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert ["say-it", "say", "some", "words"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    assert "toy_command" not in sys.modules


@pytest.mark.usefixtures("toy")
def test_a_line_in_the_table_runs_and_tells_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["say-it", "--shout", "hello", "run"]) == 7
    assert capsys.readouterr().out == "HELLO RUN\n"
    assert run_alone("say-it", ["hello"]) == 7
    assert capsys.readouterr().out == "hello\n"


@pytest.mark.usefixtures("toy")
def test_a_line_in_the_table_tells_its_help_and_its_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["say-it", "--help"])
    assert "in capitals" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main(["say-it", "--whisper"])
    assert end.value.code == 2
    assert "crawlfleet: error: unrecognized arguments: --whisper" in capsys.readouterr().err
    assert main(["say-it"]) == 2
    assert capsys.readouterr().err == "crawlfleet: nothing to say\n"


def test_every_line_of_the_table_leads_to_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command.name, "--help"])
        assert f"usage: crawlfleet {command.name}" in capsys.readouterr().out


def test_without_a_command_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    listed = {line.split()[0] for line in said.splitlines() if line.startswith("    ") and line[4:5].strip()}
    assert {command.name for command in COMMANDS} <= listed


def test_the_help_of_each_command_says_what_it_does_and_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command.name, "--help"])
        said = " ".join(capsys.readouterr().out.split())
        assert f"{command.help[1:]}." in said
        assert f"example: crawlfleet {command.name} {command.example}" in said
        main_words = command.example.partition(">")[0].split()
        command_line([command.name]).parse_args([command.name, *main_words])


def _libraries() -> set[str]:
    """The modules of everything that crawlfleet depends on."""
    wanted = {Requirement(text).name for text in metadata.requires("crawlfleet") or ()} - {"crawlfleet"}
    return {module for module, owners in metadata.packages_distributions().items() if wanted.intersection(owners)}


@pytest.mark.parametrize("command", HELP)
def test_help_imports_no_library(command: str) -> None:
    out = subprocess.check_output([sys.executable, "-c", IMPORTED, *HELP[command]], text=True, timeout=60)
    text, _, imported = out.rpartition("imported: ")
    assert "usage: " in text
    libraries = _libraries()
    assert {"requests", "rich", "pydantic", "structlog", "lxml", "cryptography", "msgspec"} <= libraries
    assert not libraries.intersection(imported.split())
