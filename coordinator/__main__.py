"""`python -m coordinator`, and the `coordinator` command of crawlfleet: serve one job."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.errors import UsageError
from shared.exits import exit_code_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments of a coordinator."""
    add_job_arguments(parser)
    parser.add_argument(
        "--bind",
        metavar="HOST:PORT",
        default="127.0.0.1:0",
        help="where to listen (default: 127.0.0.1, a free port; 0.0.0.0:7320 to be reached from other machines)",
    )
    parser.add_argument(
        "--advertise",
        metavar="HOST",
        action="append",
        default=[],
        help="an address for workers to try, instead of this machine's own; may be repeated",
    )
    parser.add_argument("--identity", metavar="DIR", type=Path, help="where key, certificate and secret are kept")
    parser.add_argument("--join-file", metavar="FILE", type=Path, help="also write the join token to this file")


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the arguments that `run` and `coordinator` share."""
    parser.add_argument("job", metavar="JOB.yaml", type=Path, help="the crawl job")
    parser.add_argument("--fresh", action="store_true", help="move the earlier run aside, and start again")
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="go on although the job's seeds, scope, traps or urls have changed",
    )
    parser.add_argument(
        "--crawls", metavar="DIR", type=Path, default=Path("crawls"), help="where crawls are kept (default: crawls)"
    )


def from_args(args: argparse.Namespace) -> int:
    """Serve a job as the arguments say; return the exit code. Raise `UsageError` for what cannot be done."""
    from shared.lean import load_structlog

    load_structlog()
    from coordinator import summary
    from coordinator.app import Crawl, Options, serve

    console = summary.Console()
    host, port = parse_address(args.bind)

    def tell(crawl: Crawl) -> None:
        console.print(f"coordinator for {args.job} on {crawl.address[0]}:{crawl.address[1]}", highlight=False)
        for notice in crawl.notices:
            console.print(notice, highlight=False, soft_wrap=True, markup=False)
        console.print("start workers, here or on other machines, with:", highlight=False)
        print(f"crawlfleet worker --join {crawl.token.encode()}", flush=True)

    options = Options(
        job=args.job,
        crawls=args.crawls,
        host=host,
        port=port,
        advertise=tuple(args.advertise),
        fresh=args.fresh,
        accept_changes=args.accept_changes,
        identity=args.identity,
        join_file=args.join_file,
    )
    end = serve(options, tell)
    summary.show(end, console)
    return end.exit_code


def parse_address(text: str) -> tuple[str, int]:
    """Split `HOST:PORT` (IPv6 hosts in brackets); raise `UsageError` saying what is wrong."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise UsageError(f"--bind {text}: expected HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:7320")
    return host.removeprefix("[").removesuffix("]"), int(port)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve a job from a command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m coordinator", description="Serve a crawl job to workers.")
    add_arguments(parser)
    args = parser.parse_args(argv)
    return exit_code_of(lambda: from_args(args))


if __name__ == "__main__":
    sys.exit(main())
