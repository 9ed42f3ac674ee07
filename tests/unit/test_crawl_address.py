"""Addresses of databases that hold crawls: what is one, what is refused, and that no message has a password."""

from __future__ import annotations

import re

import pytest

from crawlfleet.coordinator.frontier.crawl_address import (
    MAX_SCHEMA_BYTES,
    VARIABLE,
    CrawlAddress,
    check_database,
    parse,
    schema_of,
    scheme_of,
    with_password,
    without_password,
)

SECRET = "hunter2"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://localhost/crawls",
        "postgresql://crawler@db.example:5432/crawls",
        "postgresql://one:5432,two:5433/crawls?target_session_attrs=read-write",
        "postgresql://[2001:db8::1]:5432/crawls",
        "postgresql://%2Fvar%2Frun%2Fpostgresql/crawls",
        "postgresql:///crawls?host=/var/run/postgresql&user=crawler",
        "postgresql:///?service=crawls",
        "postgresql://?service=crawls&passfile=/home/me/.pgpass",
        "postgresql://",
    ],
)
def test_an_address_of_a_database_is_taken_as_it_is(address: str) -> None:
    assert check_database(address) == address
    assert without_password(address) == address


def test_the_scheme_gets_its_usual_name() -> None:
    assert check_database("Postgres://h/db") == without_password("POSTGRES://h/db") == "postgresql://h/db"
    assert (scheme_of("postgres://h"), scheme_of("TOY://h"), scheme_of("crawls/demo")) == ("postgresql", "toy", "")


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://crawler:{SECRET}@h/db",
        f"postgresql://:{SECRET}@h/db",
        f"postgresql://crawler:a@{SECRET}@h/db",
        f"postgresql:///db?user=crawler&password={SECRET}",
        f"postgresql:///db?sslpassword={SECRET}",
        f"postgresql:///db?oauth_client_secret={SECRET}",
        f"postgresql:///db?scram_client_key={SECRET}",
    ],
)
def test_a_password_is_refused_by_a_sentence_that_says_where_it_may_stand(address: str) -> None:
    with pytest.raises(ValueError, match=r"has a password, .*: keep it in PGPASSWORD, ~/\.pgpass or a service") as told:
        check_database(address)
    assert SECRET not in str(told.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"postgresql://crawler:{SECRET}/x@h/db", "cannot be read"),
        (f"postgresql://crawler:{SECRET}?x@h/db", "host or port"),
        (f"postgresql://crawler:{SECRET}#x@h/db", "cannot be read"),
        (f"postgresql://h/{SECRET}@db", "cannot be read"),
        (f"postgresql://h:{SECRET}/db", "host or port"),
        ("postgresql://h:65536/db", "host or port"),
        ("postgresql://h:0/db", "host or port"),
        ("postgresql://[::1/db", "host or port"),
        ("postgresql://h/a/b", "cannot be read"),
        (f"postgresql:///db?{SECRET}", "no KEY=VALUE"),
        (f"postgresql:///db?p%61ssword={SECRET}", "no KEY=VALUE"),
        (f"postgresql://{SECRET}%zz@h/db", "begins no escape"),
        ("postgresql://h/db?crawl=demo", "leave out crawl="),
        (f"postgresql://h/{SECRET} db", "printable"),
        (f"postgresql://h/{SECRET}\n", "printable"),
        (f"postgresql://h/{SECRET * 300}", "2,000"),
        (SECRET, "cannot be read"),
    ],
)
def test_what_is_no_address_is_told_without_repeating_it(address: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as told:
        check_database(address)
    assert SECRET not in str(told.value)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (f"postgres://me:{SECRET}@h:1/db", "postgresql://me@h:1/db"),
        (f"postgresql://:{SECRET}@h/db", "postgresql://h/db"),
        (f"postgresql://h/db?password={SECRET}", "postgresql://h/db"),
        (f"postgresql://h/db?a=b&p%61ssword={SECRET}&c=d", "postgresql://h/db?a=b&c=d"),
        ("sqlite", "sqlite"),
    ],
)
def test_a_password_is_left_out(given: str, kept: str) -> None:
    assert without_password(given) == kept


def test_a_password_is_found_again_for_the_address_that_has_it() -> None:
    known = {VARIABLE: f"postgres://me:{SECRET}@h/db"}
    assert with_password("postgresql://me@h/db", known) == known[VARIABLE]
    assert with_password("postgresql://me@other/db", known) == "postgresql://me@other/db"
    assert with_password("postgresql://me@h/db", {}) == "postgresql://me@h/db"


@pytest.mark.parametrize("database", ["postgresql://h/db", "postgresql:///?service=a&x=y"])
def test_the_address_of_a_crawl_names_it_behind_that_of_its_database(database: str) -> None:
    at = CrawlAddress(database, "demo.20260131-120000-000000")
    assert str(at).startswith(database)
    assert parse(str(at)) == at
    assert at.scheme == "postgresql"


@pytest.mark.parametrize(
    "address", ["postgresql://h/db", "postgresql://h/db?crawl=", "postgresql://h/db?crawl=a&crawl=b"]
)
def test_an_address_without_one_crawl_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"names no crawl: write one such as postgresql://host/database\?crawl=NAME"):
        parse(address)


def test_a_crawl_has_a_schema_whose_name_needs_no_quotes() -> None:
    assert schema_of("my-shop") == CrawlAddress("postgresql://h", "my-shop").schema == "crawl_my_shop"
    assert schema_of("demo.20260131-120000-000000") == "crawl_demo_20260131_120000_000000"


def test_the_schemas_of_long_names_are_cut_and_told_apart() -> None:
    one, other = schema_of("a" * 63 + "b"), schema_of("a" * 63 + "c")
    assert one != other
    assert len(one) == len(other) == MAX_SCHEMA_BYTES
    assert re.fullmatch(r"crawl_a+_[0-9a-f]{8}", one)
