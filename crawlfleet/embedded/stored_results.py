"""The results of an embedded crawl as a mapping, read from its store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from crawlfleet.coordinator.frontier.port import ResultLog
from crawlfleet.coordinator.frontier.registry import open_reader
from crawlfleet.coordinator.results.results_dict import ResultsDict
from crawlfleet.fleet.results import Results
from crawlfleet.shared.brief import UrlSpec
from crawlfleet.shared.messages import ResultPage, decode
from crawlfleet.shared.web.url_policy import TRACKING, policy_of


def results_in(folder: Path, log: ResultLog) -> Results:
    """Return the results of the crawl in a folder, as a fleet has them."""
    return Results(_Reading(ResultsDict(log, policy_of(url_spec_of(job_in(folder))))), lambda: None)


def job_in(folder: Path) -> dict[str, Any]:
    """Return the job of the crawl in a folder, as plain data."""
    reader = open_reader(folder)
    try:
        return reader.job
    finally:
        reader.close()


def url_spec_of(job: Mapping[str, Any]) -> UrlSpec:
    """Return which addresses a job, as plain data, takes for the same."""
    keys = dict(job["urls"])
    if keys.pop("drop_tracking"):
        keys["drop_query"] = [*keys["drop_query"], *TRACKING]
    return msgspec.convert(keys, UrlSpec)


class _Reading:
    """What a proxy of the results dict does, without a coordinator."""

    def __init__(self, results: ResultsDict) -> None:
        self.get = results.get
        self.contains = results.contains
        self.size = results.size
        self._results = results

    def page(self, cursor: int, limit: int) -> ResultPage:
        """Return some results from a place on."""
        return decode(self._results.page(cursor, limit), ResultPage)
