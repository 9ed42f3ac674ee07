"""The requests engine: one `requests.Session` for each fetch thread, over connections with a watch.

`fetch` calls the session's adapter directly: `Session.send` would add cookies, redirects, hooks and a changed URL, and
takes three times the CPU. Requests through `.session` use the same adapter and limits.
It must not follow redirects, keep cookies, read the environment or decide anything about retries of a task.
"""

from __future__ import annotations

import http.client
import io
import ssl
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, ClassVar, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse
from urllib3 import exceptions as foreign
from urllib3.util import make_headers

from crawlfleet.shared import descriptors
from crawlfleet.shared.brief import FetchSpec
from crawlfleet.shared.messages import Outcome
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.urls import origin as origin_of
from crawlfleet.worker.fetch.connection import Limits, Unresolved, Watch, open_connection
from crawlfleet.worker.fetch.head import BrokenAnswer, codings
from crawlfleet.worker.fetch.names import of_process
from crawlfleet.worker.fetch.port import (
    SPARE_BYTES,
    WHOLE,
    Fetched,
    Headers,
    Prepare,
    Wanted,
    host_of,
    refusal_of,
    request_headers,
    unresolved,
)

IDLE_CONNECTIONS = 32
# So many threads, or all if they are more, share the descriptors that idle connections may take.
THREADS = 16
READ_BYTES = 64 * 1024

_ACCEPT_ENCODING = make_headers(accept_encoding=True)["accept-encoding"]
_DECODABLE = frozenset(_ACCEPT_ENCODING.split(",")) | {"x-gzip", "identity", "none"}

# Maps the exceptions of libraries, by phase, to the reasons of reports; the first match counts.
_CONNECT_REASONS: tuple[tuple[type[BaseException], Reason], ...] = (
    (TimeoutError, Reason.TIMEOUT_CONNECT),
    (ssl.SSLCertVerificationError, Reason.TLS_UNTRUSTED),
    (ssl.SSLError, Reason.TLS),
    (foreign.SSLError, Reason.TLS),
    (OSError, Reason.CONNECT),
)
_EXCHANGE_REASONS: tuple[tuple[type[BaseException], Reason], ...] = (
    (TimeoutError, Reason.TIMEOUT_TOTAL),
    (foreign.ReadTimeoutError, Reason.TIMEOUT_TOTAL),
    (foreign.DecodeError, Reason.BAD_ENCODING),
    (http.client.IncompleteRead, Reason.BODY_TRUNCATED),
    (http.client.HTTPException, Reason.BAD_FRAMING),
    (ssl.SSLError, Reason.TLS),
    (foreign.SSLError, Reason.TLS),
    (OSError, Reason.RESET),
)
# Results of OpenSSL's X509_verify_cert; any other one means that no trusted authority has signed.
_TLS_REASONS = {9: Reason.TLS_EXPIRED, 10: Reason.TLS_EXPIRED, 62: Reason.TLS_WRONG_HOST, 64: Reason.TLS_WRONG_HOST}


class _Failed(Exception):
    """How an exchange failed. `status` and `headers` are those of the head, if one had arrived."""

    status = 0
    headers = Headers()
    remote_address = ""

    def __init__(self, reason: str, detail: str, outcome: Outcome = Outcome.NETWORK_ERROR) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.outcome = reason, detail, outcome


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


class WatchedAdapter(HTTPAdapter):
    """A transport of requests: it keeps the URL byte for byte, and limits time and size of the whole exchange.

    It keeps one idle connection for each of the most recent origins.
    """

    _open_ones: ClassVar[set[int]] = set()

    def __init__(self, spec: FetchSpec) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._limits = Limits(spec.connect_timeout_s, spec.first_byte_timeout_s, spec.timeout_s)
        self._max_size_bytes = spec.max_size_bytes
        self._ca_pem = spec.ca_pem
        self._names = of_process(spec.dns_timeout_s)
        self._idle: OrderedDict[str, Any] = OrderedDict()
        self._all_idle = descriptors.idle_connections_within(IDLE_CONNECTIONS * THREADS)
        self._open_ones.add(id(self))

    def exchange(self, request: _Request, keep_bytes: int | None = None) -> _Answer:
        """Send one request and read its answer, or its first `keep_bytes`; raise `_Failed`.

        After a HEAD the connection is closed: a server may send a body that nobody has asked for.
        """
        origin = origin_of(request.url)
        watch = Watch(self._limits)
        connection = self._idle.pop(origin, None)
        if connection is not None and connection.is_connected:
            connection.watch.start(connected=True)
            try:
                return self._converse(origin, connection, request, keep_bytes)
            except _Failed as failed:
                # The server closed the idle connection while the request was in transit: retry on a new one.
                is_reset = failed.reason is Reason.RESET and not connection.watch.heard
                if not is_reset or request.method not in ("GET", "HEAD"):
                    raise
        elif connection is not None:
            connection.close()
        return self._converse(origin, self._dial(origin, watch), request, keep_bytes)

    def _dial(self, origin: str, watch: Watch) -> Any:
        connection = open_connection(origin, watch, self._names, self._ca_pem)
        try:
            connection.connect()
            connection.watch.connected = True
        except Exception as error:
            connection.close()
            failed = _failure_of(error, _CONNECT_REASONS)
            failed.remote_address = connection.remote_address
            if failed.reason in (Reason.CONNECT, Reason.NO_ROUTE) and failed.remote_address:
                failed.reason = Reason.TLS  # it was connected, and cut during the handshake
            raise failed from error
        return connection

    def _converse(self, origin: str, connection: Any, request: _Request, keep_bytes: int | None) -> _Answer:
        """Run one exchange on a connection; keep the connection if it can serve another, else close it."""
        try:
            raw = self._ask(connection, request)
            try:
                answer = self._receive(raw, keep_bytes, is_bodiless=request.method == "HEAD")
            finally:
                ended = raw.isclosed()
                raw.close()
        except BaseException as error:
            connection.close()
            if isinstance(error, _Failed):
                error.remote_address = connection.remote_address
            raise
        if ended and request.method != "HEAD" and not connection.is_closed:
            self._idle[origin] = connection
            while len(self._idle) > max(1, self._all_idle // max(THREADS, len(self._open_ones))):
                _, oldest = self._idle.popitem(last=False)
                oldest.close()
        else:
            connection.close()
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
            failed = _failure_of(error, _EXCHANGE_REASONS)
            if failed.reason is Reason.TIMEOUT_TOTAL and not connection.watch.answered:
                failed.reason = Reason.TIMEOUT_FIRST_BYTE
            raise failed from error
        return raw

    def _receive(self, raw: HTTPResponse, keep_bytes: int | None, *, is_bodiless: bool) -> _Answer:
        headers = Headers(raw.headers.iteritems())
        wanted = 200 <= raw.status <= 299
        body, truncated = b"", False
        try:
            if is_bodiless:
                pass
            elif wanted and keep_bytes is not None:
                body, truncated = _read_body(raw, headers, keep_bytes, is_enough=True)
            else:
                body, _ = _read_body(raw, headers, self._max_size_bytes if wanted else SPARE_BYTES)
        except _Failed as failed:
            # Of a redirect or an error only the head matters: its body may fail.
            if wanted:
                failed.status, failed.headers = raw.status, headers
                raise
        return _Answer(raw.status, raw.reason or "", headers, body, truncated=truncated)

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
        except _Failed as failed:
            raise requests.ConnectionError(f"{failed.reason}: {failed.detail}", request=request) from failed
        # The body is complete and decoded, so these fields no longer apply.
        pairs = [(name, value) for name, value in answer.headers.pairs if name.lower() != "content-encoding"]
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
        self._names = of_process(spec.dns_timeout_s)
        for adapter in self.session.adapters.values():
            adapter.close()
        self.session.mount("http://", self._adapter)
        self.session.mount("https://", self._adapter)
        self._headers = {**request_headers(spec), "Accept-Encoding": _ACCEPT_ENCODING}
        self._bare_headers = {**request_headers(spec, bare=True), "Accept-Encoding": _ACCEPT_ENCODING}
        self._prepared = prepare is not None
        if prepare is not None:
            self.session.headers.clear()
            prepare(self.session)

    def fetch(self, url: str, wanted: Wanted = WHOLE) -> Fetched:
        """Ask for a canonical URL; see the port."""
        name = self._names.resolve(host_of(url))
        if name.reason:
            return unresolved(url, name)
        started = time.monotonic()
        try:
            method = "HEAD" if wanted.by_head else "GET"
            headers = self._bare_headers if wanted.bare else self._headers_for(method, url)
            answer = self._adapter.exchange(_Request(method, url, headers), wanted.keep_bytes)
        except _Failed as error:
            failed = error
            if failed.reason is Reason.DESCRIPTORS:
                self._adapter.close_idle()
        except Exception as error:  # noqa: BLE001 - a fetch thread must outlive any page; the report has the type
            failed = _Failed(Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}", Outcome.INTERNAL_ERROR)
        else:
            return Fetched(
                url=url,
                status=answer.status,
                headers=answer.headers,
                body=answer.body,
                truncated=answer.truncated,
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

    def _headers_for(self, method: str, url: str) -> Mapping[str, str]:
        if not self._prepared:
            return self._headers
        asked = self.session.prepare_request(requests.Request(method, url)).headers
        given = {name.lower() for name in asked}
        return {**{name: value for name, value in self._headers.items() if name.lower() not in given}, **asked}

    def close(self) -> None:
        """Close the session and its connections."""
        self.session.close()


def _failure_of(error: Exception, reasons: tuple[tuple[type[BaseException], Reason], ...]) -> _Failed:
    """Map a library's error to a failure; re-raise an error without a reason: it is a bug."""
    if isinstance(error, BrokenAnswer):
        return _Failed(error.reason, str(error))
    seen: BaseException = error
    if isinstance(error, foreign.ProtocolError) and error.__cause__ is not None:
        seen = error.__cause__
    if isinstance(seen, Unresolved):
        return _Failed(seen.reason, str(seen))
    if _is_for_want_of_descriptors(seen):
        return _Failed(Reason.DESCRIPTORS, str(seen))
    for kind, reason in reasons:
        if isinstance(seen, kind):
            if isinstance(seen, ssl.SSLCertVerificationError):
                reason = _TLS_REASONS.get(seen.verify_code, reason)  # noqa: PLW2901  the narrower one
            if reason is Reason.CONNECT and isinstance(seen, OSError):
                reason = refusal_of(seen.errno or 0)  # noqa: PLW2901  the narrower one
            return _Failed(reason, str(seen) or type(seen).__name__)
    raise error


def _is_for_want_of_descriptors(error: BaseException) -> bool:
    """Say whether an error came because no descriptor was left."""
    return isinstance(error, OSError) and error.errno in descriptors.EXHAUSTED


def _read_body(raw: HTTPResponse, headers: Headers, limit: int, is_enough: bool = False) -> tuple[bytes, bool]:
    """Read and decode at most `limit` bytes of a body; return them, and whether there is more.

    A longer body is a failure, unless so much of it `is_enough`.
    """
    named = codings(headers) if "content-encoding" in headers else ()
    if not _DECODABLE.issuperset(named):
        text = f"Content-Encoding is {', '.join(named)[:80]!r}, which was not asked for"
        raise _Failed(Reason.BAD_ENCODING, text)
    blocks: list[bytes] = []
    size = 0
    declared = 0 if "content-encoding" in headers else raw.length_remaining or 0
    if is_enough or declared <= limit:
        for block in _blocks(raw):
            blocks.append(block)
            size += len(block)
            if size > limit:
                break
    if not is_enough and max(size, declared) > limit:
        raise _Failed(Reason.BODY_TOO_LARGE, f"the body passes the limit of {limit} bytes", Outcome.TOO_LARGE)
    body = blocks[0] if len(blocks) == 1 else b"".join(blocks)
    return body[:limit], size > limit


def _blocks(raw: HTTPResponse) -> Iterator[bytes]:
    try:
        while block := raw.read(READ_BYTES, decode_content=True):
            yield block
    except (foreign.HTTPError, OSError, BrokenAnswer) as error:
        raise _failure_of(error, _EXCHANGE_REASONS) from error
