"""The curl engine: hundreds of exchanges at once in one thread, with libcurl's multi interface.

libcurl says which sockets it waits for and until when. They are in one epoll, together with an eventfd by which other
threads wake this one. (`CurlMulti.select` would spin once a descriptor passes 1,023.) Handles are reused: only options
that differ between requests are set again. libcurl caches connections and TLS sessions. It is given the addresses of a
host, so that it looks no name up, and starts no thread for that.

It must not follow redirects, keep cookies, read the environment or decide anything about retries of a task.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import pycurl
from msgspec.structs import replace

from crawlfleet.shared import descriptors
from crawlfleet.shared.brief import FetchSpec
from crawlfleet.shared.messages import Outcome
from crawlfleet.shared.notes import Note
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.addresses import Nets
from crawlfleet.worker.fetch.authorities import AuthoritiesFile
from crawlfleet.worker.fetch.coding import OFFERED
from crawlfleet.worker.fetch.curl_answer import (
    OK,
    PARTIAL_FILE,
    TIMED_OUT,
    TOO_LONG,
    UNCONNECTED,
    WRITE_ERROR,
    Head,
    has_tried_enough,
    is_cut,
    is_ended,
    is_first_line,
    reason_of,
)
from crawlfleet.worker.fetch.curl_handle import ADDRESSES_KEPT_S, Handle
from crawlfleet.worker.fetch.guard import Passage, kept_out
from crawlfleet.worker.fetch.head import BODILESS, BrokenAnswer
from crawlfleet.worker.fetch.names import of_process
from crawlfleet.worker.fetch.port import WHOLE, Fetched, Headers, Wanted, host_of, unresolved
from crawlfleet.worker.fetch.request_fields import RequestFields

MAX_IDLE_CONNECTIONS = 512
BUFFER_BYTES = 128 * 1024
EVENTS_AT_ONCE = 256
# What the thread is busy for longer, with bodies to unpack, is not the time of those who have answered meanwhile.
UNNOTICED_S = 0.05

_EPOLL = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}
_NO_HEAD = Head(0, Headers())
_NOT_CONNECTED = frozenset({Reason.DNS_FAILED, Reason.CONNECT, Reason.NO_ROUTE, Reason.DESCRIPTORS})
_PERHAPS_OURS = frozenset({Reason.DNS_FAILED, Reason.TLS, Reason.INTERNAL_ERROR})


class _Deadline(NamedTuple):
    at: float
    handle: Handle
    mark: object


class CurlFetcher:
    """The engine, with both ports of `worker.fetch`."""

    def __init__(self, spec: FetchSpec) -> None:
        self._spec = spec
        self._names = of_process(spec.dns_timeout_s)
        self._nets = Nets(spec.allow_private)
        self._first_byte_s = spec.first_byte_timeout_s if spec.first_byte_timeout_s < spec.timeout_s else None
        self._fields = RequestFields(spec, _lines)
        self._authorities = AuthoritiesFile(spec.ca_pem)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._most_idle = descriptors.idle_connections_within(MAX_IDLE_CONNECTIONS)
        self._least_idle = max(1, self._most_idle // 8)
        self._multi.setopt(pycurl.M_MAXCONNECTS, self._most_idle)
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._timer_at: float | None = None
        self._woke_at, self._late_s = time.monotonic(), 0.0
        self._watched: dict[int, int] = {}
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bell_lock = threading.Lock()
        self._epoll.register(self._bell, select.EPOLLIN)
        self._idle: list[Handle] = []
        self._running: dict[Any, Handle] = {}
        self._unheard: deque[_Deadline] = deque()
        self._broken_off: list[Handle] = []
        self._ended: list[tuple[Any, Fetched]] = []

    def fetch(self, url: str, wanted: Wanted = WHOLE) -> Fetched:
        """Ask for one canonical URL and wait for it; see the port."""
        name = self._names.resolve(host_of(url))
        if name.reason:
            return unresolved(url, name)
        mark = object()
        self.start(url, wanted, mark)
        while True:
            for ended, fetched in self.wait(None):
                if ended is mark:
                    return fetched

    def start(self, url: str, wanted: Wanted, mark: Any) -> None:
        """Begin to ask for a canonical URL; see the port."""
        name = self._names.usable(host_of(url))
        if name.reason:
            self._ended.append((mark, unresolved(url, name)))
            self.wake()
            return
        slash = url.index("/", 8)
        passage = Passage.of(self._nets, url, wanted, name.addresses)
        addresses, refusal = passage.open_ones(url[:slash], name.addresses)
        if refusal:
            self._ended.append((mark, kept_out(url, refusal, passage)))
            self.wake()
            return
        handle = self._idle.pop() if self._idle else self._new_handle()
        handle.begin(url, wanted, self._spec.max_size_bytes, mark, passage)
        if wanted.body is not None:
            wanted.body.on_break = partial(self._break_off, handle)
        fields = self._fields.of(url, bare=wanted.bare)
        if handle.fields is not fields:
            handle.fields = fields
            handle.curl.setopt(pycurl.HTTPHEADER, fields)
        handle.late_before_s = self._late_until_now_s()
        handle.go_to(url[: slash + 1], addresses)
        handle.curl.setopt(pycurl.REQUEST_TARGET, url[slash:])
        self._multi.add_handle(handle.curl)
        self._running[handle.curl] = handle
        if self._first_byte_s is not None:
            self._unheard.append(_Deadline(handle.started_at + self._first_byte_s, handle, mark))

    def wait(self, timeout_s: float | None) -> list[tuple[Any, Fetched]]:
        """Run exchanges until some have ended, `timeout_s` is over, or another thread calls `wake`."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            woken = self._wait_once(until)
            if self._ended or woken or (until is not None and time.monotonic() >= until):
                ended, self._ended = self._ended, []
                return ended

    def wake(self) -> None:
        """Make `wait` return. Any thread may call this."""
        with self._bell_lock:
            if self._bell >= 0:
                os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """End all exchanges, and close every connection."""
        for curl in self._running:
            self._multi.remove_handle(curl)
        for handle in (*self._running.values(), *self._idle):
            handle.curl.close()
        self._running.clear()
        self._idle.clear()
        self._multi.close()
        self._epoll.close()
        with self._bell_lock:
            os.close(self._bell)
            self._bell = -1
        self._authorities.close()

    def _new_handle(self) -> Handle:
        """Create a handle with the options that are the same for every request."""
        spec, curl = self._spec, pycurl.Curl()
        handle = Handle(curl, spec.head_bytes)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.PROXY, "")
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        curl.setopt(pycurl.CAINFO, self._authorities.path)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, round(min(spec.connect_timeout_s, spec.timeout_s) * 1000))
        curl.setopt(pycurl.TIMEOUT_MS, round(spec.timeout_s * 1000))
        curl.setopt(pycurl.DNS_CACHE_TIMEOUT, ADDRESSES_KEPT_S)
        curl.setopt(pycurl.BUFFERSIZE, BUFFER_BYTES)
        curl.setopt(pycurl.HEADERFUNCTION, handle.lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, handle.write)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, handle.open_socket)
        curl.setopt(pycurl.SOCKOPTFUNCTION, handle.take_socket)
        return handle

    def _watch(self, what: int, descriptor: int, _multi: object, _data: object) -> None:
        """Update a socket in the epoll as libcurl asks."""
        events = _EPOLL.get(what)
        if events is None:
            if self._watched.pop(descriptor, None) is not None:
                with suppress(OSError):
                    self._epoll.unregister(descriptor)
        elif self._watched.get(descriptor) is None:
            self._watched[descriptor] = events
            self._epoll.register(descriptor, events)
        else:
            self._watched[descriptor] = events
            self._epoll.modify(descriptor, events)

    def _set_timer(self, timeout_ms: int) -> None:
        self._timer_at = None if timeout_ms < 0 else time.monotonic() + timeout_ms / 1000

    def _wait_once(self, until: float | None) -> bool:
        """Wait once for sockets, bell or time, and let libcurl act; return whether the bell rang."""
        woken = False
        self._late_s = self._late_until_now_s()
        ready_ones = self._epoll.poll(self._patience_s(until), EVENTS_AT_ONCE)
        self._woke_at = time.monotonic()
        for descriptor, events in ready_ones:
            if descriptor == self._bell:
                os.eventfd_read(self._bell)
                woken = True
                continue
            ready = pycurl.CSELECT_IN if events & (select.EPOLLIN | select.EPOLLHUP) else 0
            ready |= pycurl.CSELECT_OUT if events & select.EPOLLOUT else 0
            ready |= pycurl.CSELECT_ERR if events & select.EPOLLERR else 0
            self._multi.socket_action(descriptor, ready)
            self._end_broken_off()
        now = time.monotonic()
        if self._timer_at is not None and self._timer_at <= now:
            self._timer_at = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._collect()
        self._end_broken_off()
        self._end_unanswered(now)
        return woken

    def _late_until_now_s(self) -> float:
        """Return for how long, in total, this thread was busy when sockets may have waited for it."""
        return self._late_s + max(0.0, time.monotonic() - self._woke_at - UNNOTICED_S)

    def _patience_s(self, until: float | None) -> float | None:
        times = [at for at in (until, self._timer_at, self._unheard[0].at if self._unheard else None) if at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _collect(self) -> None:
        queued = 1
        while queued:
            queued, good, bad = self._multi.info_read(EVENTS_AT_ONCE)
            for curl in good:
                self._end(curl, OK, "")
            for curl, code, text in bad:
                self._end(curl, code, text)

    def _break_off(self, handle: Handle) -> None:
        """Free a body, and let `wait` end its exchange. Any thread may call this, also in the midst of another one."""
        handle.blocks.clear()
        self._broken_off.append(handle)
        self.wake()

    def _end_broken_off(self) -> None:
        """End exchanges whose bodies were broken off, before others get the memory."""
        if self._broken_off:
            self._collect()
        while self._broken_off:
            curl = self._broken_off.pop().curl
            if curl in self._running:
                self._end(curl, WRITE_ERROR, "")

    def _end_unanswered(self, now: float) -> None:
        """End exchanges that got no answer in time; the oldest is the first in order."""
        while self._unheard:
            at, handle, mark = self._unheard[0]
            if handle.mark is mark and not handle.lines and handle.curl in self._running:
                if at > now:
                    return
                self._end(handle.curl, TIMED_OUT, f"no answer within {self._first_byte_s:g} s")
            self._unheard.popleft()

    def _end(self, curl: Any, code: int, text: str) -> None:
        if has_tried_enough(code, text):
            self._multi.remove_handle(curl)
            curl.setopt(pycurl.FRESH_CONNECT, 1)
            self._multi.add_handle(curl)
            return
        handle = self._running.pop(curl)
        if handle.wanted.body is not None:
            handle.wanted.body.whole()
        try:
            fetched = self._fetched(handle, code, text)
        except Exception as error:  # noqa: BLE001  one exchange must not end the thread of all others
            fetched = _failure(handle, _NO_HEAD, Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}")
        if handle.refusal and not handle.lines:
            fetched = kept_out(handle.url, handle.refusal, handle.passage)
        elif handle.passage.first_addresses is not None:
            fetched = replace(fetched, first_addresses=handle.passage.first_addresses)
        self._multi.remove_handle(curl)
        curl.setopt(pycurl.FRESH_CONNECT, 0)
        self._ended.append((handle.mark, fetched))
        handle.forget()
        self._idle.append(handle)

    def _fetched(self, handle: Handle, code: int, text: str) -> Fetched:
        late_s = self._late_until_now_s() - handle.late_before_s
        elapsed_s = max(0.0, time.monotonic() - handle.started_at - late_s)
        address = handle.curl.getinfo(pycurl.PRIMARY_IP)
        try:
            head = handle.read_head()
            if head is None and (code == OK or (handle.lines and (is_ended(code, text) or is_cut(code, text)))):
                raise BrokenAnswer(Reason.HEAD_TRUNCATED, "the connection ended inside the head of the answer")
        except BrokenAnswer as broken:
            return _failure(handle, _NO_HEAD, broken.reason, str(broken), elapsed_s, address)
        if head is not None:
            code, notes = self._end_of_body(handle, head, code, text)
            answer = _answer(handle, head, code, self._spec.max_size_bytes)
            if answer is not None:
                noted = notes if answer.failure is None else ()
                return replace(answer, elapsed_s=elapsed_s, remote_address=address, notes=noted)
        os_errno = handle.curl.getinfo(pycurl.OS_ERRNO) if code == UNCONNECTED else 0
        if os_errno:
            text = f"{text}: {os.strerror(os_errno)}"
        reason = reason_of(code, text, os_errno)
        if reason is Reason.BAD_HEADER and head is None and is_first_line(handle.lines):
            reason = Reason.BAD_STATUS_LINE
        if code == TOO_LONG and head is None:
            reason = Reason.BAD_FRAMING  # an invalid Content-Length
        if code == TIMED_OUT and not handle.lines:
            asked = handle.curl.getinfo(pycurl.REQUEST_SIZE) > 0
            reason = Reason.TIMEOUT_FIRST_BYTE if asked else Reason.TIMEOUT_CONNECT
        if not handle.lines and (handle.lacked_descriptor or (reason in _PERHAPS_OURS and descriptors.are_exhausted())):
            reason = Reason.DESCRIPTORS
            self._most_idle = max(self._least_idle, self._most_idle // 2)
            self._multi.setopt(pycurl.M_MAXCONNECTS, self._most_idle)
        return _failure(handle, head or _NO_HEAD, reason, text, elapsed_s, address)

    def _end_of_body(self, handle: Handle, head: Head, code: int, text: str) -> tuple[int, tuple[Note, ...]]:
        """Return the result of an exchange as it counts, and notes: the connection's end may be that of the body."""
        if code != OK and reason_of(code, text) is Reason.BAD_HEADER:
            return OK, ()  # a trailer field: the body was whole
        is_whole = False
        length = None if handle.by_head or head.status in BODILESS else head.ignored_length
        if is_cut(code, text):
            is_whole = head.ends_with_connection
            code = OK if is_whole or length is not None else PARTIAL_FILE
        if length is not None and code in (OK, TIMED_OUT, WRITE_ERROR):
            if handle.taken >= length:
                code = OK
            elif code == OK:
                code = PARTIAL_FILE
        if code == PARTIAL_FILE and handle.is_wanted and handle.keep is None and self._spec.keep_truncated:
            return OK, (Note.BODY_SHORT,)
        return code, (Note.TLS_CUT,) if is_whole else ()


def _lines(fields: Mapping[str, str]) -> list[str]:
    """Return header fields as libcurl takes them. Since it is not told of the codings, it decodes none."""
    lines = [f"{name}: {value}" if value else f"{name};" for name, value in fields.items()]
    return [*lines, f"Accept-Encoding: {OFFERED}"]


def _answer(handle: Handle, head: Head, code: int, limit: int) -> Fetched | None:
    """Return what has come whole, as far as it is wanted, or how its body is broken; None if the exchange failed.

    What is broken in the beginning of a page counts before the way it ends.
    """
    is_whole = code == OK or handle.has_enough
    body: bytes | None = b""
    try:
        # libcurl reads the body of 101. A bug that broke a body is raised, whether the body is wanted or not.
        if (is_whole or handle.is_wanted or handle.broken is not None) and head.status not in BODILESS:
            body = handle.body()
    except BrokenAnswer as broken:
        if handle.is_wanted:
            return _failure(handle, head, broken.reason, str(broken))
    if handle.is_wanted and (body is None or code == TOO_LONG):
        return _failure(handle, head, Reason.BODY_TOO_LARGE, f"the body passes the limit of {limit} bytes")
    if handle.is_wanted and not is_whole:
        return None
    truncated = handle.is_wanted and handle.has_enough
    return Fetched(url=handle.url, status=head.status, headers=head.headers, body=body or b"", truncated=truncated)


def _failure(
    handle: Handle, head: Head, reason: Reason, detail: str, elapsed_s: float = 0.0, address: str = ""
) -> Fetched:
    outcome = Outcome.TOO_LARGE if reason is Reason.BODY_TOO_LARGE else Outcome.NETWORK_ERROR
    return Fetched(
        url=handle.url,
        status=head.status,
        headers=head.headers,
        failure=Outcome.INTERNAL_ERROR if reason is Reason.INTERNAL_ERROR else outcome,
        reason=reason,
        detail=detail or reason,
        elapsed_s=elapsed_s,
        remote_address="" if reason in _NOT_CONNECTED else address,
    )
