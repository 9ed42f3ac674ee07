"""What can be known of a valid job before it runs, and is probably not meant."""

from __future__ import annotations

from itertools import islice

from crawlfleet.coordinator.job.job import Job, brief
from crawlfleet.coordinator.job.seeds import pages_of
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.scope import Scope
from crawlfleet.shared.web.url_policy import policy_of

NAMED = 3

_WHY = {
    Reason.HOST: "its host is none of scope.hosts",
    Reason.INCLUDE: "scope.include does not match it",
    Reason.EXCLUDE: "scope.exclude matches it",
}


def forewarnings(job: Job) -> tuple[str, ...]:
    """Return sentences: one for each of some seeds that the job's own scope refuses, and how many there are more."""
    work = brief(job)
    scope = Scope(work.scope)
    if scope.is_of_hosts_alone:  # the job is not valid unless the hosts of its seeds belong to it
        return ()
    urls = policy_of(work.urls)
    refused = ((url, scope.refuses(urls.apply(url))) for url in pages_of(job.seeds))
    outside = ((url, reason) for url, reason in refused if reason)
    said = [f"the seed {url} is not fetched: {_WHY.get(Reason(why), why)}" for url, why in islice(outside, NAMED)]
    more = sum(1 for _ in outside)
    return (*said, *([f"and {more:,} seeds more are not fetched"] if more else ()))
