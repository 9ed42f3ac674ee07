"""A hook that uses what the whole fleet shares: one login at a time, and a count of all pages.

In a job: `hooks: login_hook.py`. Locks and values are for coordination; they are not covered by the promise that each
result is recorded exactly once, because a page may be parsed again after a worker died.
"""

from collections.abc import Iterator

from crawlfleet import Page


def parse(page: Page) -> Iterator[dict[str, object]]:
    with page.fleet.Lock("login"):
        if not page.fleet.Value("logged_in").get():
            page.fleet.Value("logins").add(1)  # log in here, once for the fleet
            page.fleet.Value("logged_in").set(1)
    number, logins = page.fleet.Value("pages").add(1), page.fleet.Value("logins").get()
    yield {"item": "page", "title": page.title, "number": number, "logins": logins}
