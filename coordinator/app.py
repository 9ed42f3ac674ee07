"""Assembles a coordinator: the store, the sinks and the server that a job and its options ask for."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType

import msgspec

from crawlfleet.coordinator.conduct.causes import Causes
from crawlfleet.coordinator.conduct.journal import Journal
from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.conduct.tallies import Tallies
from crawlfleet.coordinator.conduct.turns import told_to
from crawlfleet.coordinator.crawl import Crawl, OnTick
from crawlfleet.coordinator.crawl_folder import JOIN, CrawlFolder
from crawlfleet.coordinator.crawl_parts import CrawlParts
from crawlfleet.coordinator.earlier_run import Wishes, note_command, take_folder
from crawlfleet.coordinator.engines import with_kept_engine
from crawlfleet.coordinator.frontier.kept_address import keep_address
from crawlfleet.coordinator.frontier.port import Candidate, Store
from crawlfleet.coordinator.frontier.registry import StorePlace, place_for
from crawlfleet.coordinator.job.change import JOB, take_job
from crawlfleet.coordinator.job.forewarnings import exposed
from crawlfleet.coordinator.job.job import Job, as_data, brief, load_from, policy
from crawlfleet.coordinator.job.saved import refuse_to_replace, save_job
from crawlfleet.coordinator.job.sinks import headers_of
from crawlfleet.coordinator.job.source import JobSource
from crawlfleet.coordinator.listening import Listening
from crawlfleet.coordinator.losses import Losses, open_store
from crawlfleet.coordinator.results.results_dict import ResultsDict
from crawlfleet.coordinator.served_folders import (
    FileNames,
    NamedMarks,
    confirm_writer,
    is_own,
    note_folder,
    note_own,
    writer_of,
)
from crawlfleet.coordinator.sinks.follower import Follower
from crawlfleet.coordinator.sinks.outputs import Output, outputs_of, with_headers
from crawlfleet.coordinator.sinks.port import Sink
from crawlfleet.coordinator.sinks.rejected_sink import REJECTED, RejectedRows
from crawlfleet.coordinator.sinks.schema import take_schema
from crawlfleet.coordinator.standing_by import StandingBy
from crawlfleet.coordinator.summary import Summary
from crawlfleet.shared import descriptors, log
from crawlfleet.shared.arenas import use_one_arena
from crawlfleet.shared.brief import Brief
from crawlfleet.shared.errors import CrawlLost
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.wire.binding import Address
from crawlfleet.shared.wire.control_port import FleetServer
from crawlfleet.shared.wire.join_token import JoinToken, write_token

GC_THRESHOLDS = (50_000, 20, 100)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to serve a job.

    `advertise` are the addresses that the join token names (default: this machine's own); one without a port (0) has
    that of this coordinator. With `wait` the crawl stays open for programs, and may have no seeds. With `anew` a crawl
    that has finished begins again, as with `fresh`, and one that has not is refused if it was begun with another job.
    `overwrite` lets outputs replace files that are not the crawl's. `save_job` is where the job is written to.
    `command` are the words by which the crawl is begun. With `accept_loss` a store is gone on with that lacks commits.
    With `stands_by` a coordinator waits for its turn if another one owns the crawl; without, that is refused.
    """

    job: JobSource
    crawls: Path = Path("crawls")
    host: str = "127.0.0.1"
    port: int = 0
    advertise: tuple[Address, ...] = ()
    fresh: bool = False
    anew: bool = False
    overwrite: bool = False
    save_job: Path | None = None
    command: tuple[str, ...] = ()
    accept_changes: bool = False
    accept_loss: bool = False
    identity: Path | None = None
    join_file: Path | None = None
    log_to_console: bool = True
    wait: bool = False
    stands_by: bool = False


def serve(options: Options, on_ready: Callable[[Crawl], None], on_tick: OnTick | None = None) -> Summary:
    """Serve a job to its end, in the main thread; `on_ready` is called when workers may join, `on_tick` by `Crawl.run`.

    A crawl in a database that is lost, to another coordinator or with the connection, is opened anew when it can be.
    Raises `UsageError` for what the user has to change, `CrawlFailed` if a sink cannot be opened.
    """
    # Rows and messages form no cycles: frequent collections would take a tenth of the coordinator's time.
    gc.set_threshold(*GC_THRESHOLDS)
    use_one_arena()
    descriptors.raise_limit()
    job = load_from(options.job, needs_seeds=not options.wait)
    if options.save_job is not None:
        refuse_to_replace(options.save_job, overwrite=options.overwrite)
    folder = take_folder(as_data(job), msgspec.convert(options, Wishes, from_attributes=True))
    log.configure(folder.log, console=options.log_to_console)

    def begin(crawl: Crawl) -> None:
        if options.save_job is not None:
            save_job(options.job, options.save_job)
        for path in {folder.path / JOIN, options.join_file or folder.path / JOIN}:
            write_token(crawl.token, path)
        on_ready(crawl)

    with closing(_listening(folder, options)) as listening:
        standing_by = StandingBy(listening, job.lease_s, waits=options.stands_by)
        before: Crawl | None = None
        while True:
            with _interrupted_by_term() if options.stands_by else nullcontext():
                crawl = standing_by.until_open(
                    lambda: open_crawl(job, folder, options, listening, standing_by.candidate)
                )
            with _stopped_by_signals(crawl):
                if before is None:
                    begin(crawl)
                else:
                    crawl.on_over = before.on_over
                end = _end_of(crawl, on_tick)
            if isinstance(end, Summary):
                return end
            standing_by.note_loss(end)
            before = crawl


def open_crawl(
    job: Job,
    folder: CrawlFolder,
    options: Options,
    listening: Listening | None = None,
    candidate: Callable[[], Candidate] | None = None,
) -> Crawl:
    """Open everything that a job asks for; on an error, close what was opened. `candidate` says who opens a crawl in a
    database."""
    work = brief(job)
    listening = listening or _listening(folder, options)
    with ExitStack() as opened:
        place = _place(job, folder)
        is_elsewhere = place.at is not None
        wanted = candidate() if candidate and is_elsewhere else None
        power = job.durability == "power"
        store = open_store(place, folder, power=power, candidate=wanted)
        opened.callback(store.close)
        has_begun = store.kept(JOB) is not None
        changed_job = take_job(store, as_data(job), accept=options.accept_changes)
        work = with_kept_engine(store, work, has_begun=has_begun)
        note_command(store, options.command)
        service = _service(store, job, work, is_elsewhere=is_elsewhere)
        if options.wait:
            service.wait_for_programs()
        headers = headers_of(job.sinks)
        outputs = [with_headers(output, headers) for output in outputs_of(as_data(job), folder.path)]
        losses = Losses(store, place, folder, accept=options.accept_loss, power=power)
        follower, notices = _open_follower(outputs, power, place, opened, store, losses)
        results = ResultsDict(store, policy_of(work.urls))

        def listen() -> tuple[FleetServer, JoinToken]:
            server, token = listening.open()
            service.members.addresses = token.addresses if len(options.advertise) > 1 else ()
            return server, token

        told = (place.replication(), losses.settle(outputs), note_folder(store, place))
        notices = (*exposed(options.job.settings), *filter(None, told), *notices)
        crawl = Crawl(job, folder, CrawlParts(store, changed_job, service, follower, results, listen, outputs, notices))
        opened.pop_all()
    return crawl


def _service(store: Store, job: Job, work: Brief, *, is_elsewhere: bool) -> Service:
    """Return the service of a crawl; where its store is elsewhere, crawl time may go on by another machine's clock."""
    rules = policy(job, work)
    if is_elsewhere:
        rules = msgspec.structs.replace(rules, taken_over_at=store.opened_at)
    keepers = told_to(Causes(store).note, Tallies(store).note)
    service = Service(store, rules, work, store.epoch, keepers, store.opened_at)
    service.outgoing.log = Journal()
    return service


def _place(job: Job, folder: CrawlFolder) -> StorePlace:
    """Return where the store of a job is; keep it in the crawl's folder if that is an address."""
    place = place_for(job.durability, job.frontier, job.name, folder.path)
    if place.at is not None:
        keep_address(folder.path, place.at)
    return place


def _open_follower(
    outputs: Sequence[Output], power: bool, place: StorePlace, opened: ExitStack, store: Store, losses: Losses
) -> tuple[Follower, tuple[str, ...]]:
    """Open the job's sinks, each at the mark that the last run left; return what the user must know of them, too."""
    assert place.folder is not None
    own = FileNames(place)
    marks = NamedMarks(store.open_marks(), own.by_sink(outputs))
    opened.callback(marks.close)
    for output in outputs:
        losses.look(output, marks.get(output.name))
    losses.refuse()
    writer = writer_of(store, place)
    outputs = [replace(output, writer=writer) for output in outputs]
    kinds = {output.name: output.kind for output in outputs}
    changed = [
        take_schema(store, output, marks.get(output.name), name=own.of(output), power=power) for output in outputs
    ]
    sinks: dict[str, Sink] = {}
    # Those first that know by themselves how far they are: files are cut back to their marks when they are opened.
    for output in sorted(outputs, key=lambda each: not each.entry.transactional):
        if not output.entry.transactional:
            losses.refuse()
        sinks[output.name] = output.open(marks.get(output.name), power=power, is_own=is_own(store, place, output))
        opened.callback(sinks[output.name].close)
        losses.look(output, sinks[output.name].mark)
        note_own(store, place, output)
    losses.refuse()
    # Of other sinks than those of the last run, the file of rejected rows is written again.
    names = msgspec.json.encode([(output.name, output.shape) for output in outputs])
    is_same = store.kept(own.of_file(REJECTED)) in (None, names)
    if not is_same:
        (place.folder / REJECTED).unlink(missing_ok=True)
    mark = marks.get(REJECTED) if is_same else None
    rejected = RejectedRows(kinds).open(place.folder / REJECTED, mark, power=power)
    opened.callback(rejected.close)
    follower = Follower(store, sinks, marks, rejected)
    confirm_writer(store, writer)  # before anything is changed where the last owner's session was ended
    follower.restore()
    store.keep(own.of_file(REJECTED), names)
    return follower, tuple(filter(None, changed))


def _listening(folder: CrawlFolder, options: Options) -> Listening:
    return Listening(options.identity or folder.path, (options.host, options.port), options.advertise)


def _end_of(crawl: Crawl, on_tick: OnTick | None) -> Summary | CrawlLost:
    """Run a crawl to its end; return why it has to be opened anew if it is lost."""
    try:
        summary = crawl.run(on_tick)
    except CrawlLost:
        if crawl.lost is None:
            raise
    else:
        if crawl.lost is None:
            return summary
    return crawl.lost


@contextmanager
def _interrupted_by_term() -> Iterator[None]:
    """Let SIGTERM interrupt who waits, as Ctrl-C does, while this is entered."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _stopped_by_signals(crawl: Crawl) -> Iterator[None]:
    """Stop a crawl on SIGTERM and SIGINT while this is entered."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        crawl.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
