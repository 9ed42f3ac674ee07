"""What every fetch engine keeps to about private addresses: it connects to those alone that task or job open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.shared.messages import Outcome
from crawlfleet.worker.fetch import names as names_module
from crawlfleet.worker.fetch.guard import Passage
from crawlfleet.worker.fetch.names import SERVERS_VARIABLE
from crawlfleet.worker.fetch.port import Fetched, Wanted
from crawlfleet.worker.fetch.registry import engine_for, open_fetcher
from tests.local import local_spec
from tests.site import name_server
from tests.site.inner_listener import InnerListener, listening
from tests.site.name_server import NameServer
from tests.site.small_site import SmallSite, serving

INNER = "127.0.0.9"
NAME = "1.quick.test"


@pytest.fixture(params=list(FETCH_ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def site() -> Iterator[SmallSite]:
    with serving({"/": "hi"}) as found:
        yield found


@pytest.fixture
def inner(site: SmallSite) -> Iterator[InnerListener]:
    """What must never be reached: it listens at the same port, at another address."""
    with listening(INNER, port=site.server_port) as listener:
        yield listener
        assert listener.visitors() == []
        assert listener.is_reachable()


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, str]]:
    """The addresses of names that begin with a number; each look-up asks anew."""
    found = {1: "127.0.0.1"}
    monkeypatch.setattr(name_server, "host_name", found.__getitem__)
    monkeypatch.setattr(names_module, "ADDRESSES_KEPT_S", 0.0)
    monkeypatch.setattr(names_module, "CHANNEL_USED_S", 0.0)
    with NameServer() as server:
        monkeypatch.setenv(SERVERS_VARIABLE, server.address)
        yield found


def assert_kept_out(fetched: Fetched, said: str) -> None:
    outcome = (fetched.failure, fetched.reason, fetched.detail, fetched.status, fetched.remote_address)
    assert outcome == (Outcome.DENIED, "private_address", said, 0, "")


@pytest.mark.usefixtures("inner")
def test_a_private_address_is_connected_to_only_if_the_task_brings_it_along(engine: str, site: SmallSite) -> None:
    port = site.server_port
    with closing(open_fetcher(local_spec(engine=engine, allow_private=()))) as fetcher:
        assert_kept_out(fetcher.fetch(f"{site.base}/"), "127.0.0.1 is a private address")
        assert fetcher.fetch(f"{site.base}/", Wanted(inside=("127.0.0.1",))).status == 200
        inside = Wanted(inside=("127.0.0.1", "fd00::1"))
        assert_kept_out(fetcher.fetch(f"http://{INNER}:{port}/", inside), f"{INNER} is a private address")
        said = "169.254.169.254 is the address of a metadata service"
        assert_kept_out(fetcher.fetch("http://169.254.169.254/", Wanted(inside=("169.254.169.254",))), said)
        assert_kept_out(fetcher.fetch("http://[ff02::1]/", inside), "ff02::1 is no address of a server")
    assert len(site.requests) == 1


def test_what_the_job_opens_is_connected_to(engine: str, site: SmallSite) -> None:
    with closing(open_fetcher(local_spec(engine=engine, allow_private=("127.0.0.0/30",)))) as fetcher:
        assert fetcher.fetch(f"{site.base}/").status == 200


@pytest.mark.usefixtures("inner")
def test_a_name_that_changes_its_address_leads_nowhere_else(
    engine: str, site: SmallSite, addresses: dict[int, str]
) -> None:
    url = f"http://{NAME}:{site.server_port}/"
    with closing(open_fetcher(local_spec(engine=engine, allow_private=()))) as fetcher:
        first = fetcher.fetch(url, Wanted(first=True))
        assert (first.status, first.first_addresses) == (200, ("127.0.0.1",))
        addresses[1] = INNER
        inside = Wanted(inside=("127.0.0.1",))
        assert_kept_out(fetcher.fetch(url, inside), f"{NAME} is at {INNER}, a private address")
        addresses[1] = "127.0.0.1"
        again = fetcher.fetch(url, inside)
        assert (again.status, again.first_addresses) == (200, None)


@pytest.mark.usefixtures("addresses")
def test_a_name_may_be_opened_by_itself(engine: str, site: SmallSite) -> None:
    with closing(open_fetcher(local_spec(engine=engine, allow_private=(NAME,)))) as fetcher:
        assert fetcher.fetch(f"http://{NAME}:{site.server_port}/").status == 200
        other = fetcher.fetch(f"http://a.quick.test:{site.server_port}/")
        assert_kept_out(other, "a.quick.test is at 127.0.0.1, a private address")


def test_of_a_name_that_is_not_private_alone_nothing_private_is_reported(
    engine: str, site: SmallSite, addresses: dict[int, str]
) -> None:
    addresses[1] = "169.254.169.254"
    with closing(open_fetcher(local_spec(engine=engine, allow_private=()))) as fetcher:
        fetched = fetcher.fetch(f"http://{NAME}:{site.server_port}/", Wanted(first=True))
    assert_kept_out(fetched, f"{NAME} is at 169.254.169.254, the address of a metadata service")
    assert fetched.first_addresses == ()


@pytest.mark.usefixtures("inner")
def test_the_address_counts_to_which_a_socket_would_be_connected(
    site: SmallSite, addresses: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses[1] = INNER
    monkeypatch.setattr(Passage, "open_ones", lambda _passage, _origin, found: (found, ""))
    with closing(open_fetcher(local_spec(engine="curl", allow_private=()))) as fetcher:
        fetched = fetcher.fetch(f"http://{NAME}:{site.server_port}/", Wanted(inside=("127.0.0.1",)))
    assert_kept_out(fetched, f"{NAME} is at {INNER}, a private address")


@pytest.mark.usefixtures("inner")
def test_the_session_of_a_hook_leads_where_the_task_may_and_nowhere_else(site: SmallSite) -> None:
    found: list[requests.Session] = []
    engine = engine_for(local_spec(engine="requests", allow_private=()), found.append)
    with closing(engine.open()) as fetcher:
        (session,) = found
        with pytest.raises(requests.ConnectionError, match=r"private_address: 127\.0\.0\.1 is a private address"):
            session.get(f"{site.base}/")
        seen: list[Any] = []

        def ask(request: Any) -> Any:
            session.auth = None
            seen.append(session.get(f"{site.base}/token").status_code)
            with pytest.raises(requests.ConnectionError, match="private_address"):
                session.get(f"http://{INNER}:{site.server_port}/")
            return request

        session.auth = ask
        assert fetcher.fetch(f"{site.base}/", Wanted(inside=("127.0.0.1",))).status == 200
        assert seen == [404]


@pytest.mark.usefixtures("addresses")
def test_the_session_of_a_hook_is_told_that_a_name_has_no_address() -> None:
    found: list[requests.Session] = []
    engine = engine_for(local_spec(engine="requests"), found.append)
    with closing(engine.open()), pytest.raises(requests.ConnectionError, match="dns_failed"):
        found[0].get("http://a.missing.test/")
