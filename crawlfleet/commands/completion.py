"""`crawlfleet completion`: print what makes a shell complete commands, options and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the argument: which shell."""
    parser.add_argument("shell", choices=SHELLS, help="bash, zsh or fish")


def execute(args: argparse.Namespace) -> int:
    """Print a script for the shell. It is made of all commands as they are now, so that completing runs no Python."""
    import shtab

    from crawlfleet.commands.command_line import command_line
    from crawlfleet.commands.registry import COMMANDS

    parser = command_line([command.name for command in COMMANDS])
    for action in _actions(parser):
        wanted = action.metavar if isinstance(action.metavar, str) else ""
        if wanted in ("DIR", "CRAWL"):
            _set(action, shtab.DIRECTORY)
        elif "FILE" in wanted or ".yaml" in wanted:
            _set(action, shtab.FILE)
    print(shtab.complete(parser, shell=args.shell))
    return 0


def _set(action: argparse.Action, kind: object) -> None:
    """Say what completes an argument, where shtab looks for it."""
    vars(action)["complete"] = kind


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)
