"""One easy handle of libcurl, which is used for one exchange after another."""

from __future__ import annotations

import fcntl
import socket
import time
from typing import Any

import pycurl

from crawlfleet.shared import descriptors
from crawlfleet.worker.fetch.curl_answer import first_status
from crawlfleet.worker.fetch.port import SPARE_BYTES, Wanted, host_of, is_address

# libcurl forgets the addresses that it was given after a while; a handle gives them again when they are this old.
ADDRESSES_KEPT_S = 300
ADDRESSES_GIVEN_AFTER_S = 60.0
DEFAULT_PORTS = {"http": "80", "https": "443"}
# From 8.20 on libcurl also bounds the decoded size of a body, so that its blocks need not be checked here.
BOUNDS_DECODED = pycurl.version_info()[2] >= 0x081400


class Handle:
    """One easy handle, and its current exchange."""

    __slots__ = (
        "addresses",
        "blocks",
        "bounded",
        "by_head",
        "curl",
        "given_at",
        "is_bare",
        "keep",
        "lacked_descriptor",
        "late_before_s",
        "left",
        "lines",
        "mark",
        "opened",
        "origin",
        "started_at",
        "url",
    )

    def __init__(self, curl: Any) -> None:
        self.curl = curl
        self.lacked_descriptor = False
        self.opened: socket.socket | None = None
        self.lines: list[bytes] = []
        self.blocks: list[bytes] = []
        self.origin = ""
        self.addresses: tuple[str, ...] = ()
        self.given_at = 0.0
        self.late_before_s = 0.0
        self.bounded: bool | None = None
        self.by_head = self.is_bare = False
        self.mark: object = None

    def begin(self, url: str, wanted: Wanted, most: int, mark: object) -> None:
        """Begin an exchange. libcurl bounds the size of the body approximately; where it cannot, `write` does.

        The whole of a body has `most` bytes.
        """
        keep = 0 if wanted.by_head else wanted.keep_bytes
        limit = most if keep is None else keep
        self.url = url
        self.keep = keep
        self.left = limit
        if wanted.by_head is not self.by_head:
            self.by_head = wanted.by_head
            self.curl.setopt(pycurl.NOBODY if wanted.by_head else pycurl.HTTPGET, 1)
            self.curl.setopt(pycurl.FORBID_REUSE, int(wanted.by_head))
        self.mark = mark
        self.lacked_descriptor = False
        self.started_at = time.monotonic()
        bounded = BOUNDS_DECODED and keep is None
        if bounded is not self.bounded:
            self.bounded = bounded
            self.curl.setopt(pycurl.WRITEFUNCTION, self.blocks.append if bounded else self.write)
        # A body that is longer in transit cannot be short enough once decoded: it is not read at all.
        self.curl.setopt(pycurl.MAXFILESIZE_LARGE, limit + limit // 8 + 4096 if keep is None else 0)

    def go_to(self, origin: str, addresses: tuple[str, ...]) -> None:
        """Set the server, and its addresses; all handles share the addresses that libcurl is given."""
        if origin != self.origin:
            self.curl.setopt(pycurl.URL, origin)
        elif addresses == self.addresses and self.started_at - self.given_at < ADDRESSES_GIVEN_AFTER_S:
            return
        self.origin, self.addresses, self.given_at = origin, addresses, self.started_at
        if not is_address(host_of(origin)):
            scheme, _, authority = origin.partition("://")
            host, _, port = authority[:-1].partition(":")
            listed = ",".join(f"[{address}]" if ":" in address else address for address in addresses)
            self.curl.setopt(pycurl.RESOLVE, [f"+{host}:{port or DEFAULT_PORTS[scheme]}:{listed}"])

    def open_socket(self, _purpose: int, address: Any) -> Any:
        """Open a socket for libcurl, which would not tell a lack of descriptors from a server that is down.

        pycurl duplicates the socket, which may fail too: unless `take_socket` is called, that counts as the lack.
        """
        self._close_opened()
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

    def is_too_long(self, status: int) -> bool:
        """Say whether a complete body exceeds the limit; `write`, where in use, would have noticed."""
        limit = self.left if 200 <= status <= 299 else SPARE_BYTES
        return bool(self.bounded) and sum(map(len, self.blocks)) > limit

    def forget(self) -> None:
        """Free the data of the last exchange: the next may be far off."""
        self.mark = None
        self.lines.clear()
        self.blocks.clear()
        self._close_opened()

    def _close_opened(self) -> None:
        if self.opened is not None:
            self.opened.close()
            self.opened = None

    def write(self, block: bytes) -> int | None:
        """Take a decoded block of the body; libcurl ends the exchange unless this returns None."""
        if not self.blocks and not 200 <= first_status(self.lines) <= 299:
            self.left, self.keep = SPARE_BYTES, None
        self.left -= len(block)
        if self.left >= 0:
            self.blocks.append(block)
            return None
        if self.keep is not None:
            self.blocks.append(block[: self.left])
        return -1
