"""Addresses of databases that hold crawls. Pure. What may be a password is neither kept nor repeated.

A job names a database, `postgresql://host/database`. The address of one crawl in it also has the crawl's name,
`postgresql://host/database?crawl=NAME`: that is what is kept in the crawl's folder, and what commands take that read
crawls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import quote, unquote

MAX_ADDRESS_CHARS = 2_000
MAX_SCHEMA_BYTES = 63
#: The variable of the environment that beats a job's key. Its address may have a password.
VARIABLE = "CRAWLFLEET_FRONTIER"
#: The key, in the query of an address, of the crawl's name.
CRAWL = "crawl"
SCHEMA_PREFIX = "crawl_"
#: Other names of schemes.
ALIASES = {"postgres": "postgresql"}

_ADDRESS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:(?P<user>[^/?#]*)@)?(?P<hosts>[^/?#@]*)"
    r"(?:/[^/?#@]*)?(?:\?(?P<query>[^?#]*))?"
)
_HOST = re.compile(r"(?:\[[0-9A-Za-z:.%]+\]|[0-9A-Za-z._~%-]*)(?::(?P<port>[0-9]{0,5}))?")
_PAIR = re.compile(r"[a-z_]+=[^=]*")
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# The keys of libpq that hold secrets; `passfile` and `sslkey` name files.
_SECRET = re.compile(r"password|secret|scram_(?:client|server)_key")
_ELSEWHERE = "keep it in PGPASSWORD, ~/.pgpass or a service file"
_PASSWORD = f"the address has a password, which must stand in no job, command or folder: {_ELSEWHERE}"
_MALFORMED = "{}: write an address such as postgresql://user@host:5432/database"


class CrawlAddress(NamedTuple):
    """Where a crawl is: the address of its database, without a password, and its name there."""

    database: str
    crawl: str

    @property
    def scheme(self) -> str:
        """The scheme of the database's address."""
        return scheme_of(self.database)

    @property
    def schema(self) -> str:
        """The schema that the crawl has in its database."""
        return schema_of(self.crawl)

    def __str__(self) -> str:
        return f"{self.database}{'&' if '?' in self.database else '?'}{CRAWL}={quote(self.crawl)}"


def scheme_of(text: str) -> str:
    """Return the scheme of an address, by its usual name; empty if a text is no address."""
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    return ALIASES.get(scheme, scheme)


def check_database(text: str) -> str:
    """Return the address of a database, its scheme by its usual name.

    Raise `ValueError`, whose text says what is wrong with it, and repeats nothing of it: that may be a password.
    """
    if not text.isprintable() or " " in text or len(text) > MAX_ADDRESS_CHARS:
        raise ValueError(f"is no address: write {MAX_ADDRESS_CHARS:,} printable characters at most, without blanks")
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError(_MALFORMED.format("cannot be read as an address"))
    if ":" in (found["user"] or ""):
        raise ValueError(_PASSWORD)
    if _NO_ESCAPE.search(text):
        raise ValueError("has a '%' that begins no escape: write %25 for it")
    for host in found["hosts"].split(","):
        parts = _HOST.fullmatch(host)
        if parts is None or not 0 <= int(parts["port"] or 1) <= 65_535 or parts["port"] == "0":
            raise ValueError(_MALFORMED.format("has a host or port that is none"))
    for pair in filter(None, (found["query"] or "").split("&")):
        _check_pair(pair)
    return scheme_of(text) + text[len(found["scheme"]) :]


def _check_pair(pair: str) -> None:
    if not _PAIR.fullmatch(pair):
        raise ValueError("has a part behind the '?' that is no KEY=VALUE: write such as postgresql:///?service=crawls")
    key = pair.partition("=")[0]
    if _SECRET.search(key):
        raise ValueError(_PASSWORD)
    if key == CRAWL:
        raise ValueError(f"names a crawl: leave out {CRAWL}=, since the crawl has the job's name")


def parse(text: str) -> CrawlAddress:
    """Return the address of a crawl that a text is; raise `ValueError` as `check_database` does."""
    before, _, query = text.partition("?")
    pairs = query.split("&") if query else []
    names = [unquote(pair.partition("=")[2]) for pair in pairs if pair.partition("=")[0] == CRAWL]
    others = "&".join(pair for pair in pairs if pair.partition("=")[0] != CRAWL)
    database = check_database(f"{before}?{others}" if others else before)
    if len(names) != 1 or not names[0]:
        raise ValueError(f"names no crawl: write one such as postgresql://host/database?{CRAWL}=NAME")
    return CrawlAddress(database, names[0])


def without_password(text: str) -> str:
    """Return an address without what it has of passwords, as far as it can be read; its scheme by its usual name."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    before, mark, query = rest.partition("?")
    login, at, place = before.rpartition("@")
    user = login.partition(":")[0]
    kept = "&".join(pair for pair in query.split("&") if not _SECRET.search(unquote(pair.partition("=")[0])))
    at = at if user or ":" not in login else ""
    return f"{ALIASES.get(scheme.lower(), scheme.lower())}://{user}{at}{place}{mark if kept or not query else ''}{kept}"


def with_password(database: str, environment: Mapping[str, str]) -> str:
    """Return the address of a database as the environment has it, with a password, if it has one for this address."""
    known = environment.get(VARIABLE, "")
    return known if known and without_password(known) == database else database


def schema_of(crawl: str) -> str:
    """Return the schema that a crawl has in a database: a name that SQL needs no quotes for.

    One that would be too long is cut, and told from others by a digest.
    """
    name = SCHEMA_PREFIX + re.sub(r"[^a-z0-9_]", "_", crawl.lower())
    if len(name) <= MAX_SCHEMA_BYTES:
        return name
    digest = blake2b(crawl.encode(), digest_size=4).hexdigest()
    return f"{name[: MAX_SCHEMA_BYTES - len(digest) - 1]}_{digest}"
