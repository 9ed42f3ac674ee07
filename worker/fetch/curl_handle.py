"""One easy handle of libcurl, which is used for one exchange after another."""

from __future__ import annotations

import fcntl
import socket
import time
from typing import Any

import pycurl

from crawlfleet.shared import descriptors
from crawlfleet.shared.web.urls import port
from crawlfleet.worker.fetch.coding import Decoder, decoded, decoder_of
from crawlfleet.worker.fetch.curl_answer import Head, read_head
from crawlfleet.worker.fetch.guard import Passage
from crawlfleet.worker.fetch.head import BODILESS, content_length, is_chunked
from crawlfleet.worker.fetch.port import SPARE_BYTES, WHOLE, Wanted, host_of, is_address, most_in_transit

# libcurl forgets the addresses that it was given after a while; a handle gives them again when they are this old.
ADDRESSES_KEPT_S = 60
ADDRESSES_GIVEN_AFTER_S = 30.0


class Handle:
    """One easy handle, and its current exchange."""

    __slots__ = (
        "addresses",
        "blocks",
        "broken",
        "by_head",
        "curl",
        "decoder",
        "fields",
        "given_at",
        "head",
        "head_bytes",
        "is_wanted",
        "keep",
        "lacked_descriptor",
        "late_before_s",
        "left",
        "length",
        "lines",
        "mark",
        "opened",
        "origin",
        "passage",
        "refusal",
        "started_at",
        "taken",
        "url",
        "wanted",
    )

    def __init__(self, curl: Any, head_bytes: int) -> None:
        self.curl = curl
        self.head_bytes = head_bytes
        self.lacked_descriptor = False
        self.opened: socket.socket | None = None
        self.lines: list[bytes] = []
        self.blocks: list[bytes] = []
        self.origin = ""
        self.addresses: tuple[str, ...] = ()
        self.given_at = 0.0
        self.late_before_s = 0.0
        self.head: Head | None = None
        self.length: int | None = None
        self.taken = 0
        self.is_wanted = False
        self.decoder: Decoder | None = None
        self.broken: Exception | None = None
        self.by_head = False
        self.wanted = WHOLE
        self.fields: list[str] = []
        self.mark: object = None

    def begin(self, url: str, wanted: Wanted, most: int, mark: object, passage: Passage) -> None:
        """Begin an exchange, which may lead where its passage says.

        A body has `most` bytes at most, unless the beginning is enough.
        """
        keep = 0 if wanted.by_head else wanted.keep_bytes
        limit = most if keep is None else keep
        self.url = url
        self.wanted = wanted
        self.keep = keep
        self.left = limit
        if wanted.by_head is not self.by_head:
            self.by_head = wanted.by_head
            self.curl.setopt(pycurl.NOBODY if wanted.by_head else pycurl.HTTPGET, 1)
            self.curl.setopt(pycurl.FORBID_REUSE, int(wanted.by_head))
        self.mark = mark
        self.broken = self.head = self.decoder = self.length = None
        self.taken = 0
        self.passage, self.refusal = passage, ""
        self.lacked_descriptor = False
        self.started_at = time.monotonic()
        self.curl.setopt(pycurl.MAXFILESIZE_LARGE, most_in_transit(limit) if keep is None else 0)

    def go_to(self, origin: str, addresses: tuple[str, ...]) -> None:
        """Set the server, and its addresses; all handles share the addresses that libcurl is given."""
        if origin != self.origin:
            self.curl.setopt(pycurl.URL, origin)
        elif addresses == self.addresses and self.started_at - self.given_at < ADDRESSES_GIVEN_AFTER_S:
            return
        self.origin, self.addresses, self.given_at = origin, addresses, self.started_at
        if not is_address(host_of(origin)):
            listed = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
            self.curl.setopt(pycurl.RESOLVE, [f"+{host_of(origin)}:{port(origin)}:{listed}"])

    def open_socket(self, _purpose: int, address: Any) -> Any:
        """Open a socket for libcurl to connect to an address, unless it must not lead there.

        libcurl would not tell a lack of descriptors from a server that is down. pycurl duplicates the socket, which may
        fail too: unless `take_socket` is called, that counts as the lack.
        """
        self._close_opened()
        refusal = self.passage.refusal(self.origin[:-1], address.addr[0])
        if refusal:
            self.refusal = refusal
            return pycurl.SOCKET_BAD
        try:
            self.opened = socket.socket(address.family, address.socktype, address.protocol)
        except OSError as error:
            self.lacked_descriptor = error.errno in descriptors.EXHAUSTED
            return pycurl.SOCKET_BAD
        self.lacked_descriptor = True
        return self.opened

    def take_socket(self, descriptor: int, _purpose: int) -> int:
        """Keep the duplicate of an opened socket from programs that a hook may start."""
        self._close_opened()
        self.lacked_descriptor = False
        fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        return int(pycurl.SOCKOPT_OK)

    @property
    def has_enough(self) -> bool:
        """Whether it was ended here, since the beginning that is wanted has come."""
        return self.keep is not None and self.left < 0

    def read_head(self) -> Head | None:
        """Return the final head of the answer, once it has come, and judge whether its body is wanted.

        Return None if it is incomplete. Raise `BrokenAnswer`.
        """
        if self.head is None:
            head = read_head(self.lines, self.head_bytes, is_plain=self.url.startswith("http:"))
            self.is_wanted = head is not None and self.wanted.wants(head.status, head.headers)
            self.head = head
        return self.head

    def body(self) -> bytes | None:
        """Return the decoded body; None if it is longer than is wanted. Raise what broke it: `BrokenAnswer`, a bug."""
        if self.keep is None and not self.blocks:
            self._begin_body()
        if self.broken is not None:
            raise self.broken
        if self.left < 0 and not self.has_enough:
            return None
        if self.head is not None and not self.is_wanted:
            return decoded(self.blocks, decoder_of(self.head.headers), SPARE_BYTES)
        return b"".join(self.blocks)

    def forget(self) -> None:
        """Free the data of the last exchange: the next may be far off."""
        self.mark = None
        self.wanted, self.head, self.decoder = WHOLE, None, None
        self.lines.clear()
        self.blocks.clear()
        self._close_opened()

    def _close_opened(self) -> None:
        if self.opened is not None:
            self.opened.close()
            self.opened = None

    def write(self, block: bytes) -> int | None:
        """Take a block of the body, decoded if it is wanted; libcurl ends the exchange unless this returns None."""
        try:
            if not self.blocks:
                self._begin_body()
            if self.length is not None:
                block = block[: self.length - self.taken]
            self.taken += len(block)
            for piece in self.decoder.feed(block) if self.decoder is not None else (block,):
                self.left -= len(piece)
                if self.left < 0:
                    self.blocks.append(piece[: self.left])
                    return -1
                self.blocks.append(piece)
                if self.wanted.body is not None and not self.wanted.body.grow(len(piece)):
                    return -1
        except Exception as broken:  # noqa: BLE001  libcurl would keep it to itself: `body` raises it
            self.broken = broken
            return -1
        return -1 if self.taken == self.length else None

    def _begin_body(self) -> None:
        head = self.read_head()
        if head is None or not self.is_wanted:
            self.left, self.keep = 0 if head is not None and _is_long(head) else SPARE_BYTES, None
        else:
            self.decoder = decoder_of(head.headers)
        if head is not None and head.status not in BODILESS:
            self.length = head.ignored_length
        self.blocks.append(b"")


def _is_long(head: Head) -> bool:
    """Say whether a body that is not wanted is too long to be read, as far as its head tells."""
    return not is_chunked(head.headers) and (content_length(head.headers) or 0) > SPARE_BYTES
