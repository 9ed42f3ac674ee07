"""The addresses that sinks may write to. Pure. What may be a password is neither kept nor repeated."""

from __future__ import annotations

import re

from crawlfleet.coordinator.sinks.registry import OBJECTS, entry_for, no_service, scheme_of, service_for
from crawlfleet.shared.errors import UsageError

MAX_ADDRESS_CHARS = 2_000
# Where passwords may be kept.
_OF_LIBPQ = "keep it in ~/.pgpass, PGPASSWORD or a service"
_OF_HEADERS = "write it into headers"
_ELSEWHERE = {"postgresql": _OF_LIBPQ, "postgres": _OF_LIBPQ, "http": _OF_HEADERS, "https": _OF_HEADERS}
_FILE = re.compile(r"://.+[^/.]\.[^/]+$")
_PASSWORD = re.compile(r"[?&](?:ssl)?password=")


def check_address(value: str) -> str:
    """Return an address that a kind of sinks writes to; raise `ValueError`, whose text says what is wrong with it."""
    scheme = scheme_of(value)
    if not scheme:
        raise ValueError(f"{value[:60]!r} is no address: write one such as postgresql://host/database")
    if not value.isprintable() or " " in value or len(value) > MAX_ADDRESS_CHARS:
        raise ValueError(f"is no address: write {MAX_ADDRESS_CHARS:,} printable characters at most, without blanks")
    rest = value.partition("://")[2]
    user = rest.partition("/")[0].rpartition("@")[0]
    if ":" in user or _PASSWORD.search(rest):
        elsewhere = _ELSEWHERE.get(scheme, "keep it where the library of this scheme looks for it")
        raise ValueError(f"the address has a password, which the crawl's folder would keep: {elsewhere}")
    if service_for(value) is None:
        _check_file(value)
    return value


def _check_file(address: str) -> None:
    try:
        OBJECTS.load()
        from crawlfleet.coordinator.sinks.object_sink import knows

        if not knows(scheme_of(address)):
            raise ValueError(no_service(address))
        entry_for(address)
    except UsageError as error:
        raise ValueError(str(error)) from error
    if not _FILE.search(address):
        raise ValueError(f"{address[:60]!r} names no file: write one such as s3://bucket/items.csv")
