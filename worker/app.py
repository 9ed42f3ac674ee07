"""One worker process: assembles its parts and runs them until the crawl or the drain is over.

The main thread is the control thread (`talk.client`). A small thread listens for a drain order of the node, for
SIGTERM, and for the node's death: then this process ends at once, and its leases expire.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection
from multiprocessing.connection import Connection
from pathlib import Path

import structlog

from crawlfleet.shared import descriptors, log
from crawlfleet.shared.brief import Brief
from crawlfleet.shared.errors import CrawlfleetError, UsageError
from crawlfleet.shared.messages import Ack, AckState, Hello, Report, TaskKey
from crawlfleet.shared.pipe import receive
from crawlfleet.shared.wire.join_token import JoinToken
from crawlfleet.shared.wire.manager import FleetManager
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.fetch.port import FetchEngine
from crawlfleet.worker.fetch.registry import engine_for
from crawlfleet.worker.hooks import load_hook, load_session
from crawlfleet.worker.pipeline import Pipeline
from crawlfleet.worker.pool import PARSE_THREADS, Pool, PoolSize
from crawlfleet.worker.process.current_pages import CurrentPages, PageLimits
from crawlfleet.worker.process.memory import collect_less_often, keep_freed_memory, limit_memory, limit_text
from crawlfleet.worker.process.messages import FROM_NODE, Drain, Failed, Finished, Joined, Named, Said, Worked
from crawlfleet.worker.process.node_line import NodeLine
from crawlfleet.worker.process.printing import print_to_stderr
from crawlfleet.worker.process.wakeup import Signals
from crawlfleet.worker.talk.client import Client
from crawlfleet.worker.talk.demand import FetchDemand
from crawlfleet.worker.talk.line import STILL_TRYING_EVERY_S, dial
from crawlfleet.worker.talk.objects.client import ObjectClient
from crawlfleet.worker.talk.objects.shared_objects import SharedObjects, dial_objects
from crawlfleet.worker.talk.orders import Orders
from crawlfleet.worker.talk.session import Session, SessionOptions
from crawlfleet.worker.watch import WatchOptions

ORPHANED = 1
STOPPED = 128 + signal.SIGTERM
STOP_PATIENCE_S = 2.0
PAGES_BETWEEN = 128
# How long a hook's call of an object waits for a coordinator that is away.
OBJECTS_PATIENCE_S = 60.0

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """The options of a worker process; several may share one `log_file`.

    `fetches` is how many pages are fetched at once; None for the engine's default.
    """

    fetches: int | None = None
    parse_threads: int = PARSE_THREADS
    log_file: Path | None = None
    log_level: str = "info"
    log_to_console: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerArguments:
    """The arguments of one worker process: coordinator, names, options, limit of memory (0: none).

    `replaces` is the session of a dead process, `began` the tasks that it is known to have started, `ended` are reports
    on those that a limit ended, and `death` says how that process ended.
    """

    token: JoinToken
    options: WorkerOptions
    index: int
    session: str
    worker: str
    memory_bytes: int = 0
    replaces: str = ""
    began: tuple[TaskKey, ...] = ()
    ended: tuple[Report, ...] = ()
    death: str = ""


def serve(
    arguments: WorkerArguments, pipe: Connection, current_pages: CurrentPages, inherited: tuple[Connection, ...]
) -> None:
    """Run as a worker process of a node, and end the process.

    It starts with SIGINT and SIGTERM blocked. `inherited` are the node's own pipe ends. A forked process must close
    them: they would hide the node's death.
    """
    for pipe_end in inherited:
        pipe_end.close()
    print_to_stderr(over_progress=not arguments.options.log_to_console)
    keep_freed_memory()
    if arguments.memory_bytes:
        limit_memory(arguments.memory_bytes)
    collect_less_often()
    descriptors.raise_limit()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log.configure(
        arguments.options.log_file, level=arguments.options.log_level, console=arguments.options.log_to_console
    )
    manager, node = FleetManager.joining(arguments.token), NodeLine(pipe)
    manager.endpoints.on_named = lambda addresses: node.tell(Named(addresses=addresses))
    quiet_s = STILL_TRYING_EVERY_S if arguments.index else 0.0
    hello = Hello(
        session=arguments.session,
        worker=arguments.worker,
        replaces=arguments.replaces,
        began=arguments.began,
        ended=arguments.ended,
        death=arguments.death,
    )
    session = Session(partial(dial, manager), hello, SessionOptions(quiet_s=quiet_s))
    with Signals([signal.SIGTERM]) as signals:
        listener = threading.Thread(target=listen, args=(pipe, signals, session.orders), name="node", daemon=True)
        listener.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT, signal.SIGTERM])
        run = partial(run_worker, arguments, current_pages, manager, session)
        code = _run_and_report(arguments, node, run)
        # Exit without cleanup: the listener must not see the descriptors close.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def listen(pipe: Connection, signals: Signals, orders: Orders) -> None:
    """Turn signals and messages into orders; end the process if the node is gone, or at a second SIGTERM."""
    while True:
        for source in connection.wait([pipe, signals.fileno()]):
            if source is not pipe:
                for _ in signals.take():
                    if orders.draining:
                        os._exit(STOPPED)
                    orders.drain()
            elif isinstance(receive(pipe, FROM_NODE), Drain):
                orders.drain()
            else:
                os._exit(ORPHANED)


def run_worker(
    arguments: WorkerArguments,
    current_pages: CurrentPages,
    manager: FleetManager,
    session: Session,
    node: NodeLine,
) -> bool:
    """Work for a coordinator until the crawl is finished or the drain is complete; tell the node after hello.

    Return whether another process is to go on.

    Raises `UsageError` if a retry is pointless because of the token, the version or the job's hook.
    """
    welcome = session.join()
    if welcome is None:
        return False
    node.tell(Joined(job=welcome.brief.job))
    brief, options = welcome.brief, arguments.options
    extractor = _open_extractor(arguments, brief, manager)
    engine = _open_engine(brief)
    if engine.names is not None:
        session.agenda.resolve_by(engine.names)
    size = _size_of(engine, options, arguments.index, brief.limits.bodies_bytes)
    pool = Pool(
        session=session,
        engine=engine,
        pipeline=Pipeline.of(brief, extractor),
        size=size,
        current_pages=current_pages.of(arguments.index),
        watch=_watch_of(brief, welcome.lease_s, node),
    )
    taken = Taken(node)
    demand = FetchDemand.for_fetches(size.fetches)
    client = Client(session, welcome, demand, on_scope=extractor.set_scope, on_ack=taken.count)
    pool.start()
    try:
        client.run()
    finally:
        taken.tell()
        # An ended page keeps its thread.
        if not pool.stop(0.0 if session.orders.replacing else STOP_PATIENCE_S) and not session.orders.replacing:
            _logger.info("left an attempt behind that nobody waits for")
    return session.orders.replacing and not client.finished


class Taken:
    """Counts the reports that the coordinator has taken, and tells the node how many, once a second at most."""

    def __init__(self, node: NodeLine) -> None:
        self._node = node
        self._reports = 0
        self._told_at = time.monotonic()

    def count(self, ack: Ack) -> None:
        """Count an ack."""
        self._reports += ack.state is AckState.OK
        if time.monotonic() >= self._told_at + 1.0:
            self.tell()

    def tell(self) -> None:
        """Tell the node what it has not been told yet."""
        if self._reports:
            self._node.tell(Worked(reports=self._reports))
        self._reports, self._told_at = 0, time.monotonic()


def _open_extractor(arguments: WorkerArguments, brief: Brief, manager: FleetManager) -> Extractor:
    parse = load_hook(brief.hook) if brief.hook is not None else None
    objects = ObjectClient(
        partial(dial_objects, manager),
        arguments.session,
        patience_s=OBJECTS_PATIENCE_S,
        hook_wait_s=brief.limits.hook_wait_s,
    )
    return Extractor(brief, parse=parse, fleet=SharedObjects.of_worker(objects))


def _watch_of(brief: Brief, lease_s: float, node: NodeLine) -> WatchOptions:
    limits = PageLimits(cpu_s=brief.limits.cpu_s, parse_time_s=brief.limits.parse_time_s, lease_s=lease_s)
    return WatchOptions(
        limits=limits,
        hook=brief.hook.path if brief.hook is not None else "",
        say=lambda text: node.tell(Said(text=text)),
    )


def _open_engine(brief: Brief) -> FetchEngine:
    prepare = load_session(brief.hook) if brief.hook is not None else None
    engine = engine_for(brief.fetch, prepare)
    # An engine that cannot be opened fails here once, not in every fetch thread.
    engine.open().close()
    return engine


def _size_of(engine: FetchEngine, options: WorkerOptions, index: int, bodies_bytes: int) -> PoolSize:
    """Return how much a worker has. A user who says how many pages are fetched at once means no more than that."""
    fetches = _affordable(options.fetches or engine.fetches, index)
    return PoolSize(
        fetches=fetches,
        most_fetches=fetches if options.fetches else descriptors.fetches_within(engine.most_fetches),
        parse_threads=options.parse_threads,
        pages_between=min(2 * fetches, PAGES_BETWEEN),
        bodies_bytes=bodies_bytes,
    )


def _affordable(wanted: int, index: int) -> int:
    """Return how many pages to fetch at once, within the limit of descriptors; the first worker says if it is fewer."""
    fetches, limit = descriptors.fetches_within(wanted), descriptors.limit()
    if not fetches:
        raise UsageError(f"only {limit} file descriptors may be open here: raise that to 256 or more (ulimit -n)")
    if fetches < wanted and not index:
        why = f"only {limit} file descriptors may be open here (ulimit -n)"
        _logger.warning("fetching fewer pages at once", pages=fetches, instead_of=wanted, reason=why)
    return fetches


def _run_and_report(arguments: WorkerArguments, node: NodeLine, run: Callable[[NodeLine], bool]) -> int:
    """Run the worker; tell the node that it has finished, or why it failed in one sentence."""
    try:
        again = run(node)
    except CrawlfleetError as error:
        fatal = isinstance(error, UsageError)
        node.tell(Failed(text=str(error), exit_code=error.exit_code, fatal=fatal))
        return error.exit_code
    except MemoryError as error:
        # Its pages are suspects, as after any death.
        what = f"a worker ran out of memory ({limit_text()}), and is replaced; if that goes on, a hook may leak"
        _logger.exception(what, session=arguments.session, detail=str(error))
        return 1
    except Exception as error:
        _logger.exception("the worker broke", session=arguments.session)
        text = f"the worker broke ({type(error).__name__}: {error}); its log tells more"
        node.tell(Failed(text=text, exit_code=1, fatal=False))
        return 1
    node.tell(Finished(again=again))
    return 0
