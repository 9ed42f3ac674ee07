"""The answers of servers for one page: each address is asked for once, and its answer kept for the next reading.

What failed is asked for again, since an edit of the job may mend that, and so is what the server cannot answer now, and
an answer whose body was not wanted, once an edit of the job's types wants it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from crawlfleet.shared.messages import Task
from crawlfleet.trial.messages import Answered, Asking
from crawlfleet.worker.fetch.port import Fetched, Fetcher, Wanted

TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500

Tell = Callable[[Asking | Answered], object]


class Answers:
    """The answers to the requests of one page. `kept` are those of earlier readings.

    `wanted_of` says what a task needs of its answer.
    """

    def __init__(
        self,
        kept: Iterable[Answered],
        open_fetcher: Callable[[], Fetcher],
        wanted_of: Callable[[Task], Wanted],
        tell: Tell,
    ) -> None:
        self._kept = {answer.asked: answer for answer in kept}
        self._open_fetcher = open_fetcher
        self._wanted_of = wanted_of
        self._fetcher: Fetcher | None = None
        self._tell = tell

    def of(self, task: Task) -> Fetched:
        """Return the answer to the request of a task."""
        wanted = self._wanted_of(task)
        kept = self._kept.get(task.url)
        if kept is not None:
            known = kept.fetched()
            if kept.is_read or not wanted.wants(known.status, known.headers):
                return known
        self._tell(Asking(url=task.url))
        if self._fetcher is None:
            self._fetcher = self._open_fetcher()
        fetched = self._fetcher.fetch(task.url, wanted)
        if fetched.failure is None and fetched.status < SERVER_ERROR and fetched.status != TOO_MANY_REQUESTS:
            is_read = wanted.wants(fetched.status, fetched.headers)
            self._kept[task.url] = Answered.of(task.url, fetched, is_read=is_read)
            self._tell(self._kept[task.url])
        return fetched
