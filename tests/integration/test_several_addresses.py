"""A crawl with several addresses: members are told of them, once, and the status names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet import connect
from crawlfleet.fleet.arrival import await_coordinator
from crawlfleet.shared.messages import ExchangeRequest, Hello
from crawlfleet.shared.wire.manager import FleetManager
from tests.site.served_crawl import served

B, C = ("b.test", 7_320), ("c.test", 7_320)


def named(manager: FleetManager, session: str) -> object:
    return manager.Queue().exchange(ExchangeRequest(session=session)).addresses


def test_members_are_told_of_the_addresses_at_hello_and_after_a_change(tmp_path: Path) -> None:
    with served(tmp_path, wait=True, advertise=(("127.0.0.1", 0), B)) as crawl:
        here = crawl.crawl.address
        manager = await_coordinator(crawl.token, 10)
        assert manager.Queue().hello(Hello(session="one")).addresses == (here, B)
        assert named(manager, "one") is None
        crawl.crawl._service.members.addresses = (here, C)
        assert [named(manager, "one") for _ in range(2)] == [(here, C), None]
        assert manager.endpoints.in_order() == (here, C, B)
        crawl.crawl._service.members.addresses = ()
        assert [named(manager, "one") for _ in range(2)] == [(), None]
        assert manager.endpoints.in_order() == (here, B)
        assert named(manager, "a stranger") is None
        manager.disconnect()


def test_a_coordinator_alone_names_no_addresses(tmp_path: Path) -> None:
    with served(tmp_path, wait=True) as crawl:
        manager = await_coordinator(crawl.token, 10)
        assert manager.Queue().hello(Hello(session="one")).addresses == ()
        assert named(manager, "one") is None
        manager.disconnect()


@pytest.mark.parametrize("is_alone", [True, False])
def test_the_status_names_the_address_of_who_answers_and_all_if_there_are_several(
    is_alone: bool, tmp_path: Path
) -> None:
    more = () if is_alone else (B,)
    with served(tmp_path, wait=True, advertise=(("127.0.0.1", 0), *more)) as crawl, connect(crawl.token, 10) as fleet:
        here = f"127.0.0.1:{crawl.crawl.address[1]}"
        status = fleet.status()
        assert (status.address, status.addresses) == (here, () if is_alone else (here, "b.test:7320"))


def test_an_address_that_is_advertised_and_is_not_its_own_is_not_taken_for_it(tmp_path: Path) -> None:
    with served(tmp_path, wait=True, advertise=(B, C)) as crawl:
        assert crawl.crawl.status().address == f"127.0.0.1:{crawl.crawl.address[1]}"
