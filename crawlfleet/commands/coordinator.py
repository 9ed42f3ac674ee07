"""`crawlfleet coordinator`, or `python -m crawlfleet.coordinator`: serve one job."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from crawlfleet.commands.arguments import add_job_options, command_words, job_source
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.exits import Verdict

if TYPE_CHECKING:
    from crawlfleet.coordinator.crawl import Crawl

LONGEST_ADVERTISED = 253
_ADVERTISED = re.compile(
    r"(?:\[(?P<bracketed>[^\s\[\]]+)\]|(?P<host>[^\s:\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
    r"|(?P<ipv6>[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of a coordinator."""
    parser.add_argument("job", metavar="JOB.yaml", type=Path, help="the crawl job")
    add_job_options(parser)
    parser.add_argument(
        "--bind",
        metavar="HOST:PORT",
        default="127.0.0.1:0",
        help="where to listen (default: 127.0.0.1, a free port; 0.0.0.0:7320 to be reached from other machines)",
    )
    parser.add_argument(
        "--advertise",
        metavar="HOST[:PORT]",
        action="append",
        default=[],
        help="an address for workers to try, instead of this machine's own; may be repeated, also for other "
        "coordinators of the crawl",
    )
    parser.add_argument("--identity", metavar="DIR", type=Path, help="where key, certificate and secret are kept")
    parser.add_argument("--join-file", metavar="FILE", type=Path, help="also write the join token to this file")


def execute(args: argparse.Namespace) -> int:
    """Serve a job as the arguments say; return the exit code. Raise `UsageError` if that is impossible."""
    import msgspec

    from crawlfleet.shared.lean import load_structlog

    load_structlog()
    from crawlfleet.coordinator.app import Options, serve
    from crawlfleet.coordinator.crawl_folder import JOIN
    from crawlfleet.screen.console import Console
    from crawlfleet.screen.narration import Narration
    from crawlfleet.screen.tables import show_end

    is_silent = args.quiet or args.json
    console = Console(quiet=is_silent)
    args.host, args.port = parse_address(args.bind)
    args.advertise = [parse_advertised(text) for text in args.advertise]
    args.command = command_words("coordinator", [str(Path.cwd() / args.job)], args)
    args.job = job_source(args)

    def tell(crawl: Crawl) -> None:
        console.say(f"coordinator for {crawl.folder.path.name} on {crawl.address[0]}:{crawl.address[1]}")
        for notice in filter(None, (crawl.folder.told, *crawl.notices)):
            console.say(notice)
        # Other users of a machine can see its command lines, so the token, a password, is in none of them.
        if is_silent:
            return
        console.say("start workers on this machine with:")
        print(f"crawlfleet worker --join-file {shlex.quote(str(crawl.folder.path / JOIN))}", flush=True)
        console.say("on another machine, start this and paste the line below it:")
        print(f"crawlfleet worker --join -\n{crawl.token.encode()}", flush=True)

    options = msgspec.convert(args, Options, from_attributes=True)
    options = msgspec.structs.replace(options, log_to_console=not is_silent, stands_by=True)
    end = serve(options, tell, Narration(console.say))
    show_end(end, console, as_json=args.json)
    return Verdict(end.exit_code)


def parse_address(text: str) -> tuple[str, int]:
    """Split `HOST:PORT` (IPv6 hosts in brackets); raise a `UsageError` that says what is wrong."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise UsageError(f"--bind {text}: expected HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:7320")
    return host.removeprefix("[").removesuffix("]"), int(port)


def parse_advertised(text: str) -> tuple[str, int]:
    """Split `HOST` or `HOST:PORT` (IPv6 hosts in brackets if there is a port); without a port it is 0."""
    found = _ADVERTISED.fullmatch(text)
    port = int(found["port"] or 0) if found is not None else 0
    if found is None or port > 65_535 or found["port"] == "0" or len(text) > LONGEST_ADVERTISED:
        raise UsageError(
            f"--advertise {text}: expected HOST or HOST:PORT with a port from 1 to 65535, such as crawl.example:7320"
        )
    return found["bracketed"] or found["ipv6"] or found["host"], port
