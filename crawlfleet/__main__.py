"""The command line. Each command imports what it needs when it is run, so that `--help` is quick."""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import coordinator.__main__ as coordinator_command
import worker.__main__ as worker_command
from shared.exits import exit_code_of

# With more, the coordinator would be what they wait for.
MOST_WORKERS = 8
EXIT_CODES = """\
exit codes: 0 finished, even if some URLs failed; 1 no seed gave a page, a sink or the store failed, or verify or
            audit-politeness found something; 2 usage, job, address, key or version; 130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    multiprocessing.freeze_support()
    args = _parser().parse_args(argv)
    return exit_code_of(lambda: args.command(args))


def run_and_exit() -> NoReturn:
    """Be the command of this process. It ends at once: to take apart all that a crawl has loaded takes a while."""
    os._exit(main())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="crawlfleet",
        description="A distributed crawler: one coordinator, any number of workers.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="crawl a job with a coordinator and workers on this machine")
    coordinator_command.add_job_arguments(run)
    few = min(worker_command.cores(), MOST_WORKERS)
    text = f"worker processes (default: one for each core, {MOST_WORKERS} at most)"
    run.add_argument("--workers", metavar="N", type=worker_command.count, default=few, help=text)
    worker_command.add_threads(run)
    run.set_defaults(command=_run)

    serve = commands.add_parser("coordinator", help="serve a job to workers, here or on other machines")
    coordinator_command.add_arguments(serve)
    serve.set_defaults(command=coordinator_command.from_args)

    work = commands.add_parser("worker", help="fetch and parse for a coordinator")
    worker_command.add_arguments(work)
    work.set_defaults(command=worker_command.from_args)

    check = commands.add_parser("check", help="tell every problem of a job file")
    check.add_argument("job", metavar="JOB.yaml", type=Path)
    check.set_defaults(command=_check)

    of_a_crawl = argparse.ArgumentParser(add_help=False)
    of_a_crawl.add_argument("crawl", metavar="CRAWL", type=Path, help="the crawl's folder, such as crawls/demo")
    for name, command, help_text in (
        ("verify", _verify, "prove from a crawl's folder that nothing was lost or doubled"),
        ("audit-politeness", _audit, "show how far apart the requests to each host were"),
    ):
        commands.add_parser(name, help=help_text, parents=[of_a_crawl]).set_defaults(command=command)

    export = commands.add_parser(
        "export", help="write a crawl's rows as JSON Lines, during the crawl too", parents=[of_a_crawl]
    )
    export.add_argument("--to", metavar="FILE", type=Path, help="where to (default: standard output)")
    export.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    export.set_defaults(command=_export)
    return parser


def _run(args: argparse.Namespace) -> int:
    from crawlfleet.run import run
    from crawlfleet.run_words import RunOptions

    options = RunOptions(
        job=args.job,
        crawls=args.crawls,
        fresh=args.fresh,
        accept_changes=args.accept_changes,
        workers=args.workers,
        threads=args.threads,
    )
    return run(options)


def _check(args: argparse.Namespace) -> int:
    from shared.job import load

    job = load(args.job)
    seeds = "1 seed" if len(job.seeds) == 1 else f"{len(job.seeds):,} seeds"
    rules = "1 item rule" if len(job.items) == 1 else f"{len(job.items)} item rules"
    print(f"{args.job}: job {job.name!r} is fine: {seeds}, {rules}, into {', '.join(job.sinks)}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from coordinator.summary import Console, show_proof
    from coordinator.verify import verify

    proof = verify(args.crawl)
    show_proof(proof, Console())
    return 0 if proof.holds else 1


def _audit(args: argparse.Namespace) -> int:
    from coordinator.audit import audit
    from coordinator.summary import Console, show_audit

    found = audit(args.crawl)
    show_audit(found, Console())
    return 0 if found.holds else 1


def _export(args: argparse.Namespace) -> int:
    from coordinator.export import export

    count = export(args.crawl, args.to, overwrite=args.overwrite)
    if args.to is not None:
        print(f"{args.to}: the rows of {count:,} pages")
    return 0


class _Version(argparse.Action):
    """Prints the version, which takes a look into the installed metadata."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from crawlfleet import __version__

        print(f"crawlfleet {__version__}")
        parser.exit()


if __name__ == "__main__":
    run_and_exit()
