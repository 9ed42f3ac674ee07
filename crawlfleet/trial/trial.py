"""One page fetched, read and told of: the parts of a worker and of a coordinator, put together for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from crawlfleet.shared.pipe import PipeMessage
from crawlfleet.trial.account import account
from crawlfleet.trial.answers import Answers
from crawlfleet.trial.gaps import gaps_of
from crawlfleet.trial.limited import LimitedReader
from crawlfleet.trial.messages import Errand, Gave, Judging, Reading, Try
from crawlfleet.trial.page_crawl import PageCrawl, WatchedExtractor
from crawlfleet.tried import READ
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.extract.lazy import lazy
from crawlfleet.worker.fetch.registry import engine_for
from crawlfleet.worker.hooks import load_hook, load_session
from crawlfleet.worker.pipeline import Pipeline
from crawlfleet.worker.process.current_pages import WorkerPages

if TYPE_CHECKING:
    from crawlfleet.worker.talk.objects.shared_objects import SharedObjects


class _LateObjects:
    """What a hook finds as `page.fleet`: most do not look, and objects take long to import."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand

    @lazy
    def _objects(self) -> SharedObjects:
        from crawlfleet.trial.objects import shared_objects

        return shared_objects(self._errand.brief, self._errand.policy)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)


def try_page(order: Try, pages: WorkerPages, tell: Callable[[PipeMessage], object]) -> None:
    """Fetch and read a page, and tell what it gives; `pages` records that it is read.

    Raise `UsageError` if the job's hook or engine cannot be used.
    """
    errand, brief = order.errand, order.errand.brief
    parse = load_hook(brief.hook) if brief.hook is not None else None
    prepare = load_session(brief.hook) if brief.hook is not None else None
    extractor = Extractor(brief, parse=parse, fleet=_LateObjects(errand))
    watched = WatchedExtractor(extractor)
    pipeline = Pipeline.of(brief, watched)
    reader = LimitedReader(brief, pipeline, pages, tell)
    crawl = PageCrawl(errand, extractor)
    answers = Answers(order.kept, engine_for(brief.fetch, prepare).open, pipeline.wanted_of, tell)
    crawl.run(
        answers,
        reader,
        on_page=lambda: tell(Reading(so_far=account(errand, crawl, watched.found))),
        on_read=lambda: tell(Judging()),
    )
    result = crawl.result()
    tried = account(errand, crawl, watched.found)
    if result is not None and tried.state == READ and not tried.reason:
        rows = (*result.rows, *result.rejected)
        gaps = gaps_of(brief, crawl.visits[-1].fetched, rows, watched.found.unconverted)
        tried = replace(tried, gaps=gaps)
    tell(Gave(tried=tried))
