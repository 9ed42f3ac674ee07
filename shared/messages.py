"""The messages between coordinator and worker, as frozen values.

Every message is msgpack, decoded with its type: an unknown field, a wrong type, a number out of its range or a name
that is too long (`shared.ranges`) is refused (`decode` raises `WireError`). Optional fields have defaults, so that a
minor version may add fields. Times are seconds and always relative (`_s`: a duration, `age_s`: how long ago), because
the clocks of two machines differ.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

import msgspec

from crawlfleet.shared.brief import Brief, ScopeSpec
from crawlfleet.shared.errors import WireError
from crawlfleet.shared.message import Message
from crawlfleet.shared.ranges import (
    Addresses,
    Count,
    Depth,
    Moment,
    Number,
    OtherSession,
    Priority,
    Seconds,
    SessionId,
    Share,
    Size,
    Status,
    Version,
    WorkerName,
)

PROTOCOL_MAJOR = 1
PROTOCOL_MINOR = 0
#: The size of the largest report, and how many links one may have.
MAX_REPORT_BYTES = 4 * 1024 * 1024
MAX_OUTLINKS = 10_000
#: How many fields of a page are told of which values could not be converted, and how much of a value is shown.
MOST_UNCONVERTED = 100
MAX_SAMPLE_CHARS = 200

VALUE_ITEM = "value"
# The name and the fields of a page's row in a job that has neither rules nor a hook.
PAGE_ITEM = "page"
PAGE_FIELDS = (
    "status",
    "content_type",
    "title",
    "size",
    "canonical",
    "description",
    "h1",
    "language",
    "depth",
)


class TaskKey(NamedTuple):
    """A task under a lease: the lease's id and the task's fingerprint. It is sent as an array of the two."""

    lease_id: Number
    ref: bytes


class Kind(StrEnum):
    """What a task is for. A check only asks whether a link out of scope leads somewhere."""

    PAGE = "page"
    ROBOTS = "robots"
    SITEMAP = "sitemap"
    CHECK = "check"


class Outcome(StrEnum):
    """How one attempt ended."""

    FETCHED = "fetched"
    NOT_MODIFIED = "not_modified"
    REDIRECTED = "redirected"
    HTTP_ERROR = "http_error"
    NETWORK_ERROR = "network_error"
    TOO_LARGE = "too_large"
    DENIED = "denied"
    EXTRACT_ERROR = "extract_error"
    HOOK_WAITED = "hook_waited"
    REPORT_TOO_LARGE = "report_too_large"
    INTERNAL_ERROR = "internal_error"


class AckState(StrEnum):
    """The coordinator's answer to a report."""

    OK = "ok"
    MORE = "more"
    STALE = "stale"
    REJECTED = "rejected"


class Task(Message, frozen=True, kw_only=True):
    """One URL to fetch. `ref` is the task's fingerprint; `start_after_s` counts from the receipt of the lease.

    Unless it `leads_on`, its outlinks are kept, not admitted: they are sent packed (`Report.kept`). A check asks by
    HEAD, or `by_get`. A `bare` request has no header fields of the job: its host is none of the crawl's. It may connect
    to the addresses `inside`, though they are private. With `first` the coordinator does not know the first answer for
    the host's name: if all addresses are private, it may connect to them.
    """

    ref: bytes
    kind: Kind
    url: str
    depth: Depth
    attempt: Count = 0
    start_after_s: Seconds = 0.0
    leads_on: bool = True
    by_get: bool = False
    bare: bool = False
    inside: tuple[str, ...] = ()
    first: bool = False


class Lease(Message, frozen=True, kw_only=True):
    """The right to fetch these tasks of one host until the lease time is over, unless it is renewed.

    `spacing_s` is the least time between two starts on the host, `slots` how many may run at once in this session
    (over all its leases on that host). `page_cost_s` is what its pages have cost so far, on average (see
    `shared.page_cost`); 0 if that is not known.
    """

    id: Number
    host: str
    tasks: tuple[Task, ...]
    spacing_s: Seconds = 0.0
    slots: Share = 1
    page_cost_s: Seconds = 0.0


class Row(Message, frozen=True, kw_only=True, omit_defaults=True):
    """One extracted item: the rule's name, its place among that rule's items on the page, and the fields.

    The item `VALUE_ITEM` is not extracted by a rule: its one field of that name is what a user's own worker recorded.
    A row that is `rejected`, for this reason, is no row of its page's result: it is set aside.
    """

    item: str
    index: Count
    fields: dict[str, Any]
    rejected: str = ""


class Unconverted(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Values of a field that could not be converted to its type: how many, and the beginning of one of them.

    The name of a nested field is its path, such as `reviews.stars`.
    """

    item: str
    field: str
    number: Count
    sample: str = ""


class SitemapEntry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A page that a sitemap lists: its canonical URL, its priority (0: default, higher comes earlier), and when it was
    last modified, in seconds since 1970 (0: unknown)."""

    url: str
    priority: Priority = 0
    lastmod: Moment = 0


class Report(Message, frozen=True, kw_only=True):
    """How one task ended.

    `age_s` is how long before this report is sent the attempt started; None if it never started. `reason` names the
    error (`timeout_total`, `http_404`, ...; empty if none; `noindex` for a fetched page that asks for no rows),
    `detail` describes it. `outlinks` are canonical and in scope. `known` are the concatenated fingerprints of further
    outlinks, which an earlier, acked report of this session contained at the same or a smaller depth. `location` is
    the canonical target of a redirect. `body` is only set for robots.txt, and so is `fresh_s`, how long its
    Cache-Control allows to keep it (None: not specified). `address` is the address that was connected to. `gap_s` is
    the time between the start of the previous attempt on this host in this session and the start of this one, by the
    worker's own clock; None if there was no recent attempt, or the host has no delay.

    `entries` are the pages in scope that a sitemap lists, `sitemaps` the sitemaps of an index. A large sitemap is
    reported in several reports under one lease, each sent after the previous one was acked; all except the last set
    `more`.

    A page's report that is larger than a message comes in parts, too (`shared.parts`): each has a piece of its rows and
    outlinks in `part`, and its `place`, from 0; the last one has everything else.

    `kept` has the outlinks of a page that does not lead on, in the place of `outlinks`: see `shared.web.links`. `links`
    has all links of the page, if the job asks for them: see `shared.web.link_records`.
    `links_left_out` and `rows_left_out` count what was left out because of a limit, as far as it was looked at.
    `cpu_s` is the CPU time that reading the page took, hook and all; `lookup_s` is how long its host's name took to
    resolve (0: it was known). `unconverted` tells of values of a page's fields that could not be converted.
    `notes` say what was unusual (`shared.notes`). `first_addresses` are the addresses of the host of a `first` task
    if all of them are private, else none; None if they are not known.
    """

    lease: Number
    ref: bytes
    outcome: Outcome
    status: Status = 0
    reason: str = ""
    detail: str = ""
    age_s: Seconds | None = None
    elapsed_s: Seconds = 0.0
    size_bytes: Size = 0
    content_type: str = ""
    location: str = ""
    retry_after_s: Seconds | None = None
    rows: tuple[Row, ...] = ()
    outlinks: tuple[str, ...] = ()
    known: bytes = b""
    links_left_out: Count = 0
    rows_left_out: Count = 0
    body: bytes = b""
    address: str = ""
    gap_s: Seconds | None = None
    entries: tuple[SitemapEntry, ...] = ()
    sitemaps: tuple[str, ...] = ()
    more: bool = False
    fresh_s: Seconds | None = None
    kept: bytes = b""
    cpu_s: Seconds = 0.0
    lookup_s: Seconds = 0.0
    part: bytes = b""
    place: Count = 0
    unconverted: tuple[Unconverted, ...] = ()
    links: bytes = b""
    notes: tuple[str, ...] = ()
    first_addresses: tuple[str, ...] | None = None

    @property
    def key(self) -> TaskKey:
        """The task that this reports on."""
        return TaskKey(self.lease, self.ref)


class Ack(Message, frozen=True, kw_only=True):
    """The answer to one report. With STALE or REJECTED, the report changed nothing.

    MORE answers a report that comes in parts, and is not whole: `parts` of them are here, and the next one is wanted.
    """

    lease: Number
    ref: bytes
    state: AckState
    detail: str = ""
    parts: Count = 0

    @property
    def key(self) -> TaskKey:
        """The task whose report this answers."""
        return TaskKey(self.lease, self.ref)


class Hello(Message, frozen=True, kw_only=True):
    """A session opens. `session` is chosen by the worker and stays the same across reconnects. `replaces` names the
    session of a worker process that is known to be dead, so that its tasks return at once; `began` names those that had
    begun without a report of that; `ended` are reports on those that ended it, at a limit or out of memory: then others
    are blameless. `death` says how it ended. `fetches` False: a program, with no share of slots until it asks."""

    session: SessionId
    protocol_major: Version = PROTOCOL_MAJOR
    protocol_minor: Version = PROTOCOL_MINOR
    worker: WorkerName = ""
    replaces: OtherSession = ""
    began: tuple[TaskKey, ...] = ()
    fetches: bool = True
    ended: tuple[Report, ...] = ()
    death: str = ""


class Welcome(Message, frozen=True, kw_only=True):
    """The answer to `Hello`. `epoch` identifies this run of the coordinator.

    `addresses` are those at which coordinators of the crawl answer, if there are several.
    """

    epoch: Number
    lease_s: Seconds
    brief: Brief
    addresses: Addresses = ()
    protocol_major: Version = PROTOCOL_MAJOR
    protocol_minor: Version = PROTOCOL_MINOR


class ExchangeRequest(Message, frozen=True, kw_only=True):
    """The session's half of an exchange; it also renews every lease in `holding`.

    `started` names the tasks whose fetch began since the last exchange; `released` names the leases that are
    returned: their unsettled tasks were not started, or were broken off. Of these, `alone` names those that found no
    room beside others: they are to be granted alone. `want` is the number of further tasks that the session asks for.
    """

    session: SessionId
    reports: tuple[Report, ...] = ()
    holding: tuple[Number, ...] = ()
    started: tuple[TaskKey, ...] = ()
    released: tuple[Number, ...] = ()
    want: Share = 0
    alone: tuple[TaskKey, ...] = ()


class ExchangeAnswer(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Acks in the order of the reports; new leases; when to ask again at the latest.

    `lost` names leases in `holding` that no longer belong to this session: tasks that have not started under them must
    not start. `recalled` names leases whose tasks that have not started are to be returned, because their host needs a
    longer pause. `scope` is sent again after it has grown. After `finished` there will be no more leases. `known` False
    means that the coordinator does not have this session: say hello again. `addresses` are those of `Welcome`, after
    they have changed.
    """

    acks: tuple[Ack, ...] = ()
    leases: tuple[Lease, ...] = ()
    lost: tuple[Number, ...] = ()
    idle_s: Seconds = 1.0
    finished: bool = False
    scope: ScopeSpec | None = None
    known: bool = True
    recalled: tuple[Number, ...] = ()
    addresses: Addresses | None = None


class ResultPage(Message, frozen=True, kw_only=True):
    """A run of results in the order of their commit; `cursor` continues it."""

    results: tuple[tuple[str, Any], ...]
    cursor: Number


M = TypeVar("M", bound=Message)

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[type[Message], msgspec.msgpack.Decoder[Any]] = {}


def encode(message: Message) -> bytes:
    """Encode a message; raise a `TypeError` that names the type of a value that cannot be sent."""
    return _encoder.encode(message)


def decode(data: bytes, kind: type[M]) -> M:
    """Decode a message of a given type; raise `WireError` if it is anything else."""
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind)
    try:
        message: M = decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise WireError(f"not a {kind.__name__}: {error!s:.500}") from error
    return message
