"""Makes of a job what is to be tried: one address, with what worker and coordinator go by."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from msgspec.structs import replace

from crawlfleet.coordinator.core.policy import Budget
from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.coordinator.job.job import Job, brief, policy
from crawlfleet.coordinator.job.seeds import columns_of, files_of, pages_of, sitemaps_of
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.paths import shown
from crawlfleet.shared.web.url_policy import UrlPolicy, policy_of
from crawlfleet.shared.web.urls import canonicalize, host_key, origin
from crawlfleet.trial.messages import Errand

# So many lines of a seeds file are looked at for the page: it shall be there in a second.
MOST_LINES = 20_000


def errand_of(job: Job, address: str = "", file: Path | None = None) -> Errand:
    """Return the errand to try an address of a job, the first seed if it is empty; raise `UsageError` if it is none.

    Budgets are those of a crawl, not of a page, and sitemaps lead elsewhere. For a file no robots.txt is asked for.
    """
    asked = address or _first_seed(job)
    if not asked:
        what = "the job has no seed that is a page" if file is None else "the job has no seed to read the file as"
        raise UsageError(f"{what}: name the address, {'as in try JOB.yaml URL' if file is None else 'with --url'}")
    url = canonicalize(asked)
    if url is None:
        raise UsageError(f"{asked[:200]!r} is no http or https address, and no file: check it")
    work = brief(job)
    work = replace(work, links=replace(work.links, listed=True))
    rules = policy(job, work)
    none = Budget()
    rules = replace(
        rules,
        extent=replace(rules.extent, pages=None, size_bytes=None, time_s=None, per_host=none, sitemaps=False),
        keeps_links=False,
    )
    url = policy_of(work.urls).apply(url)
    if file is not None:
        ignored = (*rules.politeness.ignore_robots, host_key(url))
        rules = replace(rules, politeness=replace(rules.politeness, ignore_robots=ignored))
    seeds = set(map(policy_of(work.urls).apply, pages_of(job.seeds)))
    named = (*([url] if address else []), *seeds, *sitemaps_of(job.seeds))
    line = _line_of(job, url, asked, policy_of(work.urls)) if url not in seeds else None
    return Errand(
        brief=work,
        policy=rules,
        asked=shown(asked),
        url=url,
        is_seed=url in seeds,
        line=line,
        file=shown(file) if file is not None else "",
        named=tuple(dict.fromkeys(f"{origin(each)}/" for each in named)),
    )


def _first_seed(job: Job) -> str:
    """Return the first seed that is a page; empty if there is none."""
    pages = pages_of(job.seeds)
    of_files = (url for file in files_of(job.seeds) for url, _ in file.reader(()))
    return pages[0] if pages else next(of_files, "")


def _line_of(job: Job, url: str, asked: str, urls: UrlPolicy) -> SeedLine | None:
    """Return the line of a seeds file that names a page. If it may stand further below, it is one that says no more."""
    is_read = True
    for file in files_of(job.seeds):
        lines = iter(file.reader(columns_of(job.seeds) or ()))
        found = next((line for each, line in islice(lines, MOST_LINES) if urls.apply(each) == url), None)
        if found is not None:
            return found
        is_read = is_read and next(lines, None) is None
    return None if is_read else SeedLine(asked)
