"""The parts of a crawl, as they are opened and handed to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from crawlfleet.coordinator.conduct.service import Service
from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.coordinator.job.change import ChangedJob
from crawlfleet.coordinator.results.results_dict import ResultsDict
from crawlfleet.coordinator.sinks.follower import Follower
from crawlfleet.coordinator.sinks.outputs import Output
from crawlfleet.shared.wire.control_port import FleetServer
from crawlfleet.shared.wire.join_token import JoinToken


class CrawlParts(NamedTuple):
    """The parts of a crawl, open and not yet running. `listen` opens the server.

    `changed_job` is the job if it has changed since the last run: it is kept once all known URLs are judged by it.
    `notices` are sentences about the sinks, `outputs`, and about how the job was given, that the user must see.
    """

    store: Store
    changed_job: ChangedJob | None
    service: Service
    follower: Follower
    results: ResultsDict
    listen: Callable[[], tuple[FleetServer, JoinToken]]
    outputs: Sequence[Output]
    notices: tuple[str, ...] = ()
