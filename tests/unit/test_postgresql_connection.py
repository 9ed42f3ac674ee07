"""Connections to the database of a crawl: what the address of a database may say otherwise."""

from __future__ import annotations

import pytest

from crawlfleet.coordinator.frontier.postgresql.connection import options_of, shown


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", {"connect_timeout": 10, "tcp_user_timeout": 20_000}),
        ("?connect_timeout=3", {"tcp_user_timeout": 20_000}),
        ("?connect_timeout=3&tcp_user_timeout=5000", {}),
    ],
    ids=["says nothing", "one", "both"],
)
def test_an_address_may_say_how_long_a_silent_server_is_waited_for(query: str, left: dict[str, int]) -> None:
    options = options_of(f"postgresql://a.test,b.test/crawls{query}", reads_only=False)
    assert {key: options[key] for key in ("connect_timeout", "tcp_user_timeout") if key in options} == left


@pytest.mark.parametrize(("reads_only", "asked"), [(False, "read-write"), (True, None)], ids=["writes", "reads"])
def test_only_who_writes_asks_for_a_primary(reads_only: bool, asked: str | None) -> None:
    options = options_of("postgresql://a.test,b.test/crawls", reads_only=reads_only)
    assert options.get("target_session_attrs") == asked


@pytest.mark.parametrize(
    ("hosts", "named"),
    [
        ("a.test,b.test", "a.test,b.test"),
        ("a.test:5433,b.test", "a.test:5433,b.test"),
        ("a.test:5433,b.test:5434", "a.test:5433,b.test:5434"),
        ("a.test:5433", "a.test:5433"),
        ("", "the default host"),
    ],
)
def test_a_sentence_names_each_host_with_its_port(hosts: str, named: str) -> None:
    assert shown(f"postgresql://crawler:secret@{hosts}/crawls") == f"the database crawls at {named}"


def test_a_port_that_is_said_once_is_that_of_all_hosts() -> None:
    assert (
        shown("postgresql:///crawls?host=a.test,b.test&port=5433") == "the database crawls at a.test:5433,b.test:5433"
    )
