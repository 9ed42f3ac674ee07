"""Logging for all processes: formatted on a terminal, else JSON lines, and JSON lines into the crawl's log file.

Fixed keys: `event` (what happened, a constant), `level`, `at` (UTC), and if they apply `job`, `url`, `host`, `lease`,
`session`, `worker`, `reason`, `detail`. Nothing is logged per link.
"""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import structlog
from structlog.typing import Processor

from crawlfleet.shared.inert import inert, inert_lines

Event = MutableMapping[str, Any]


def configure(file: Path | None = None, *, level: str = "info", console: bool = True) -> None:
    """Set up logging of this process: to standard error unless `console` is False, and to a file, if one is given.

    Called once, by the top of a process. Raises `OSError` if the file cannot be opened.
    """
    out = sys.stderr
    tee: list[Processor] = [_Tee(file)] if file is not None else []
    json = structlog.processors.JSONRenderer()
    tail: Processor = structlog.dev.ConsoleRenderer(pad_event_to=0) if out.isatty() else json
    if not console:
        tail = _drop
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.processors.format_exc_info,
            _escape,
            *tee,
            tail,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )


def _drop(_logger: object, _method: str, _event: Event) -> NoReturn:
    raise structlog.DropEvent


def _escape(_logger: object, _method: str, event: Event) -> Event:
    """Make what is not printable visible: text of the web must not control a terminal. Tracebacks keep their lines."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = inert_lines(value) if key == "exception" else inert(value)
    return event


class _Tee:
    """Also writes every event to a file, as one JSON line. If the disk is full, only log lines are lost."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", encoding="utf-8", buffering=1)
        self._render = structlog.processors.JSONRenderer()

    def __call__(self, logger: Any, method: str, event: Event) -> Event:
        line = self._render(logger, method, dict(event))
        assert isinstance(line, str)
        with suppress(OSError):
            self._file.write(line + "\n")
        return event
