"""What workers are told of a job: how to fetch, what belongs to the crawl, what to extract, within which limits."""

from __future__ import annotations

from typing import Any

from crawlfleet.shared.engines import AUTO
from crawlfleet.shared.field_types import TEXT
from crawlfleet.shared.message import Message
from crawlfleet.shared.ranges import Count, Seconds, Size


class SiteSpec(Message, frozen=True, kw_only=True):
    """Header fields, whose values are secrets, for some origins alone: see `shared.web.origins`."""

    origins: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"SiteSpec(origins={self.origins!r}, headers={[name for name, _ in self.headers]!r})"


class FetchSpec(Message, frozen=True, kw_only=True):
    """How to fetch: engine, time and size limits, what to send.

    `dns_timeout_s` is for the name of the host; the other times count from when it is resolved. `types` are the content
    types of the pages that are read, None for all. `ca_pem` contains certificates of authorities that are trusted in
    addition to the usual ones. `keep_truncated`: a page counts even if its body does not come whole. `allow_private`
    are networks and hosts that may be connected to although they are not public: see `shared.web.addresses`. Of several
    `sites` that an origin fits, a later one's header field replaces an earlier one's. An answer has `head_bytes` of
    status lines and header fields at most, with those of interim answers.
    """

    engine: str = AUTO
    timeout_s: Seconds = 20.0
    max_size_bytes: Size = 10 * 1024 * 1024
    user_agent: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    types: tuple[str, ...] | None = None
    connect_timeout_s: Seconds = 10.0
    first_byte_timeout_s: Seconds = 20.0
    ca_pem: str = ""
    dns_timeout_s: Seconds = 10.0
    keep_truncated: bool = False
    sites: tuple[SiteSpec, ...] = ()
    allow_private: tuple[str, ...] = ()
    head_bytes: Size = 256 * 1024


#: How a rule finds things: elements by CSS or XPath; values by JMESPath, in a JSON answer, or in a page's JSON-LD or
#: microdata; or an OpenGraph property by its name.
CSS = "css"
XPATH = "xpath"
JMESPATH = "jmespath"
JSONLD = "jsonld"
MICRODATA = "microdata"
OPENGRAPH = "opengraph"
ELEMENTS = frozenset({CSS, XPATH})
DATA = frozenset({JMESPATH, JSONLD, MICRODATA})


class FieldRule(Message, frozen=True, kw_only=True):
    """One field of an item: what is selected, what is taken of it, and whether of one match or of all.

    `selector` is read as `by` says; empty, it means the element or value at hand. `take` is `text`, `own-text`,
    `markdown`, `html`, or `attr`; then `attr` names the attribute. `pattern` is what of that is kept: a regular
    expression of RE2, its first group. `many` asks for a list; `join` puts all matches together, into one text. `type`
    is what each value becomes, one of `shared.field_types`, by the hints `format` and `languages` (of dates),
    `decimal_separator` and `currency` (if the page names none). `default` takes the place of an empty value: None,
    `""`, or a list without any. A row is rejected if a `required` field is empty.

    A nested field has `fields` (and `selector` as its `each`).
    """

    name: str
    selector: str = ""
    take: str = "text"
    attr: str = ""
    many: bool = False
    fields: tuple[FieldRule, ...] = ()
    type: str = TEXT
    by: str = CSS
    pattern: str = ""
    join: str | None = None
    format: str = ""
    languages: tuple[str, ...] = ()
    decimal_separator: str = ""
    currency: str = ""
    default: Any = None
    required: bool = False


class ItemRule(Message, frozen=True, kw_only=True):
    """One kind of item. An empty `each` makes one item of the whole page.

    `urls` are patterns of the pages that it is for (`shared.web.patterns`), all if there are none; `when` is a selector
    that must match somewhere in a page.
    """

    name: str
    each: str = ""
    fields: tuple[FieldRule, ...] = ()
    by: str = CSS
    urls: tuple[str, ...] = ()
    when: str = ""
    when_by: str = CSS


class ScopeSpec(Message, frozen=True, kw_only=True):
    """Which URLs belong to the crawl: see `shared.web.scope`. `subdomains` lets in what is below one of the `hosts`,
    `any_host` whatever host there is."""

    hosts: tuple[str, ...] = ()
    subdomains: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    any_host: bool = False


class UrlSpec(Message, frozen=True, kw_only=True):
    """Which addresses count as the same: see `shared.web.url_policy`. `drop_query` are globs of parameter names."""

    drop_query: tuple[str, ...] = ()
    sort_query: bool = False
    strip_session_ids: bool = False
    index_pages: tuple[str, ...] = ()


class LinkSpec(Message, frozen=True, kw_only=True):
    """Which links count in addition to those to other pages in scope (`assets`; with `check_external` those that lead
    out of it), and whether a page's directives are obeyed.

    With `listed` each report has all links of its page: see `shared.web.link_records`.
    """

    assets: bool = False
    obey_nofollow: bool = True
    obey_noindex: bool = True
    check_external: bool = False
    listed: bool = False


class ParseSpec(Message, frozen=True, kw_only=True):
    """How to parse: the engine that reads pages for links and rules."""

    engine: str = AUTO


class LimitSpec(Message, frozen=True, kw_only=True):
    """What a page may use: waits of a call of its hook for the fleet's objects, CPU time, time without such waits; and
    what it may give: `links`, `rows`, the bytes of one row, and those of all its rows and links.

    `bodies_bytes` is how large all bodies of pages together may be that one worker has in memory.
    """

    hook_wait_s: Seconds = 60.0
    cpu_s: Seconds = 30.0
    parse_time_s: Seconds = 600.0
    links: Count = 1_000_000
    rows: Count = 1_000_000
    row_bytes: Size = 16 * 1024 * 1024
    report_bytes: Size = 64 * 1024 * 1024
    bodies_bytes: Size = 256 * 1024 * 1024


class HookSpec(Message, frozen=True, kw_only=True):
    """A job's Python hook: the path of its file at the coordinator, its text for workers without the file, and the name
    of the function that makes rows of a page."""

    path: str
    source: str
    function: str = "parse"


class Brief(Message, frozen=True, kw_only=True):
    """Everything that a worker needs to know about a job.

    `follow` None means every link to another page. No row of the hook may have a `reserved` field.
    """

    job: str
    scope: ScopeSpec
    fetch: FetchSpec = FetchSpec()
    items: tuple[ItemRule, ...] = ()
    follow: tuple[str, ...] | None = None
    hook: HookSpec | None = None
    urls: UrlSpec = UrlSpec()
    links: LinkSpec = LinkSpec()
    parse: ParseSpec = ParseSpec()
    limits: LimitSpec = LimitSpec()
    reserved: tuple[str, ...] = ()
