"""Assembles a coordinator: the store, the sinks and the server that a job and its options ask for."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import structlog

from crawlfleet.coordinator.conduct.causes import Causes
from crawlfleet.coordinator.conduct.journal import Journal
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.conduct.tallies import Tallies
from crawlfleet.coordinator.conduct.turns import told_to
from crawlfleet.coordinator.crawl import Crawl, CrawlParts, OnTick
from crawlfleet.coordinator.crawl_folder import JOIN, CrawlFolder
from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.coordinator.frontier.registry import store_for
from crawlfleet.coordinator.job.change import take_job
from crawlfleet.coordinator.job.job import Job, as_data, brief, load, policy
from crawlfleet.coordinator.results.results_dict import ResultsDict
from crawlfleet.coordinator.sinks.follower import Follower
from crawlfleet.coordinator.sinks.outputs import Output, outputs_of
from crawlfleet.coordinator.sinks.port import Sink
from crawlfleet.coordinator.sinks.rejected_sink import REJECTED, RejectedRows
from crawlfleet.coordinator.sinks.schema import take_schema
from crawlfleet.coordinator.summary import Summary
from crawlfleet.shared import descriptors, log
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.wire.control_port import FleetServer
from crawlfleet.shared.wire.identity import load_or_create
from crawlfleet.shared.wire.join_token import JoinToken, write_token
from crawlfleet.shared.wire.manager import FleetManager

GC_THRESHOLDS = (50_000, 20, 100)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to serve a job. `advertise` are the addresses that the join token names (default: this machine's).

    With `wait` the crawl stays open for programs, and may have no seeds.
    """

    job: Path
    crawls: Path = Path("crawls")
    host: str = "127.0.0.1"
    port: int = 0
    advertise: tuple[str, ...] = ()
    fresh: bool = False
    accept_changes: bool = False
    identity: Path | None = None
    join_file: Path | None = None
    log_to_console: bool = True
    wait: bool = False


def serve(options: Options, on_ready: Callable[[Crawl], None], on_tick: OnTick | None = None) -> Summary:
    """Serve a job to its end, in the main thread; `on_ready` is called when workers may join, `on_tick` by `Crawl.run`.

    Raises `UsageError` for what the user has to change, `CrawlFailed` if a sink cannot be opened.
    """
    # Rows and messages form no cycles: frequent collections would take a tenth of the coordinator's time.
    gc.set_threshold(*GC_THRESHOLDS)
    descriptors.raise_limit()
    job = load(options.job, needs_seeds=not options.wait)
    folder = CrawlFolder(options.crawls, job.name, fresh=options.fresh)
    log.configure(folder.log, console=options.log_to_console)
    crawl = open_crawl(job, folder, options)
    with crawl.stopped_by_signals():
        for path in {folder.path / JOIN, options.join_file or folder.path / JOIN}:
            write_token(crawl.token, path)
        on_ready(crawl)
        return crawl.run(on_tick)


def open_crawl(job: Job, folder: CrawlFolder, options: Options) -> Crawl:
    """Open everything that a job asks for; on an error, close what was opened."""
    work = brief(job)
    with ExitStack() as opened:
        store = store_for(job.durability).open(folder.path, power=job.durability == "power")
        opened.callback(store.close)
        changed_job = take_job(store, as_data(job), accept=options.accept_changes)
        journal = told_to(Journal(), Causes(store).note, Tallies(store).note)
        service = Service(store, policy(job, work), work, store.epoch, journal, store.opened_at)
        if options.wait:
            service.wait_for_programs()
        outputs = outputs_of(as_data(job), folder.path)
        follower, notices = _open_follower(outputs, job.durability == "power", folder, opened, store)
        results = ResultsDict(store, policy_of(work.urls))

        def listen(objects: Mapping[str, object]) -> tuple[FleetServer, JoinToken]:
            identity = load_or_create(options.identity or folder.path)
            manager = FleetManager.serving(objects, identity, options.host, options.port, on_bug=_log_bug)
            server = manager.get_server()
            return server, server.join_token(options.advertise or None)

        crawl = Crawl(job, folder, CrawlParts(store, changed_job, service, follower, results, listen, outputs, notices))
        opened.pop_all()
    return crawl


def _open_follower(
    outputs: Sequence[Output], power: bool, folder: CrawlFolder, opened: ExitStack, store: Store
) -> tuple[Follower, tuple[str, ...]]:
    """Open the job's sinks, each at the mark that the last run left; return what the user must know of them, too."""
    marks = store.open_marks()
    opened.callback(marks.close)
    kinds = {output.name: output.kind for output in outputs}
    changed = [take_schema(store, output, marks.get(output.name), power=power) for output in outputs]
    sinks: dict[str, Sink] = {}
    for output in outputs:
        sinks[output.name] = output.open(marks.get(output.name), power=power)
        opened.callback(sinks[output.name].close)
    # Of other sinks than those of the last run, the file of rejected rows is written again.
    names = msgspec.json.encode([(output.name, output.shape) for output in outputs])
    is_same = store.kept(REJECTED) in (None, names)
    if not is_same:
        (folder.path / REJECTED).unlink(missing_ok=True)
    mark = marks.get(REJECTED) if is_same else None
    rejected = RejectedRows(kinds).open(folder.path / REJECTED, mark, power=power)
    opened.callback(rejected.close)
    follower = Follower(store, sinks, marks, rejected)
    follower.restore()
    store.keep(REJECTED, names)
    return follower, tuple(filter(None, changed))


def _log_bug(error: BaseException) -> None:
    structlog.get_logger().error("internal error", exc_info=error)
