"""What is told of a page that was tried: its crawl as values for the user. It must decide nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crawlfleet.coordinator.core import robots
from crawlfleet.coordinator.core.rows import Gate, OriginRow, TaskRow, TaskState
from crawlfleet.coordinator.offline.known_tasks import known
from crawlfleet.coordinator.offline.link_table import why_not
from crawlfleet.coordinator.results.rows import flat_rows, rejected_rows
from crawlfleet.shared.left_out import capped
from crawlfleet.shared.reasons import bare, meaning_of
from crawlfleet.shared.web.link_records import unpack
from crawlfleet.shared.web.urls import origin
from crawlfleet.trial.messages import Errand
from crawlfleet.trial.page_crawl import PageCrawl, Visit
from crawlfleet.tried import FAILED, READ, REFUSED, WAITS, Hop, Link, Rejected, Robots, Tried
from crawlfleet.worker.extract.charset import declared_encoding
from crawlfleet.worker.extract.extractor import Extracted
from crawlfleet.worker.extract.media_type import essence_of, field_of
from crawlfleet.worker.extract.page import Page

_STATES = {TaskState.DONE: READ, TaskState.FAILED: FAILED, TaskState.DROPPED: REFUSED}
# Of other content types the encoding tells nothing.
_TEXTS = ("text/", "application/xhtml", "application/json", "application/ld+json", "application/xml")


def account(errand: Errand, crawl: PageCrawl, found: Extracted) -> Tried:
    """Return what is known of a page."""
    row, result = crawl.task(), crawl.result()
    reason, detail = _why(row, crawl)
    visit = crawl.visits[-1] if crawl.visits and crawl.visits[-1].url == row.url else None
    return Tried(
        job=errand.brief.job,
        asked=errand.asked,
        url=row.url,
        file=errand.file,
        state=_STATES.get(row.state, WAITS),
        reason=reason,
        meaning=meaning_of(bare(reason)) if reason else "",
        detail=detail,
        **(_of_answer(visit) if visit is not None else {}),
        hops=tuple(_hops(crawl.visits)),
        robots=tuple(_robots(errand, crawl, row)),
        rows=tuple(flat_rows(result)) if result is not None else (),
        rejected=tuple(Rejected(row=each, reason=why) for each, why in rejected_rows(result)) if result else (),
        links=tuple(_links(errand, crawl, found)),
        left_out=capped(found.links_left_out, found.rows_left_out),
    )


def _why(row: TaskRow, crawl: PageCrawl) -> tuple[str, str]:
    """Return why a page was not read, or gives no rows, and more words."""
    report = crawl.visits[-1].report if crawl.visits else None
    if row.state is TaskState.PENDING and report is None:  # its robots.txt is awaited
        place = crawl.origins([row.url]).get(origin(row.url))
        return (place.why, place.detail) if place is not None else ("", "")
    return row.reason, row.detail or (report.detail if report is not None and row.reason else "")


def _of_answer(visit: Visit) -> dict[str, Any]:
    fetched, report = visit.fetched, visit.report
    header = field_of(fetched.headers)
    content_type = essence_of(header)
    is_text = bool(fetched.body) and (not content_type or content_type.startswith(_TEXTS))
    encoding = Page(fetched).encoding if is_text else ""
    declared = is_text and declared_encoding(fetched.body, header)[0] is not None
    return {
        "status": fetched.status,
        "content_type": content_type,
        "encoding": encoding,
        "declared": declared,
        "size_bytes": len(fetched.body),
        "elapsed_s": fetched.elapsed_s,
        "cpu_s": report.cpu_s if report is not None else 0.0,
        "notes": report.notes if report is not None else (),
    }


def _hops(visits: list[Visit]) -> Iterator[Hop]:
    for visit in visits:
        if visit.report is not None and visit.report.location:
            yield Hop(url=visit.url, status=visit.report.status, location=visit.report.location)


def _robots(errand: Errand, crawl: PageCrawl, last: TaskRow) -> Iterator[Robots]:
    """Yield what the robots.txt of each origin on the way says, as far as it was wanted."""
    urls = list(dict.fromkeys((*(visit.url for visit in crawl.visits), last.url)))
    places = crawl.origins(urls)
    said = set()
    for url in urls:
        place = places.get(origin(url))
        if place is not None and place.origin not in said:
            said.add(place.origin)
            verdict = _verdict(errand, place, url)
            yield Robots(url=robots.url_of(place.origin), verdict=verdict, delay_s=place.asked_delay_s)


def _verdict(errand: Errand, place: OriginRow, url: str) -> str:
    if errand.file:
        return "not asked for, as the page is a file"
    if robots.is_ignored(place.origin, errand.policy):
        return "ignored, as the job says (politeness.ignore_robots)"
    if place.gate is Gate.WAITING:
        return f"not to be had: {place.why}" if place.why else "not asked for"
    refusal = robots.refuses(place, url, errand.policy)
    if refusal:
        return robots.about(place, refusal) or "forbids the page"
    return "allows the page" if place.gate is Gate.RULES else "there is none, so all is allowed"


def _links(errand: Errand, crawl: PageCrawl, found: Extracted) -> Iterator[Link]:
    """Yield the links of the page, each with the rule of workers or of the coordinator that refuses it."""
    records = unpack(found.links)
    targets = crawl.targets([record.target for record in records if not record.why])
    places = crawl.origins(list(targets))
    for record in records:
        why = record.why
        if not why:
            row = targets.get(record.target)
            why = why_not(known(row) if row is not None else None)
            place = places.get(origin(record.target)) if row is not None else None
            if not why and place is not None and place.gate is not Gate.WAITING and not errand.file:
                why = robots.refuses(place, record.target, errand.policy)
        yield Link(url=record.target, element=record.element, text=record.text, why=why)
