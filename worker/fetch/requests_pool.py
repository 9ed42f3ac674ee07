"""The requests engine: one `requests.Session` for each fetch thread, over connections with a watch.

`fetch` calls the session's adapter directly: `Session.send` would add cookies, redirects, hooks and a changed URL, and
takes three times the CPU. Requests through `.session` use the same adapter and limits.
It must not follow redirects, keep cookies, read the environment or decide anything about retries of a task.
"""

from __future__ import annotations

import io
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any, ClassVar, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse
from urllib3 import exceptions as foreign

from crawlfleet.shared import descriptors
from crawlfleet.shared.brief import FetchSpec
from crawlfleet.shared.notes import Note
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.addresses import Nets
from crawlfleet.shared.web.urls import origin as origin_of
from crawlfleet.worker.fetch.blocks import Blocks
from crawlfleet.worker.fetch.coding import OFFERED, pieces_of
from crawlfleet.worker.fetch.connection import Limits, Watch, open_connection
from crawlfleet.worker.fetch.guard import Guard
from crawlfleet.worker.fetch.head import BODILESS, BrokenAnswer, ends_with_connection
from crawlfleet.worker.fetch.names import of_process
from crawlfleet.worker.fetch.port import SPARE_BYTES, WHOLE, Fetched, Headers, Prepare, Wanted
from crawlfleet.worker.fetch.request_fields import RequestFields
from crawlfleet.worker.fetch.requests_failures import CONNECT_REASONS, EXCHANGE_REASONS, Failed, failure_of

IDLE_CONNECTIONS = 32
# So many threads, or all if they are more, share the descriptors that idle connections may take.
THREADS = 16
READ_BYTES = 64 * 1024


class _Request(NamedTuple):
    method: str
    url: str
    headers: Mapping[str, str]
    body: Any = None


class _Answer(NamedTuple):
    status: int
    reason: str
    headers: Headers
    body: bytes
    remote_address: str = ""
    truncated: bool = False
    notes: tuple[str, ...] = ()
    is_spoiled: bool = False


class WatchedAdapter(HTTPAdapter):
    """A transport of requests: it keeps the URL byte for byte, and limits time and size of the whole exchange.

    It keeps one idle connection for each of the most recent origins.
    """

    _open_ones: ClassVar[set[int]] = set()

    def __init__(self, spec: FetchSpec) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._limits = Limits(spec.connect_timeout_s, spec.first_byte_timeout_s, spec.timeout_s, spec.head_bytes)
        self._max_size_bytes = spec.max_size_bytes
        self._keeps_truncated = spec.keep_truncated
        self._ca_pem = spec.ca_pem
        self.guard = Guard(of_process(spec.dns_timeout_s), Nets(spec.allow_private))
        self._idle: OrderedDict[str, Any] = OrderedDict()
        self._all_idle = descriptors.idle_connections_within(IDLE_CONNECTIONS * THREADS)
        self._open_ones.add(id(self))

    def exchange(self, request: _Request, wanted: Wanted = WHOLE) -> _Answer:
        """Send one request and read what is wanted of its answer; raise `Failed`.

        After a HEAD the connection is closed: a server may send a body that nobody has asked for.
        """
        origin = origin_of(request.url)
        watch = Watch(self._limits)
        connection = self._idle.pop(origin, None)
        if connection is not None and connection.is_connected:
            connection.watch.start(connected=True)
            try:
                return self._converse(origin, connection, request, wanted)
            except Failed as failed:
                # The server closed the idle connection while the request was in transit: retry on a new one.
                is_reset = failed.reason is Reason.RESET and not connection.watch.heard
                if not is_reset or request.method not in ("GET", "HEAD"):
                    raise
        elif connection is not None:
            connection.close()
        return self._converse(origin, self._dial(origin, watch), request, wanted)

    def _dial(self, origin: str, watch: Watch) -> Any:
        connection = open_connection(origin, watch, partial(self.guard.addresses, origin), self._ca_pem)
        try:
            connection.connect()
            connection.watch.connected = True
        except Exception as error:
            connection.close()
            failed = failure_of(error, CONNECT_REASONS)
            failed.remote_address = connection.remote_address
            if failed.reason in (Reason.CONNECT, Reason.NO_ROUTE) and failed.remote_address:
                failed.reason = Reason.TLS  # it was connected, and cut during the handshake
            raise failed from error
        return connection

    def _converse(self, origin: str, connection: Any, request: _Request, wanted: Wanted) -> _Answer:
        """Run one exchange on a connection; keep the connection if it can serve another, else close it."""
        blocks = Blocks(wanted.body, connection.sock)
        try:
            raw = self._ask(connection, request)
            try:
                answer = self._receive(raw, wanted, blocks, is_bodiless=request.method == "HEAD")
            finally:
                ended = raw.isclosed()
                raw.close()
        except BaseException as error:
            connection.close()
            if isinstance(error, Failed):
                error.remote_address = connection.remote_address
            raise
        if ended and not answer.is_spoiled and request.method != "HEAD" and not connection.is_closed:
            self._idle[origin] = connection
            while len(self._idle) > max(1, self._all_idle // max(THREADS, len(self._open_ones))):
                _, oldest = self._idle.popitem(last=False)
                oldest.close()
        else:
            connection.close()
        if connection.watch.cut and ends_with_connection(answer.headers):
            answer = answer._replace(notes=(Note.TLS_CUT,))
        return answer._replace(remote_address=connection.remote_address)

    def _ask(self, connection: Any, request: _Request) -> HTTPResponse:
        url = request.url
        slash = url.index("/", 8)
        try:
            connection.timeout = connection.watch.left_s()
            connection.request(
                request.method,
                url[slash:],
                body=request.body,
                headers={"Host": url[url.index("//") + 2 : slash], **request.headers},
                preload_content=False,
            )
            raw: HTTPResponse = connection.getresponse()
        except (OSError, BrokenAnswer) as error:
            failed = failure_of(error, EXCHANGE_REASONS)
            if failed.reason is Reason.TIMEOUT_TOTAL and not connection.watch.answered:
                failed.reason = Reason.TIMEOUT_FIRST_BYTE
            raise failed from error
        return raw

    def _receive(self, raw: HTTPResponse, wanted: Wanted, blocks: Blocks, *, is_bodiless: bool) -> _Answer:
        headers = _fields_of(raw)
        is_wanted = wanted.wants(raw.status, headers)
        body, truncated, is_spoiled = b"", False, False
        notes: tuple[str, ...] = ()
        try:
            if is_bodiless or raw.status in BODILESS:
                pass
            elif is_wanted and wanted.keep_bytes is not None:
                body, truncated, notes = _read_body(raw, headers, wanted.keep_bytes, blocks, is_enough=True)
            else:
                limit = self._max_size_bytes if is_wanted else SPARE_BYTES
                keeps_short = is_wanted and self._keeps_truncated
                body, _, notes = _read_body(raw, headers, limit, blocks, keeps_short=keeps_short)
        except Failed as failed:
            # Of a redirect, an error or a body that is not wanted only the head matters: its body may fail.
            if is_wanted:
                failed.status, failed.headers = raw.status, headers
                raise
            is_spoiled = True
        answer = _Answer(raw.status, raw.reason or "", headers, body, truncated=truncated, notes=notes)
        return answer._replace(is_spoiled=is_spoiled)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002 - the size limit holds, so that the body is always read at once
        timeout: Any = None,  # noqa: ARG002 - the deadline of the job's spec holds
        verify: Any = True,  # noqa: ARG002 - certificates are always verified
        cert: Any = None,  # noqa: ARG002 - there are no client certificates
        proxies: Any = None,  # noqa: ARG002 - and no proxies
    ) -> requests.Response:
        """Serve requests through the session; raise `requests.ConnectionError` on any failure."""
        asked = _Request(request.method or "GET", request.url or "", dict(request.headers), request.body)
        try:
            answer = self.exchange(asked)
        except Failed as failed:
            raise requests.ConnectionError(f"{failed.reason}: {failed.detail}", request=request) from failed
        # The body is complete and decoded, so these fields no longer apply.
        past = {"content-encoding", "content-length" if "transfer-encoding" in answer.headers else ""}
        pairs = [(name, value) for name, value in answer.headers.pairs if name.lower() not in past]
        raw = HTTPResponse(
            io.BytesIO(answer.body),
            HTTPHeaderDict(pairs),
            answer.status,
            reason=answer.reason,
            preload_content=False,
            enforce_content_length=False,
        )
        return self.build_response(request, raw)

    def close(self) -> None:
        """Close every idle connection."""
        self._open_ones.discard(id(self))
        self.close_idle()
        super().close()

    def close_idle(self) -> None:
        """Close every idle connection; the next requests open new ones."""
        while self._idle:
            self._idle.popitem()[1].close()


class RequestsFetcher:
    """The engine, with the port of `worker.fetch`; `prepare` gets the session, to set its headers and auth."""

    def __init__(self, spec: FetchSpec, prepare: Prepare | None = None) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._adapter = WatchedAdapter(spec)
        for adapter in self.session.adapters.values():
            adapter.close()
        self.session.mount("http://", self._adapter)
        self.session.mount("https://", self._adapter)
        self._fields = RequestFields(spec, lambda fields: {**fields, "Accept-Encoding": OFFERED})
        self._prepared = prepare is not None
        if prepare is not None:
            self.session.headers.clear()
            prepare(self.session)

    def fetch(self, url: str, wanted: Wanted = WHOLE) -> Fetched:
        """Ask for a canonical URL; see the port."""
        return self._adapter.guard.lead(url, wanted, self._fetch)

    def _fetch(self, url: str, wanted: Wanted) -> Fetched:
        started = time.monotonic()
        try:
            method = "HEAD" if wanted.by_head else "GET"
            headers = self._headers_for(method, url, bare=wanted.bare)
            answer = self._adapter.exchange(_Request(method, url, headers), wanted)
        except Failed as error:
            failed = error
            if failed.reason is Reason.DESCRIPTORS:
                self._adapter.close_idle()
        except Exception as error:  # noqa: BLE001 - a fetch thread must outlive any page; the report has the type
            failed = Failed(Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}")
        else:
            return Fetched(
                url=url,
                status=answer.status,
                headers=answer.headers,
                body=answer.body,
                truncated=answer.truncated,
                notes=answer.notes,
                elapsed_s=time.monotonic() - started,
                remote_address=answer.remote_address,
            )
        return Fetched(
            url=url,
            status=failed.status,
            headers=failed.headers,
            failure=failed.outcome,
            reason=failed.reason,
            detail=failed.detail,
            elapsed_s=time.monotonic() - started,
            remote_address=failed.remote_address,
        )

    def _headers_for(self, method: str, url: str, *, bare: bool) -> Mapping[str, str]:
        fields = self._fields.of(url, bare=bare)
        if bare or not self._prepared:
            return fields
        asked = self.session.prepare_request(requests.Request(method, url)).headers
        given = {name.lower() for name in asked}
        return {**{name: value for name, value in fields.items() if name.lower() not in given}, **asked}

    def close(self) -> None:
        """Close the session and its connections."""
        self.session.close()


def _fields_of(raw: HTTPResponse) -> Headers:
    """Return the header fields as they arrived: urllib3 puts those of one name together."""
    fields: Headers = raw._original_response.fields  # type: ignore[union-attr]  # it is ours
    return fields


def _read_body(
    raw: HTTPResponse, headers: Headers, limit: int, body: Blocks, *, is_enough: bool = False, keeps_short: bool = False
) -> tuple[bytes, bool, tuple[str, ...]]:
    """Read and decode at most `limit` bytes of a body; return them, whether there is more, and notes.

    A longer body is a failure, unless so much of it `is_enough`, and one that is not whole unless `keeps_short`.
    """
    notes: tuple[str, ...] = ()
    try:
        for piece in pieces_of(_blocks(raw), headers, raw.length_remaining or 0, None if is_enough else limit):
            if not body.add(piece):
                raise Failed(Reason.BODY_TRUNCATED, "the body was broken off here")
            if body.size > limit:
                break
    except (foreign.HTTPError, OSError, BrokenAnswer) as error:
        failed = failure_of(error, EXCHANGE_REASONS)
        if failed.reason is not Reason.BODY_TRUNCATED or not keeps_short:
            raise failed from error
        notes = (Note.BODY_SHORT,)
    if body.size > limit and not is_enough:
        raise Failed(Reason.BODY_TOO_LARGE, f"the body passes the limit of {limit} bytes")
    return body.whole()[:limit], body.size > limit, notes


def _blocks(raw: HTTPResponse) -> Iterator[bytes]:
    # What has come, at once: some bytes may unpack to more than a limit, and others may never come.
    while block := raw.read1(READ_BYTES, decode_content=False):
        yield block
