"""What `crawl()` returns: a crawl as a loop over its rows.

The crawl runs in processes below this one, and its rows are read from its store, as far as they are recorded: a loop
that takes its time holds nothing up and keeps nothing in memory.
"""

from __future__ import annotations

import sys
import warnings
import weakref
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import FollowedLog, StoreUnreachable
from crawlfleet.coordinator.frontier.registry import place_named
from crawlfleet.coordinator.results.rows import flat_rows
from crawlfleet.embedded.process import CrawlProcess
from crawlfleet.shared.errors import CrawlFailed, CrawlWarning
from crawlfleet.shared.inert import inert_lines
from crawlfleet.shared.status import Status

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from crawlfleet.fleet.results import Results

Row = dict[str, Any]

RESULTS_AT_ONCE = 200
FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.05
_OURS = str(Path(__file__).parent)


class Crawl:
    """A crawl that this process has begun. A loop over it yields its rows as they are recorded, from the first one on.

    A row is a dict: `url`, `item`, then the fields. A loop that is left before its end stops the crawl. One that comes
    to the end raises `CrawlFailed` there if the crawl has failed, and warns (`CrawlWarning`) of what else went wrong.
    A `Crawl` is a context manager. When that is left, or the `Crawl` is forgotten, its processes have ended, and its
    folder is removed, if it was temporary. Any thread may use it, but no forked process.
    """

    def __init__(self, process: CrawlProcess) -> None:
        self._process = process
        self._log = place_named(process.folder).follow()
        self._notices = [process.moved] if process.moved else []
        self._close = weakref.finalize(self, _close, self._log, process)
        self._tell_news()

    @property
    def folder(self) -> Path:
        """Where the crawl is kept."""
        return self._process.folder

    @property
    def notices(self) -> tuple[str, ...]:
        """The sentences about this crawl so far; all but where an earlier run was moved to have been warned of."""
        return tuple(self._notices)

    @property
    def results(self) -> Results:
        """The results so far: a mapping from the URL of a page to its rows."""
        from crawlfleet.embedded.stored_results import results_in

        self._process.check_open()
        return results_in(self.folder, self._log)

    def status(self) -> Status:
        """Return the crawl's numbers now; when it has ended, those of its end."""
        self._process.check_open()
        status = self._process.status()
        self._tell_news()
        if status is None:
            over = self._process.over
            said = over.failure if over is not None else "the coordinator does not answer just now"
            raise CrawlFailed(inert_lines(said))
        return status

    def stop(self) -> None:
        """End the crawl before it is finished; pages in flight are recorded first, if they come within 5 seconds.

        The rows so far stay; with `folder` the crawl can go on later. Pages that did not come are fetched again then,
        when the job's `lease` time is over.
        """
        self._process.check_open()
        self._process.stop(at_once=False)

    def close(self) -> None:
        """End the crawl at once, if it has not ended; remove its folder, if that is temporary."""
        self._close()

    def to_pandas(self, item: str | None = None) -> pd.DataFrame:
        """Wait for the end; return the rows of an item as a frame. `item` may be left out if there is only one."""
        from crawlfleet.embedded.frames import Frames

        folder, results = self.folder, _results_of(self)
        del self  # as in `_results_of`
        with closing(results):
            return Frames(results, folder, item).to_pandas()

    def to_arrow(self, item: str | None = None) -> pa.Table:
        """Wait for the end; return the rows of an item as a table with the types of its fields; see `to_pandas`."""
        from crawlfleet.embedded.frames import Frames

        folder, results = self.folder, _results_of(self)
        del self  # as in `_results_of`
        with closing(results):
            return Frames(results, folder, item).to_arrow()

    def to_polars(self, item: str | None = None) -> pl.DataFrame:
        """Wait for the end; return the rows of an item as a frame with the types of its fields; see `to_pandas`."""
        from crawlfleet.embedded.frames import Frames

        folder, results = self.folder, _results_of(self)
        del self  # as in `_results_of`
        with closing(results):
            return Frames(results, folder, item).to_polars()

    def __iter__(self) -> Iterator[Row]:
        return (row for result in _results_of(self) for row in flat_rows(result))

    def __aiter__(self) -> AsyncIterator[Row]:
        return _AsyncRows(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Crawl belongs to the process that began it, and cannot be sent to another")

    def _tell_news(self) -> None:
        """Warn of what has gone wrong, at the line of the caller."""
        for text in map(inert_lines, self._process.take_news()):
            self._notices.append(text)
            frame: FrameType | None = sys._getframe()
            level = 1
            while frame is not None and frame.f_code.co_filename.startswith(_OURS):
                frame, level = frame.f_back, level + 1
            warnings.warn(text, CrawlWarning, stacklevel=level)


def _results_of(crawl: Crawl) -> Generator[Result, None, None]:
    """Yield all results, as they are recorded; if that is not the end, stop the crawl.

    An error's traceback keeps what the frames of functions name, in a notebook for long. None of them names the crawl
    then, so that it goes, and its processes with it, when its user has forgotten it.
    """
    process, log = crawl._process, crawl._log
    cursor, pause_s, is_whole = 0, 0.0, False
    try:
        while not is_whole:
            found, is_over = _look(process, log, cursor, pause_s)
            crawl._tell_news()
            yield from found
            cursor, pause_s = cursor + len(found), _pause_after(found, pause_s)
            is_whole = is_over and not found
    finally:
        del crawl
        if not is_whole:
            process.stop(at_once=process.is_temporary)
    _raise_failure(process)


def _look(process: CrawlProcess, log: FollowedLog, cursor: int, pause_s: float) -> tuple[Sequence[Result], bool]:
    """Wait a moment; return results from a place on, and whether the crawl was over before they were read."""
    process.check_open()
    if pause_s:
        process.wait(pause_s)
    is_over = process.over is not None
    try:
        return log.results(cursor, RESULTS_AT_ONCE), is_over
    except StoreUnreachable:
        if is_over:
            raise
        return (), False  # the coordinator waits for the database, too


def _raise_failure(process: CrawlProcess) -> None:
    if process.over is not None and process.over.failure:
        raise CrawlFailed(inert_lines(process.over.failure))


class _AsyncRows(AsyncIterator[Row]):
    """The rows of a crawl, for `async for`. It waits in a thread."""

    def __init__(self, crawl: Crawl) -> None:
        self._crawl: Crawl | None = crawl
        self._rows: deque[Row] = deque()
        self._cursor = 0
        self._pause_s = 0.0

    async def __anext__(self) -> Row:
        try:
            while not self._rows and self._crawl is not None:
                await self._look(self._crawl._process, self._crawl._log)
        except BaseException:
            self._leave()
            raise
        if not self._rows:
            raise StopAsyncIteration
        return self._rows.popleft()

    async def _look(self, process: CrawlProcess, log: FollowedLog) -> None:
        import asyncio  # most programs need none, and it takes long

        found, is_over = await asyncio.to_thread(_look, process, log, self._cursor, self._pause_s)
        if self._crawl is not None:
            self._crawl._tell_news()
        self._rows.extend(row for result in found for row in flat_rows(result))
        self._cursor += len(found)
        self._pause_s = _pause_after(found, self._pause_s)
        if is_over and not found:
            self._crawl = None
            _raise_failure(process)

    def _leave(self) -> None:
        """Stop the crawl, if this was not its end. The event loop does not wait for that."""
        if self._crawl is not None:
            process, self._crawl = self._crawl._process, None
            process.request_stop(at_once=process.is_temporary)

    def __del__(self) -> None:
        self._leave()


def _pause_after(found: Sequence[Result], pause_s: float) -> float:
    """Return how long to wait for more results: not at all while there are many, longer each time if there are none."""
    if len(found) == RESULTS_AT_ONCE:
        return 0.0
    return FIRST_PAUSE_S if found or not pause_s else min(2 * pause_s, LONGEST_PAUSE_S)


def _close(log: FollowedLog, process: CrawlProcess) -> None:
    if process.close():
        log.close() if process.is_temporary else log.tidy()
