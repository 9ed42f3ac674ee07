"""Which commands there are. A command's module is loaded when the command is run, or asked for its help.

A module of a command has `add_arguments(parser)` and `execute(args)`, which returns the exit code.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple, Protocol, cast


class CommandModule(Protocol):
    """What a command's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Define the arguments of the command."""
        ...

    def execute(self, args: argparse.Namespace) -> int:
        """Do what the arguments say; return the exit code."""
        ...


class Command(NamedTuple):
    """A line of the table: the command's name, what it is for, and the module that has it."""

    name: str
    help: str
    module: str

    def load(self) -> CommandModule:
        """Import the command's module."""
        return cast("CommandModule", import_module(self.module))


COMMANDS: list[Command] = [
    Command("run", "crawl a job with a coordinator and workers on this machine", "crawlfleet.commands.run"),
    Command("coordinator", "serve a job to workers, here or on other machines", "crawlfleet.commands.coordinator"),
    Command("worker", "fetch and parse for a coordinator", "crawlfleet.commands.worker"),
    Command("check", "tell every problem of a job file", "crawlfleet.commands.check"),
    Command("verify", "prove from a crawl's folder that nothing was lost or doubled", "crawlfleet.commands.verify"),
    Command(
        "audit-politeness",
        "show how far apart the requests to each host were",
        "crawlfleet.commands.audit_politeness",
    ),
    Command("export", "write a crawl's rows as JSON Lines, during the crawl too", "crawlfleet.commands.export"),
]


class CommandParser(argparse.ArgumentParser):
    """The parser of one command. It loads the command's module when there is something to parse."""

    command: Command | None = None

    def load(self) -> CommandParser:
        """Define the command's arguments, unless that was done; return the parser."""
        if self.command is not None:
            module, self.command = self.command.load(), None
            module.add_arguments(self)
            self.set_defaults(execute=module.execute)
        return self

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]  # typeshed has overloads
        """Define the command's arguments, then parse them."""
        return super(CommandParser, self.load()).parse_known_args(args, namespace)


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Let a parser know all commands."""
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=CommandParser)
    for command in COMMANDS:
        subparsers.add_parser(command.name, help=command.help).command = command


def run_alone(name: str, prog: str, argv: Sequence[str] | None = None) -> int:
    """Run one command as a program of its own; return its exit code."""
    from crawlfleet.shared.exits import exit_code_of

    command = next(command for command in COMMANDS if command.name == name)
    parser = CommandParser(prog=prog, description=f"{command.help[0].upper()}{command.help[1:]}.")
    parser.command = command
    args = parser.parse_args(argv)
    return exit_code_of(lambda: args.execute(args))
