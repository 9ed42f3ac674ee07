"""What single values of a job may be: names, globs, headers, sinks.

Pure; each check returns the value to use, or raises `ValueError` with one sentence.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import quote

from crawlfleet.coordinator.frontier.crawl_address import check_database
from crawlfleet.coordinator.frontier.registry import STORES, database_for
from crawlfleet.coordinator.job.css import check_css
from crawlfleet.coordinator.sinks.addresses import check_address
from crawlfleet.coordinator.sinks.registry import SINKS, scheme_of
from crawlfleet.coordinator.sinks.rejected_sink import REJECTED
from crawlfleet.shared.web.addresses import Nets
from crawlfleet.shared.web.patterns import REGEX, check_regex
from crawlfleet.shared.web.urls import MAX_URL_CHARS

MAX_NAME_CHARS = 64
MAX_USER_AGENT_CHARS = 256
MAX_REASON_CHARS = 200
MAX_DATABASE_NAME_BYTES = 63

#: For `re.fullmatch`, and for the schema of jobs (ECMA 262).
JOB_NAME = r"^[a-z0-9][a-z0-9_-]*$"
ITEM_NAME = r"^[A-Za-z_][A-Za-z0-9_-]*$"
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?\Z")
_USER_AGENT = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[/ ][\x20-\x7e]*[\x21-\x7e])?\Z")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_CONTENT_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/(?:\*|[A-Za-z0-9!#$&^_.+-]+)\Z")
_PARAMETER = re.compile(r"[^\s&=#?]+\Z")
_VISIBLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))

# What the fetcher sets itself, by connection and by engine.
_OWN_HEADERS = frozenset(
    ("accept-encoding", "connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade")
)


def job_name(value: str) -> str:
    """Check a job's name: it becomes a folder's name."""
    if not re.fullmatch(JOB_NAME, value) or len(value) > MAX_NAME_CHARS:
        raise ValueError(f"wants 1 to {MAX_NAME_CHARS} of a-z, 0-9, '-' and '_', beginning with a letter or digit")
    return value


def frontier(value: str) -> str:
    """Check where a crawl's store is to be: the name of a store of files, or the address of a database."""
    if "://" in value:
        database_for(value)
        return check_database(value)
    names = [entry.name for entry in STORES.values() if entry.file]
    if value not in names:
        raise ValueError(f"is no store: write {' or '.join(names)}, or an address such as postgresql://host/database")
    return value


def item_name(value: str) -> str:
    """Check the name of an item rule."""
    if not re.fullmatch(ITEM_NAME, value) or len(value) > MAX_NAME_CHARS:
        raise ValueError(f"wants 1 to {MAX_NAME_CHARS} letters, digits, '-' and '_', beginning with a letter or '_'")
    return value


def field_name(value: str) -> str:
    """Check the name of a field: any printable text."""
    if not value.isprintable() or len(value) > MAX_NAME_CHARS:
        raise ValueError(f"is no field name: write 1 to {MAX_NAME_CHARS} printable characters")
    return value


def item_field_name(value: str) -> str:
    """Check the name of an item's own field: every row has `url` and `item` already."""
    if value in ("url", "item"):
        raise ValueError("is a name that every row has already: give the field another, such as link")
    return field_name(value)


def plain_selector(value: str) -> str:
    """Check a selector of elements, which takes no text or attribute of them."""
    css = value.strip()
    if not css:
        raise ValueError("the selector is empty: write one such as div.product")
    if re.search(r"::(?:text|attr)\b[^\"']*\Z", css):
        raise ValueError(f"{css!r} takes text, but elements are wanted: leave '::' and what follows away")
    check_css(css)
    return css


def pattern(value: str) -> str:
    """Check a pattern over path and query of canonical URLs: one that could never match is refused."""
    if not value or len(value) > MAX_URL_CHARS:
        raise ValueError("is empty or too long for a pattern: write one such as /catalogue/*")
    if value.startswith(REGEX):
        _check_regex(value)
        return value
    if "://" in value:
        raise ValueError(f"{value!r} names a site, but path and query are matched: begin with the path's '/'")
    if "#" in value:
        raise ValueError(f"{value!r} holds a '#', which no canonical URL has: leave it and what follows away")
    escaped = _ESCAPE.sub(lambda escape: escape[0].upper(), quote(value, safe=_VISIBLE_ASCII))
    if escaped != value:
        raise ValueError(f"{value!r} matches nothing, since URLs are percent-escaped: write {escaped!r}")
    return value


def _check_regex(value: str) -> None:
    if not value.isascii():
        raise ValueError(f"{value[:60]!r} matches nothing, since URLs are percent-escaped: write it in ASCII")
    try:
        check_regex(value.removeprefix(REGEX))
    except ValueError as error:
        raise ValueError(
            f"{value[:60]!r} cannot be used ({str(error)[:100]}): write what RE2 knows, without look-around, "
            "back references and large repeats"
        ) from error


def query_name(value: str) -> str:
    """Check a glob of names of query parameters."""
    if not value or len(value) > MAX_NAME_CHARS or not _PARAMETER.match(value):
        raise ValueError(f"{value[:60]!r} is no name of a query parameter: write one such as ref or utm_*")
    if not value.strip("*"):
        raise ValueError(f"{value!r} names every parameter: pages that differ by their query would be one")
    return value


def page_name(value: str) -> str:
    """Check the name of a folder's own page."""
    if not value or value in (".", "..") or quote(value, safe="") != value:
        raise ValueError(f"{value[:60]!r} is no name of a page: write one such as index.html")
    return value


def user_agent(value: str) -> str:
    """Check a user agent: a product token (RFC 9110) and printable ASCII after it."""
    if not _USER_AGENT.match(value) or len(value) > MAX_USER_AGENT_CHARS:
        raise ValueError("is no user agent: begin with a name, in printable ASCII, such as mybot/1.0 (me@example.org)")
    return value


def reason(value: str) -> str:
    """Check a reason: a line of text that says something."""
    text = value.strip()
    if not text or not text.isprintable() or len(text) > MAX_REASON_CHARS:
        raise ValueError(f"wants one line of 1 to {MAX_REASON_CHARS} characters: say why")
    return text


def header_name(value: str) -> str:
    """Check a header's name (RFC 9110, a token)."""
    if not _TOKEN.match(value):
        raise ValueError("is no header name: write letters, digits and '-' (RFC 9110)")
    if value.lower() == "user-agent":
        raise ValueError("is not set here: write politeness.user_agent")
    if value.lower() in _OWN_HEADERS:
        raise ValueError("is set by the fetcher itself: take it away")
    return value


def sent_header_name(value: str) -> str:
    """Check the name of a header that a sink sends."""
    if not _TOKEN.match(value):
        raise ValueError("is no header name: write letters, digits and '-' (RFC 9110)")
    if value.lower() in _OWN_HEADERS or value.lower() == "content-type":
        raise ValueError("is set by crawlfleet itself: take it away")
    return value


def header_value(value: str) -> str:
    """Check a header's value. It may be a secret, so the error does not repeat it."""
    if not _HEADER_VALUE.match(value):
        raise ValueError("is no header value: write one line of printable ASCII, no blanks around it (RFC 9110)")
    return value


def content_type(value: str) -> str:
    """Check a content type, or a range such as text/*; return it in lower case."""
    if not _CONTENT_TYPE.match(value):
        raise ValueError(f"{value[:60]!r} is no content type: write one such as text/html or text/*")
    return value.lower()


def opened_host(value: str) -> str:
    """Accept a network, an address or a host name that the crawl may reach although it is private."""
    Nets([value])
    return value


def sink_ending(value: str) -> None:
    """Check that there is a kind of sink for a file."""
    endings = tuple(SINKS)
    if not value.endswith(endings) or PurePosixPath(value).name in endings:
        shown = value if len(value) <= 60 else f"...{value[-60:]}"
        raise ValueError(f"{shown!r} is no known kind of sink: name a file that ends in {', '.join(endings)}")


def schema_name(value: str) -> str:
    """Check the name of a schema in a database."""
    if not value:
        raise ValueError("is empty: write the name of a schema, or leave the key out")
    return _database_name(value)


def table_prefix(value: str) -> str:
    """Check what the names of tables begin with."""
    return _database_name(value) if value else value


def _database_name(value: str) -> str:
    if not value.isprintable() or len(value.encode()) > MAX_DATABASE_NAME_BYTES:
        raise ValueError(f"wants printable characters, {MAX_DATABASE_NAME_BYTES} bytes at most")
    return value


def sink(value: str) -> str:
    """Check a sink: an address, or a file inside the crawl's folder, of a kind that exists. Returns its normal form."""
    return check_address(value) if scheme_of(value) else sink_file(value)


def sink_file(value: str) -> str:
    """Check the name of a file inside the crawl's folder. Returns its normal form."""
    path = PurePosixPath(value)
    sink_ending(value)
    if path.is_absolute() or ".." in path.parts or "\\" in value or ":" in value or not value.isprintable():
        text = "leaves the crawl's folder: write a name such as items.jsonl, or {file: PATH}, relative to the job"
        raise ValueError(f"{value[:60]!r} {text}")
    if any(len(part.encode()) > 255 for part in path.parts):
        raise ValueError(f"{value[:60]!r}... is too long for a file name: shorten it")
    if str(path) in ("log.jsonl", REJECTED):
        raise ValueError(f"{value!r} is the crawl's own file: choose another name, such as items.jsonl")
    return str(path)
