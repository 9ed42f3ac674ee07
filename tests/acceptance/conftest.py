"""The bundled demo site, as a site to crawl."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crawlfleet.demo_site import DemoSite, serve


@pytest.fixture
def site() -> Iterator[DemoSite]:
    running = serve(slow_s=0.0)
    yield running
    running.shutdown()
    running.server_close()
