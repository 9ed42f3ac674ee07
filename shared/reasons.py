"""Why a task was not fetched, was dropped or was tried again: every reason by name, with a sentence for users.

Reasons are sent and stored as plain text. Two kinds of reasons are not members: `http_NNN` (see `of_status`), and the
words that a user's own worker passes to `task_failed`.
"""

from __future__ import annotations

import re
from typing import Literal

from crawlfleet.shared.meant import Meant


class Reason(Meant):
    """A reason."""

    DESCRIPTORS = "no_descriptors", "The worker had no file descriptor left; the attempt does not count."
    DNS_FAILED = "dns_failed", "The host name has no address."
    DNS_UNAVAILABLE = "dns_unavailable", "No name server can be reached, or it failed or refused to answer."
    DNS_TIMEOUT = "dns_timeout", "Time ran out before the host name was resolved."
    CONNECT = "connect", "The server refuses connections at its address."
    NO_ROUTE = "no_route", "No route leads to the address of the server."
    TIMEOUT_CONNECT = "timeout_connect", "Time ran out before there was a connection."
    TLS = "tls", "The TLS handshake failed."
    TLS_EXPIRED = "tls_expired", "The certificate has expired, or is not valid yet."
    TLS_UNTRUSTED = "tls_untrusted", "No trusted authority has signed the certificate."
    TLS_WRONG_HOST = "tls_wrong_host", "The certificate is for another host."
    TIMEOUT_FIRST_BYTE = "timeout_first_byte", "Time ran out before the answer began."
    TIMEOUT_TOTAL = "timeout_total", "Time ran out before the answer was complete."
    RESET = "reset", "The connection was closed before the answer."
    HEAD_TRUNCATED = "head_truncated", "The connection was closed within the head of the answer."
    BODY_TRUNCATED = "body_truncated", "The connection was closed within the body of the answer."
    BAD_STATUS_LINE = "bad_status_line", "The answer does not begin as an HTTP answer does."
    BAD_HEADER = "bad_header", "The head of the answer is malformed."
    BAD_FRAMING = "bad_framing", "The answer does not tell properly where its body ends."
    BAD_ENCODING = "bad_encoding", "The body cannot be decompressed."
    HEAD_TOO_LARGE = "head_too_large", "The header of the answer is larger than `limits.head`, or has too many fields."
    BODY_TOO_LARGE = "body_too_large", "The decompressed body is larger than `fetch.max_size`."

    REDIRECT_INVALID = "redirect_invalid", "The target of the redirect is not a valid address."
    REDIRECT_WITHOUT_LOCATION = "redirect_without_location", "The redirect names no target."
    REDIRECT_SCHEME_BLOCKED = "redirect_scheme_blocked", "The target of the redirect is neither http nor https."
    REDIRECT_LOOP = "redirect_loop", "The redirect leads back to an address of its own chain."
    TOO_MANY_REDIRECTS = "too_many_redirects", "The chain of redirects is longer than 10 hops, or 5 for robots.txt."

    EXTRACT_ERROR = "extract_error", "The page could not be parsed, or its hook failed."
    HOOK_WAITED = "hook_waited", "A call of the hook waited longer than `limits.hook_wait`."
    CPU_LIMIT = "cpu_limit", "Reading the page, hook and all, took more CPU time than `limits.cpu`."
    PARSE_TIME = "parse_time", "Reading the page, hook and all, took longer than `limits.parse_time`."
    OUT_OF_MEMORY = "out_of_memory", "Three workers ran out of memory while each was at this page alone."
    HOOK_DESCRIPTORS = "hook_descriptors", "The hook found no file descriptor left."
    HOOK_DISK = "hook_disk", "The hook found a disk full."
    SITEMAP_BROKEN = "sitemap_broken", "The sitemap could not be read to its end."
    REPORT_TOO_LARGE = "report_too_large", "The rows and links of the page are larger than `limits.report_bytes`."
    INTERNAL_ERROR = "internal_error", "A bug in crawlfleet; the log has the details."
    REPORT_REFUSED = "report_refused", "A worker's report did not fit what it was asked for; the detail says how."
    POISON = "poison", "Three workers died while each was at this page alone."
    NOINDEX = "noindex", "The page was fetched; it asks not to be indexed, so it gives no rows."

    HOST = "host", "The host is outside of `scope.hosts`."
    INCLUDE = "include", "`scope.include` does not match."
    EXCLUDE = "exclude", "`scope.exclude` matches."
    LENGTH = "length", "The address is longer than 8,192 characters."
    DEPTH = "depth", "The page is deeper than `scope.depth`."
    NOT_HTTP = "not_http", "The address is not a valid http or https address."
    CONTENT_TYPE = "content_type", "`fetch.types` does not list the content type of the page."
    ROBOTS = "robots", "The robots.txt of the site forbids it."
    ROBOTS_UNREACHABLE = "robots_unreachable", "Its robots.txt was not available in time: see `politeness.robots_wait`."

    PRIVATE_ADDRESS = (
        "private_address",
        "Its address is not public; no seed opens it, nor `fetch.allow_private`.",
    )
    BAD_PORT = "bad_port", "Browsers block its port, since it is that of another protocol, and no seed has it."

    CANCELLED = "cancelled", "Whoever asked for the page took that back, and nothing else led to it."

    BUDGET_PAGES = "budget_pages", "The pages of `scope.pages` are spent."
    BUDGET_BYTES = "budget_bytes", "The bytes of `scope.bytes` are spent."
    BUDGET_TIME = "budget_time", "The time of `scope.time` is over."
    BUDGET_HOST_PAGES = "budget_host_pages", "The host's pages of `scope.per_host` are spent."
    BUDGET_HOST_BYTES = "budget_host_bytes", "The host's bytes of `scope.per_host` are spent."
    BUDGET_HOST_TIME = "budget_host_time", "The host's time of `scope.per_host` is over."

    TRAP_LENGTH = "trap_length", "The address is longer than `traps.url_length`."
    TRAP_REPETITION = "trap_repetition", "The path repeats itself more often than `traps.repetition`."
    TRAP_QUERY = "trap_query", "Its path has more queries than `traps.query_variants`."
    TRAP_CALENDAR = "trap_calendar", "More addresses than `traps.calendar` differ only in their dates."
    TRAP_SESSION = "trap_session", "More addresses of the host than `traps.sessions` have a session id."
    TRAP_SUBDOMAIN = "trap_subdomain", "The domain has more origins than `traps.subdomains`."

    FAILED = "failed", "A worker of your own called `task_failed` without a reason."
    ABANDONED = "abandoned", "A worker of your own ended, or raised an error, while it held the page."
    ODD_REASON = "odd_reason", "A worker of your own gave a reason that is no word; the detail has it."
    OTHER = "other", "Any reason of a worker of your own beyond the first hundred different ones; the detail has it."


# The answer of a rule that may refuse: the reason, or the empty string if it does not.
Refusal = Reason | Literal[""]

BUDGETS = frozenset(reason for reason in Reason if reason.startswith("budget_"))
HOST_BUDGETS = frozenset(reason for reason in BUDGETS if reason.startswith("budget_host_"))
# A limit ended the page, and with it the worker that read it.
LIMITS = frozenset({Reason.CPU_LIMIT, Reason.PARSE_TIME})
# A page failed because a machine lacked something: another run may have it.
SHORTAGES = frozenset({Reason.OUT_OF_MEMORY, Reason.HOOK_DESCRIPTORS, Reason.HOOK_DISK})
# The answer is that nothing serves the web there: who waits gets no other.
UNSERVED = frozenset({Reason.DNS_FAILED, Reason.CONNECT, Reason.BAD_STATUS_LINE})
UNSERVED |= {Reason.TLS, Reason.TLS_EXPIRED, Reason.TLS_UNTRUSTED, Reason.TLS_WRONG_HOST}
# Nobody has answered: if nobody else answers either, our own network is to blame.
SILENT = frozenset({Reason.DNS_UNAVAILABLE, Reason.DNS_TIMEOUT, Reason.NO_ROUTE, Reason.TIMEOUT_CONNECT})
# Where the crawl must not go.
KEPT_OUT = frozenset({Reason.PRIVATE_ADDRESS, Reason.BAD_PORT})
TRAPS = frozenset(reason for reason in Reason if reason.startswith("trap_"))


def of_status(status: int) -> str:
    """Return the reason of an answer whose status means no page."""
    return f"http_{status}"


def bare(why: str) -> str:
    """Return the reason in a text such as `after a redirect: connect`."""
    return why.rpartition(": ")[2]


def meaning_of(reason: str) -> str:
    """Return the sentence of a reason, whoever gave it."""
    known = _BY_NAME.get(reason)
    if known is not None:
        return known.meaning
    match = _OF_STATUS.fullmatch(reason)
    if match is None:
        return "A worker of your own gave this reason."
    from http.client import responses  # few processes tell failures

    phrase = responses.get(int(match[1]))
    return f"The server answered with status {match[1]}{f' ({phrase})' if phrase else ''}."


_BY_NAME = {reason.value: reason for reason in Reason}
_OF_STATUS = re.compile(r"http_([0-9]{1,3})")
