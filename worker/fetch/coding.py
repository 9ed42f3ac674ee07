"""Content codings (RFC 9110, 8.4.1), decoded in one way for every engine.

What follows the end of a coded body is ignored; the members of a gzip body are joined. A body that ends early is
decoded as far as it goes, as browsers do. A word that is no coding leaves the whole body as it is (Fetch, "handle
content codings"). Output comes in pieces of a bounded size, so that whoever takes them can stop at a limit.

It opens nothing and waits for nothing. Every error of an answer is a `BrokenAnswer`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Protocol

import brotli

from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.fetch.head import BrokenAnswer, codings
from crawlfleet.worker.fetch.port import Headers, most_in_transit

#: The codings that requests offer.
OFFERED = "gzip, deflate, br"
PIECE_BYTES = 128 * 1024

#: With what gzip data begin.
GZIP = b"\x1f\x8b"
# Of the gzip or the zlib format, by its head; raw deflate.
_EITHER, _RAW = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS
_NONE = frozenset({"identity", "none"})
# The others that IANA registers: what they make is no text.
_UNKNOWN = frozenset(["aes128gcm", "compress", "dcb", "dcz", "exi", "pack200-gzip", "x-compress", "zstd"])


class _Step(Protocol):
    def feed(self, block: bytes, /) -> Iterator[bytes]: ...


class Decoder:
    """Decodes the blocks of one body."""

    def __init__(self, steps: Iterable[_Step]) -> None:
        self._steps = list(steps)

    def feed(self, block: bytes) -> Iterator[bytes]:
        """Yield what a block decodes to, in pieces."""
        pieces: Iterator[bytes] = iter((block,))
        for step in self._steps:
            pieces = chain.from_iterable(map(step.feed, pieces))
        try:
            yield from pieces
        except (zlib.error, brotli.error) as error:
            raise BrokenAnswer(Reason.BAD_ENCODING, f"the coded data are broken: {error}") from error


def decoder_of(headers: Headers) -> Decoder | None:
    """Return what decodes the body of an answer; None if it is to be taken as it is."""
    named = [coding for coding in codings(headers) if coding not in _NONE] if "content-encoding" in headers else []
    refused = _UNKNOWN.intersection(named)
    if refused:
        raise BrokenAnswer(
            Reason.BAD_ENCODING, f"Content-Encoding is {', '.join(named)[:80]!r}, which was not asked for"
        )
    if not named or not _STEPS.keys() >= set(named):
        return None
    return Decoder(_STEPS[coding]() for coding in reversed(named))


def decoded(blocks: Iterable[bytes], decoder: Decoder | None, limit: int) -> bytes | None:
    """Return a whole body; None if it is longer than a limit."""
    pieces: list[bytes] = []
    for piece in chain.from_iterable(map(decoder.feed, blocks)) if decoder is not None else blocks:
        limit -= len(piece)
        if limit < 0:
            return None
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def pieces_of(blocks: Iterable[bytes], headers: Headers, declared: int, limit: int | None) -> Iterator[bytes]:
    """Yield a body as it is decoded; raise `BrokenAnswer` as soon as it cannot be within a limit any more.

    `declared` is the length of the body in transit, 0 if it is not known.
    """
    decoder = decoder_of(headers)
    most = None if limit is None else most_in_transit(limit)
    size = 0
    for block in chain((b"",), blocks):
        size += len(block)
        if most is not None and max(size, declared) > most:
            raise BrokenAnswer(Reason.BODY_TOO_LARGE, f"the body passes the limit of {limit} bytes")
        yield from decoder.feed(block) if decoder is not None else (block,)


class Gzip:
    """Unpacks the blocks of gzip data, one member after another; raises `zlib.error` for broken data."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_EITHER)
        self._waiting = b""
        # Of what follows the first member that is not known.
        self._is_begun = True
        self._has_ended = False

    @property
    def is_whole(self) -> bool:
        """Whether the end of a member has come, and nothing of another."""
        return self._inflate.eof or self._has_ended

    def feed(self, block: bytes) -> Iterator[bytes]:
        """Yield what a block unpacks to, in pieces."""
        data = self._waiting + block
        self._waiting = b""
        while data and not self._has_ended:
            if self._inflate.eof:
                if len(data) == 1 and data == GZIP[:1]:
                    self._waiting = data
                    return
                if not data.startswith(GZIP):
                    self._has_ended = True
                    return
                self._inflate = zlib.decompressobj(_EITHER)
                self._is_begun = False
            yield from self._member(data)
            data = self._inflate.unused_data

    def _member(self, data: bytes) -> Iterator[bytes]:
        try:
            if not self._is_begun:  # one byte says that it is a member, even if it breaks
                piece = self._inflate.decompress(data, 1)
                data = self._inflate.unconsumed_tail
                self._is_begun = bool(piece)
                yield piece
            yield from _inflated(self._inflate, data)
        except zlib.error:
            if self._is_begun:
                raise
            # What only looked like one more member.
            self._has_ended = True


class _Deflate:
    """The zlib format, or what some servers send in its place: its data without head and sum."""

    def __init__(self) -> None:
        self._inflate: zlib._Decompress | None = None
        self._waiting = b""

    def feed(self, block: bytes) -> Iterator[bytes]:
        data = self._waiting + block
        if self._inflate is None:
            if len(data) < 2:
                self._waiting = data
                return
            self._waiting = b""
            is_zlib = data[0] & 0x8F == 8 and int.from_bytes(data[:2]) % 31 == 0
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else _RAW)
        if self._inflate.eof:
            return
        yield from _inflated(self._inflate, data)


def _inflated(inflate: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    size = PIECE_BYTES
    while (data or size == PIECE_BYTES) and not inflate.eof:
        piece = inflate.decompress(data, PIECE_BYTES)
        data, size = inflate.unconsumed_tail, len(piece)
        if piece:
            yield piece


class _Brotli:
    """The library refuses a block that goes on after the end: then it is fed once more, byte by byte, up to there."""

    def __init__(self) -> None:
        self._decoder = brotli.Decompressor()
        self._fed: list[bytes] = []
        self._given = 0

    def feed(self, block: bytes) -> Iterator[bytes]:
        if self._has_ended():
            return
        try:
            for piece in _unbrotlied(self._decoder, block):
                self._given += len(piece)
                yield piece
        except brotli.error:
            yield from self._up_to_the_end(block)
        self._fed.append(block)

    def _has_ended(self) -> bool:
        return bool(self._decoder.is_finished())

    def _up_to_the_end(self, block: bytes) -> Iterator[bytes]:
        self._decoder = brotli.Decompressor()
        known = self._given
        for part in chain(self._fed, (block[place : place + 1] for place in range(len(block)))):
            for piece in _unbrotlied(self._decoder, part):
                fresh = piece[known:]
                known = max(0, known - len(piece))
                if fresh:
                    yield fresh
            if self._has_ended():
                return


def _unbrotlied(decoder: brotli.Decompressor, data: bytes) -> Iterator[bytes]:
    piece = b"-"
    while piece and not decoder.is_finished():
        piece = decoder.process(data, output_buffer_limit=PIECE_BYTES)
        data = b""
        if piece:
            yield piece


_STEPS: dict[str, Callable[[], _Step]] = {"gzip": Gzip, "x-gzip": Gzip, "deflate": _Deflate, "br": _Brotli}
