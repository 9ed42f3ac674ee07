"""Writes the job of a crawl to a file, so that the file gives the same crawl."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crawlfleet.coordinator.job.headers import FILE
from crawlfleet.coordinator.job.source import JobSource, read
from crawlfleet.coordinator.job.yaml_source import as_yaml
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.wire.identity import write_private

_HEAD = """\
# The job of a crawl that was begun on the command line. To resume it, or to crawl again with --fresh:
#     crawlfleet run {name}
"""
# Where a job has paths, or header fields: a key, or a key of the entries of a list. ANY is each key of a mapping.
ANY = "*"
_PATHS: tuple[tuple[str, ...], ...] = (("hooks",), ("fetch", "ca_file"), ("seeds", "file"), ("sinks", "file"))
_HEADERS: tuple[tuple[str, ...], ...] = (
    ("fetch", "headers", ANY),
    ("sites", ANY, "headers", ANY),
    ("sinks", "headers", ANY),
)


def refuse_to_replace(path: Path, *, overwrite: bool) -> None:
    """Raise `UsageError` if a job cannot be saved at a path."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"--save-job {path} cannot be written: name a file in a folder that is there, and yours")
    if path.exists() and not overwrite:
        raise UsageError(f"--save-job {path} exists already: name another file, or replace it by --overwrite")


def save_job(source: JobSource, path: Path) -> None:
    """Write a job, which is valid, to a file, whole or not at all. Paths in it lead to the same files as before.

    Its header fields may be passwords: it is for its owner alone.
    """
    value = read(source).value

    def moved(file: str) -> str:
        return _path_from(path.parent, source.base / file)

    def moved_source(said: str) -> str:
        return FILE + moved(said.removeprefix(FILE)) if said.startswith(FILE) else said

    for keys in _PATHS:
        value = _changed(value, keys, moved)
    for keys in _HEADERS:
        value = _changed(value, keys, moved_source)
    try:
        write_private(path, (_HEAD.format(name=path.name) + as_yaml(value)).encode())
    except OSError as error:
        raise UsageError(f"--save-job {path} cannot be written: {error.strerror}") from error


def _changed(value: Any, keys: tuple[str, ...], change: Callable[[str], str]) -> Any:
    """Return a value in which the texts at some keys are changed."""
    if isinstance(value, tuple):
        return tuple(_changed(each, keys, change) for each in value)
    if not keys:
        return change(value) if isinstance(value, str) else value
    if not isinstance(value, dict):
        return value
    return {key: _changed(each, keys[1:], change) if keys[0] in (key, ANY) else each for key, each in value.items()}


def _path_from(folder: Path, path: Path) -> str:
    """Return a path relative to a folder if it is below that, else in full."""
    full, base = Path.cwd() / path, Path.cwd() / folder
    return str(full.relative_to(base) if full.is_relative_to(base) else full)
