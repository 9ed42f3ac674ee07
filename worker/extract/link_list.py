"""Lists all links of a page, followed or not, with text and relation: for jobs that ask for the table `links`. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import NamedTuple

from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.link_records import (
    ITSELF,
    LIMIT,
    MAX_ADDRESS_CHARS,
    MAX_REL_CHARS,
    NOFOLLOW,
    NOT_SELECTED,
    LinkRecord,
    pack,
)
from crawlfleet.shared.web.urls import canonicalize
from crawlfleet.worker.extract import survey
from crawlfleet.worker.extract.encoding import UTF_8
from crawlfleet.worker.extract.links import LinkReader
from crawlfleet.worker.extract.page import Page

HEADER, HOOK = "header", "hook"

# With these a target may be of any length.
_NO_URL = frozenset({Reason.NOT_HTTP, Reason.LENGTH})


class LinkList(NamedTuple):
    """The links of a page, packed, and how many were left out."""

    packed: bytes = b""
    left_out: int = 0


def list_links(page: Page, outlinks: Collection[str], reader: LinkReader, most: int, most_bytes: int) -> LinkList:
    """List the first `most` links of a page, in so many bytes; `outlinks` are those followed."""
    written = page.survey.found
    if page.encoding != UTF_8:
        written = [each._replace(address=page.address(each.address)) for each in written]
    found = [*_in_header(page), *written]
    judged = reader.judge_all(dict.fromkeys(each.address for each in found), page.base)
    followed = set(outlinks)
    obeys = reader.reading.obey_nofollow
    is_nofollow = obeys and page.directives.nofollow
    rest = NOT_SELECTED if reader.is_selective else LIMIT
    records = []
    for each in islice(found, most):
        target, refusal = judged[each.address]
        why: str = refusal
        if why in _NO_URL:
            target = target[:MAX_ADDRESS_CHARS]
        elif not why and (is_nofollow or (obeys and survey.is_untrusted(each.rel))):
            why = NOFOLLOW
        elif not why and target not in followed:
            why = ITSELF if target == page.url else rest
        records.append(LinkRecord(target, each.element, each.rel[:MAX_REL_CHARS], each.text, why))
    hooked = [LinkRecord(url, HOOK, why="" if url in followed else LIMIT) for url in dict.fromkeys(page.followed)]
    records += hooked[: most - len(records)]
    packed, number = pack(records, most_bytes)
    return LinkList(packed, len(found) + len(hooked) - number)


def _in_header(page: Page) -> Iterator[survey.FoundLink]:
    for link in page.header_links:
        if survey.leads_on(link.rel, link.media_type):
            yield survey.FoundLink(canonicalize(link.address, page.url) or link.address, HEADER, link.rel)
    if page.refresh is not None:
        yield survey.FoundLink(page.refresh, HEADER, "refresh")
