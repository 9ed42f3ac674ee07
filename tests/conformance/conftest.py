"""Every fetch engine, and a site that misbehaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.worker.fetch.port import Fetcher
from crawlfleet.worker.fetch.registry import open_fetcher
from tests.conformance.fetch_limits import LIMIT, SHORT_S
from tests.local import local_spec
from tests.site.hostile_site import HostileSite


@pytest.fixture(params=sorted(FETCH_ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def site() -> Iterator[HostileSite]:
    with HostileSite() as running:
        yield running


@pytest.fixture
def fetcher(engine: str) -> Iterator[Fetcher]:
    with closing(open_fetcher(local_spec(engine=engine, timeout_s=10, max_size_bytes=LIMIT))) as opened:
        yield opened


@pytest.fixture
def hasty(engine: str) -> Iterator[Fetcher]:
    with closing(open_fetcher(local_spec(engine=engine, timeout_s=SHORT_S, max_size_bytes=LIMIT))) as opened:
        yield opened
