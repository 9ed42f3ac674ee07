"""The parameters of `crawl()`, as they are sent to the supervisor. An error names the parameter.

What can be said of the job's keys is said where the job is loaded; here is what cannot be sent, or belongs to no key.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from crawlfleet.coordinator.job.source import is_key
from crawlfleet.embedded.hook_function import where_defined
from crawlfleet.embedded.messages import Begin
from crawlfleet.shared.errors import JobError

#: With more workers, the coordinator would be the bottleneck.
MOST_WORKERS = 8
MOST_PROCESSES = 1024


def begin_of(
    url: object,
    given: Mapping[str, Any],
    settings: Mapping[str, Any],
    folder: str | os.PathLike[str] | None,
    workers: int | None,
    frontier: object = None,
    **wishes: bool,
) -> Begin:
    """Return what to crawl; `given` are the parameters that set keys of the job, `wishes` say what becomes of a crawl
    that is there."""
    parse, delay = given["parse"], _duration(given["delay"])
    keys = {name: _plain(name, value) for name, value in {**given, "delay": delay, "parse": None}.items()}
    return Begin(
        **{**wishes, **keys, "parse": None if parse is None else where_defined(parse)},
        urls=_addresses(url),
        settings=_settings(settings),
        folder="" if folder is None else os.fspath(folder),
        frontier=_plain("frontier", frontier),
        workers=_workers(workers),
        caller=os.getpid(),
        arguments=tuple(sys.argv),
        python_path=tuple(str(Path(place).absolute()) for place in sys.path),
    )


def _addresses(url: object) -> tuple[str, ...]:
    some = [url] if isinstance(url, str) else list(url) if isinstance(url, Iterable) else []
    if not some or not all(isinstance(each, str) for each in some):
        raise JobError((f"url={url!r:.80}: is no address: say one such as https://example.org/, or a list of some",))
    return tuple(some)


def _settings(given: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    for key in given:
        if not isinstance(key, str) or not is_key(key):
            raise JobError((f"set={{{key!r:.60}: ...}}: is no key of a job: say one such as 'politeness.delay'",))
    return tuple(_plain("set", dict(given)).items())


def _workers(given: object) -> int:
    if given is None:
        return min(len(os.sched_getaffinity(0)), MOST_WORKERS)
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= MOST_PROCESSES:
        raise JobError((f"workers={given!r:.80}: is no number of processes: say one from 1 to {MOST_PROCESSES}",))
    return given


def _duration(delay: object) -> object:
    """Return a delay as a job has it: a number is seconds."""
    if isinstance(delay, timedelta):
        delay = delay.total_seconds()
    return f"{delay}s" if isinstance(delay, int | float) and not isinstance(delay, bool) else delay


def _plain(name: str, value: Any) -> Any:
    """Return a value as it can be sent; raise `JobError`, which names the parameter."""
    try:
        return msgspec.msgpack.decode(msgspec.msgpack.encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        text = f"{name}= cannot be part of a job: {error}; write text, numbers, true or false, lists and dicts"
        raise JobError((text,)) from None
