"""The earlier run of a crawl, when its next one begins: it is resumed, moved aside with its files, or in the way.

A file outside the crawl's folder is the earlier run's if the store of that has a mark for it, and it is as the mark
says. Nothing is moved or removed before it is known that the next run has room. Must not know of any store or sink in
particular.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from crawlfleet.coordinator.crawl_folder import SUMMARY, CrawlFolder, name_aside, refuse_if_running
from crawlfleet.coordinator.frontier.port import Keeping, Mark
from crawlfleet.coordinator.frontier.registry import StorePlace, place_for
from crawlfleet.coordinator.job.change import change_lines
from crawlfleet.coordinator.job.source import without_secret
from crawlfleet.coordinator.served_folders import FileNames
from crawlfleet.coordinator.sinks.outputs import Output, outputs_of
from crawlfleet.coordinator.store_aside import StoreAside, refuse_other_store, stored_for
from crawlfleet.shared.errors import CrawlFailed, UsageError
from crawlfleet.shared.paths import shown

# The keys under which a store keeps how its last run ended, and by which command it was begun.
_ENDED, _COMMAND = "ended", "command"
_FINISHED = b"finished"
# The folder, in that of an earlier run, of files that were elsewhere.
OUTPUTS = "outputs"


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become of an earlier run: see `app.Options`."""

    crawls: Path
    fresh: bool = False
    anew: bool = False
    accept_changes: bool = False
    overwrite: bool = False
    command: tuple[str, ...] = ()


class _Earlier(NamedTuple):
    """What is known of the run in a folder; nothing but its end if it is not stored.

    `stored` is where it is stored; `files` are those that it wrote, by their paths, with the marks that it left.
    """

    is_finished: bool = False
    stored: StorePlace | None = None
    job: Mapping[str, Any] = {}
    command: tuple[str, ...] = ()
    files: Mapping[Path, tuple[Output, Mark]] = {}


def take_folder(job: Mapping[str, Any], wishes: Wishes) -> CrawlFolder:
    """Open the folder of a job, which is plain data, and make room for its outputs.

    Raise `UsageError` if an earlier run, or a file that is not its own, is in the way: then nothing has changed.
    """
    path = wishes.crawls / job["name"]
    wanted = place_for(job["durability"], job["frontier"], job["name"], path)
    earlier = _find(path, wanted)
    is_over = wishes.anew and earlier.is_finished
    is_moved = (path.exists() or earlier.stored is not None) and (wishes.fresh or is_over)
    if earlier.stored is not None:
        refuse_other_store(earlier.stored, wanted, earlier.job.get("name"), is_moved=is_moved)
    if earlier.stored is not None and not is_moved and wishes.anew and not wishes.accept_changes:
        _refuse_other_options(earlier, job, wishes)
    elsewhere = [output for output in outputs_of(job, path) if _is_elsewhere(output, path)]
    there = [output for output in elsewhere if _is_taken(output)]
    if earlier.stored is not None and not is_moved:
        replaced = [output for output in there if output.path not in earlier.files] if wishes.overwrite else []
    else:
        foreign = [output for output in there if not (is_moved and _is_own(output.path, earlier))]
        _refuse_foreign(foreign, earlier, wishes)
        replaced = [output for output in there if not (is_moved and output.path in earlier.files)]
    paths = {output.path for output in elsewhere} & earlier.files.keys()
    aside = StoreAside(earlier.stored, wanted)

    def along(folder: Path, name: str) -> tuple[str, ...]:
        moved = take_along(folder, paths, earlier.stored) if paths and earlier.stored is not None else ()
        aside.rename(folder, name)
        return moved

    if is_moved and not path.exists():
        aside.rename(None, name_aside(path.name))
    goes_on = earlier.stored is not None and not is_moved
    folder = CrawlFolder(
        wishes.crawls, job["name"], fresh=wishes.fresh, anew=is_over, along=along, is_resumable=goes_on
    )
    folder.moved_stores = aside.told
    for output in replaced:
        output.kind.remove(output.path)
    return folder


def note_command(store: Keeping, command: tuple[str, ...]) -> None:
    """Keep by which command a run was begun, its words without the program's name."""
    if command:
        # Words may hold bytes that are no UTF-8, as names of files do.
        store.keep(_COMMAND, b"\0".join(map(os.fsencode, command)))


def note_end(store: Keeping, *, finished: bool) -> None:
    """Keep whether the crawl has finished; its next run clears that until it ends."""
    if finished or store.kept(_ENDED):
        store.keep(_ENDED, _FINISHED if finished else b"")


def take_along(folder: Path, paths: Collection[Path], stored: StorePlace) -> tuple[str, ...]:
    """Move files of a stored crawl into its folder, as far as they are there; return what they were called.

    Its job says so then, so that nobody takes files of a later run for its own. The files of a sink stay together: if
    one is to be moved, so are the others.
    """
    with closing(stored.open(power=False)) as store:
        job = msgspec.json.decode(store.kept("job") or b"{}")
        moved = []
        for index, sink in enumerate(job["sinks"]):
            outputs = list(outputs_of({**job, "sinks": [sink]}, folder))
            if any(output.path in paths for output in outputs):
                place = _free_folder(folder, outputs)
                moved += [name for output in outputs for name in _move(output, place)]
                job["sinks"][index] = {**sink, "file": str((place / Path(sink["file"]).name).relative_to(folder))}
        store.keep("job", msgspec.json.encode(job))
    return tuple(moved)


def _find(folder: Path, wanted: StorePlace) -> _Earlier:
    """Return what is known of the run in a folder, which must not be running, or where its job wants its store."""
    refuse_if_running(folder)
    stored = stored_for(folder, wanted)
    if stored is None:
        return _Earlier(is_finished=_says_finished(folder / SUMMARY))
    try:
        with closing(stored.read()) as reader:
            kept, command = reader.kept("job"), reader.kept(_COMMAND)
            job = msgspec.json.decode(kept) if kept is not None else {"sinks": []}
            names = FileNames(stored._replace(folder=folder))
            marked = ((output, reader.mark(names.of(output))) for output in outputs_of(job, folder))
            return _Earlier(
                is_finished=reader.kept(_ENDED) == _FINISHED,
                stored=stored,
                job=job,
                command=tuple(map(os.fsdecode, command.split(b"\0"))) if command else (),
                files={output.path: (output, mark) for output, mark in marked if mark is not None},
            )
    except UsageError:  # of a file that this version does not read before it has opened it as a crawl
        if stored.at is not None:
            raise
        return _Earlier(stored=stored)


def _says_finished(summary: Path) -> bool:
    try:
        return bool(msgspec.json.decode(summary.read_bytes())["ended"] == _FINISHED.decode())
    except (OSError, msgspec.DecodeError, TypeError, KeyError):
        return False


def _is_elsewhere(output: Output, folder: Path) -> bool:
    """Say whether an output is a file outside of the crawl's folder."""
    return Path(output.name).is_absolute() and not output.path.is_relative_to(folder.resolve())


def _is_taken(output: Output) -> bool:
    """Say whether something is where an output is to be. A file of lines may be there, and empty."""
    is_of_lines = not output.entry.transactional
    return any(path.is_dir() or (path.is_file() and not (is_of_lines and _is_empty(path))) for path in output.on_disk)


def _is_empty(path: Path) -> bool:
    return path.stat().st_size == 0


def _is_own(path: Path, earlier: _Earlier) -> bool:
    """Say whether a file is as the earlier run has left it. A run that was killed may have left it behind its mark."""
    if path not in earlier.files:
        return False
    output, mark = earlier.files[path]
    try:
        return output.is_at(mark, whole=earlier.is_finished)
    except (UsageError, CrawlFailed, OSError):
        return False


def _refuse_foreign(outputs: list[Output], earlier: _Earlier, wishes: Wishes) -> None:
    for output in outputs:
        place = shown(output.on_disk[0])
        if output.path.is_dir():
            raise UsageError(f"{place} is a folder, and no earlier run of this crawl made it: move it away")
        if not wishes.overwrite:
            known = "has changed since the" if output.path in earlier.files else "is not known to be from an"
            raise UsageError(
                f"{place} exists already, and {known} earlier run of this crawl: "
                "name another file, move it away, or replace it by --overwrite"
            )
        if output.is_locked:
            raise UsageError(f"{place} is being written by another crawl: wait, or name another file")


def _refuse_other_options(earlier: _Earlier, job: Mapping[str, Any], wishes: Wishes) -> None:
    """Raise `UsageError` unless a run was begun with the options of the next one."""
    # With the same words another version may mean something else: that is judged as for any job.
    lines = () if earlier.command == wishes.command else change_lines(earlier.job, job)
    if not lines:
        return
    before = _command_line(earlier.command, wishes) if earlier.command else "the command that began it"
    now = _command_line(wishes.command, wishes)
    raise UsageError(
        f"the crawl {job['name']!r} is unfinished, and was begun with other options:\n  " + "\n  ".join(lines) + "\n"
        f"to go on as it was begun:\n  {before}\n"
        f"to move it aside, and begin anew:\n  {now} --fresh\n"
        f"to go on with the new options:\n  {now} --accept-changes"
    )


def _command_line(words: tuple[str, ...], wishes: Wishes) -> str:
    """Return a command as a person types it in this folder; what may be a password is left out."""
    here = f"{Path.cwd()}/"
    crawls = () if wishes.crawls == Path("crawls") else ("--crawls", str(wishes.crawls))
    said = (word.removeprefix(here) for word in (*words, *crawls))
    known = (without_secret(word) if before == "--set" else word for before, word in pairwise(["", *said]))
    return shown(shlex.join(["crawlfleet", *known]))


def _free_folder(folder: Path, outputs: list[Output]) -> Path:
    """Return a folder, below that of a crawl, in which no output's name is taken."""
    number = 1
    while True:
        place = folder / (OUTPUTS if number == 1 else f"{OUTPUTS}-{number}")
        if not any((place / output.path.name).exists() for output in outputs):
            return place
        number += 1


def _move(output: Output, place: Path) -> Iterator[str]:
    """Move what a sink has on disk; yield what people know it as."""
    try:
        if output.on_disk:
            place.mkdir(exist_ok=True)
            yield shown(output.path)
        for path in output.on_disk:
            shutil.move(path, place / path.name)
    except OSError as error:
        raise UsageError(f"cannot move {shown(output.path)} aside: {error.strerror}; move it yourself") from error
