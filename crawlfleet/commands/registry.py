"""The table of commands. Only the module of the command that is run is imported, so that `--help` is fast.

The module of a command has `add_arguments(parser)` and `execute(args)`, which returns the exit code.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from crawlfleet.shared.exits import exit_code_of


class Command(NamedTuple):
    """A line of the table: the command's name, what it is for, its module, and the arguments of an example."""

    name: str
    help: str
    module: str
    example: str = ""

    @property
    def texts(self) -> dict[str, Any]:
        """What a parser of the command says about it."""
        texts: dict[str, Any] = {"description": f"{self.help[0].upper()}{self.help[1:]}."}
        if self.example:
            texts["epilog"] = f"example: crawlfleet {self.name} {self.example}"
        return texts

    def define(self, parser: argparse.ArgumentParser) -> None:
        """Import the command's module, and add its arguments and its `execute` function to a parser."""
        module = import_module(self.module)
        module.add_arguments(parser)
        parser.set_defaults(execute=module.execute)


COMMANDS = [
    Command(
        "run",
        "crawl a job, or an address without one, with a coordinator and workers on this machine",
        "crawlfleet.commands.run",
        "https://quotes.toscrape.com/ --pages 100 -o pages.jsonl",
    ),
    Command(
        "try",
        "show what one page of a job gives",
        "crawlfleet.commands.try_page",
        "config/quotes.yaml https://quotes.toscrape.com/page/2/",
    ),
    Command(
        "coordinator",
        "serve a job to workers, here or on other machines",
        "crawlfleet.commands.coordinator",
        "config/quotes.yaml --bind 0.0.0.0:7320",
    ),
    Command(
        "worker",
        "fetch and parse for a coordinator",
        "crawlfleet.commands.worker",
        "--join-file crawls/quotes/join-token",
    ),
    Command(
        "init",
        "look at a page, and print a starter job for it",
        "crawlfleet.commands.init",
        "https://quotes.toscrape.com/ -o quotes.yaml",
    ),
    Command(
        "schema",
        "print the JSON Schema of jobs, by which editors complete and check them",
        "crawlfleet.commands.schema",
        "> job.schema.json",
    ),
    Command("check", "report every problem of a job file", "crawlfleet.commands.check", "config/quotes.yaml"),
    Command(
        "verify",
        "prove from a crawl's folder that nothing was lost or doubled",
        "crawlfleet.commands.verify",
        "crawls/quotes",
    ),
    Command(
        "audit-politeness",
        "show how far apart the requests to each host were",
        "crawlfleet.commands.audit_politeness",
        "crawls/quotes",
    ),
    Command(
        "export",
        "write a crawl's rows, during the crawl too",
        "crawlfleet.commands.export",
        "crawls/quotes --to rows.jsonl",
    ),
    Command(
        "migrate",
        "move a crawl from its folder into a database, or back",
        "crawlfleet.commands.migrate",
        "crawls/quotes postgresql://crawler@localhost/crawls",
    ),
    Command(
        "completion",
        "print what makes your shell complete commands, options and files",
        "crawlfleet.commands.completion",
        "bash",
    ),
]


def add_commands(parser: argparse.ArgumentParser, named: Collection[str]) -> None:
    """Add all commands to a parser, with the arguments of those that are named."""
    subparsers = parser.add_subparsers(metavar="COMMAND")
    for command in COMMANDS:
        subparser = subparsers.add_parser(command.name, help=command.help, **command.texts)
        if command.name in named:
            command.define(subparser)


def run_alone(name: str, argv: Sequence[str] | None = None) -> int:
    """Run one command as `python -m crawlfleet.NAME`; return its exit code."""
    (command,) = (command for command in COMMANDS if command.name == name)
    parser = argparse.ArgumentParser(prog=f"python -m crawlfleet.{name}", **command.texts)
    command.define(parser)
    args = parser.parse_args(argv)
    return exit_code_of(lambda: args.execute(args))
