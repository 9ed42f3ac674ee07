"""A hook that does something once for the whole fleet, under a lock, and counts all pages.

In a job: `hooks: do_once_in_hook.py`. Locks and values are for coordination; they are not covered by the promise that
each result is recorded exactly once, because a page may be parsed again after a worker died.
"""

from collections.abc import Iterator

from crawlfleet import Page


def parse(page: Page) -> Iterator[dict[str, object]]:
    with page.fleet.Lock("preparation"):
        if not page.fleet.Value("prepared").get():
            page.fleet.Value("preparations").add(1)  # do it here, once for the fleet
            page.fleet.Value("prepared").set(1)
    number, preparations = page.fleet.Value("pages").add(1), page.fleet.Value("preparations").get()
    yield {"item": "page", "title": page.title, "number": number, "preparations": preparations}
