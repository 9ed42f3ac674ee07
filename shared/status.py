"""The progress of a crawl: the numbers for users, during the crawl and at its end."""

from __future__ import annotations

from crawlfleet.shared.message import Message
from crawlfleet.shared.ranges import Amount, Number, Part, Seconds


class CostlyHost(Message, frozen=True, kw_only=True):
    """A host that took an outstanding part of the crawl: of `pages`, `size_bytes`, `links`, `cpu_s` (CPU time to read
    pages), or `lookup_s` (time to look names up), how much, and which part of all."""

    host: str
    kind: str
    amount: Amount
    part: Part


class Cause(Message, frozen=True, kw_only=True):
    """One reason why pages `failed`, were `dropped`, were `done` without rows, why attempts were `retried`, why a
    `sitemap` failed or was dropped, or why external links are `broken` or went `unchecked`.

    `ended` is one of these words, `number` is how many there were, `meaning` the sentence of the reason. `url` is the
    last of them, and `detail` what was said about it; both are cut, and are empty if nothing is known.
    """

    ended: str
    reason: str
    number: Number
    meaning: str
    url: str = ""
    detail: str = ""


class ItemCount(Message, frozen=True, kw_only=True):
    """How many rows an item has, on how many pages, and of fields that were empty: in how many of its rows.

    `unconverted` is how many values of each field could not be converted to its type, `samples` has one of them.
    `rejected` is how many more rows lacked a required field, and `rejected_for` is what was said of the last.
    """

    name: str
    rows: Number = 0
    pages: Number = 0
    empty: dict[str, Number] = {}
    unconverted: dict[str, Number] = {}
    samples: dict[str, str] = {}
    rejected: Number = 0
    rejected_for: str = ""


class Numbers(Message, frozen=True, kw_only=True):
    """Counts of pages by state, of attempts, rows and losses.

    `discovered` is the sum of all states, `unfinished` that of PENDING and LEASED. `reasons` says why pages failed,
    were dropped or gave no rows, `retried` why attempts were repeated. `robots_waiting` is how many hosts have pages
    that wait for an unavailable robots.txt, for `robots_wait_s` at most; `robots_given_up` is the number of hosts
    without a fetched page because it could not be had. `robots_waiting_for` and `robots_given_up_on` name some of them.
    `full_hosts` is how many hosts have as many known URLs as `limits.known_per_host` allows, `full_hosts_named` are
    some of them, and `links_not_admitted` is how many links to further URLs of theirs were found.
    `causes` are these reasons with all that is known of them, the most frequent first.
    `sitemaps_short` is of how many sitemaps not all was used; `sitemaps_short_named` names some, and says why.
    `capped_pages` is of how many pages something was left out because of a limit: `links_left_out`, `rows_left_out`.
    `noted` is how many fetched pages have each note: what was unusual about them.
    `costly_hosts` are hosts that took an outstanding part of the crawl, if any did.
    `external_checked` is how many external links were asked for (links that redirect to each other count as several),
    `external_broken` of them lead nowhere; `external_unchecked` could not or may not be asked for, `external_waiting`
    wait. They are none of the pages above.
    `items` counts the rows of each rule, and of each item of a hook (nothing in crawls that an earlier version began).
    `rows_rejected` counts the rows that were set aside: sinks could not write them, or they lacked a required field.
    """

    job: str
    elapsed_s: Seconds = 0.0
    discovered: Number = 0
    pending: Number = 0
    leased: Number = 0
    unfinished: Number = 0
    done: Number = 0
    failed: Number = 0
    dropped: Number = 0
    fetched: Number = 0
    redirected: Number = 0
    rows: Number = 0
    items: tuple[ItemCount, ...] = ()
    rows_rejected: Number = 0
    full_hosts: Number = 0
    full_hosts_named: tuple[str, ...] = ()
    links_not_admitted: Number = 0
    sitemaps_short: Number = 0
    sitemaps_short_named: tuple[str, ...] = ()
    capped_pages: Number = 0
    links_left_out: Number = 0
    rows_left_out: Number = 0
    noted: dict[str, Number] = {}
    costly_hosts: tuple[CostlyHost, ...] = ()
    external_checked: Number = 0
    external_broken: Number = 0
    external_unchecked: Number = 0
    external_waiting: Number = 0
    retries: Number = 0
    retried: dict[str, Number] = {}
    leases_lost: Number = 0
    reasons: dict[str, Number] = {}
    causes: tuple[Cause, ...] = ()
    robots_wait_s: Seconds = 0.0
    robots_waiting: Number = 0
    robots_waiting_for: tuple[str, ...] = ()
    robots_given_up: Number = 0
    robots_given_up_on: tuple[str, ...] = ()


class Status(Numbers, frozen=True, kw_only=True):
    """The state of a crawl that is being served: its numbers, its sessions, and whether it is finished.

    `workers` are the sessions that ask for tasks. `awaits_programs` says that it is kept open for programs: by
    `--wait`, or because they hold pools open. Once only hosts are left that wait for a robots.txt, they are given up in
    `robots_last_s`; `unanswered` says that nothing has answered so far, neither name server nor host. `seeds_added` of
    its `seeds` are known so far; their number may be `seeds_estimated`. Pages that lead to others wait for all of them.
    `strangers_refused` is how many connections this run of the coordinator has refused that did not know the secret.
    `address` is that of this coordinator, `HOST:PORT`; `addresses` are those at which coordinators of the crawl answer,
    if there are several. `standing_by` are the addresses of coordinators that wait for their turn to own the crawl.
    """

    sessions: Number = 0
    workers: Number = 0
    finished: bool = False
    awaits_programs: bool = False
    robots_last_s: Seconds | None = None
    unanswered: bool = False
    seeds: Number = 0
    seeds_added: Number = 0
    seeds_estimated: bool = False
    strangers_refused: Number = 0
    address: str = ""
    addresses: tuple[str, ...] = ()
    standing_by: tuple[str, ...] = ()
