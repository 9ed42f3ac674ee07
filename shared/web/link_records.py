"""The links of a page, packed, as the table `links` has them: the coordinator keeps them unread."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec

#: Longer texts are cut: an anchor may hold a whole page.
MAX_TEXT_CHARS = 300
MAX_REL_CHARS = 100
#: What is no http address is kept as it is written, cut.
MAX_ADDRESS_CHARS = 500
#: No more than this is unpacked.
MAX_BYTES = 64 * 1024 * 1024
# To compress less takes longer than it is worth.
_LEAST_COMPRESSED_BYTES = 2_048
_FAST = 1
# A compressed text begins so (RFC 1950, 2.2), and no array of msgpack does.
_COMPRESSED = b"\x78"

# Why a link is not followed, besides the reasons of `shared.reasons` for URLs out of scope.
NOFOLLOW = "nofollow"
ITSELF = "itself"
NOT_SELECTED = "not_selected"
LIMIT = "limit"
NOT_ADMITTED = "not_admitted"
MEANINGS = {
    NOFOLLOW: "The link or its page says so, and `links.nofollow` obeys.",
    ITSELF: "It leads to its own page.",
    NOT_SELECTED: "No selector of `follow` matches it.",
    LIMIT: "It is beyond `limits.links`, or the links of the page take too many bytes.",
    NOT_ADMITTED: "Its host has as many addresses as `limits.known_per_host` allows.",
}


class LinkRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One link of a page, in an `element`: a tag, `header` (the field Link) or `hook`.

    `target` is the canonical URL, or the address as written if it gives none; `why` is empty if it is followed.
    """

    target: str
    element: str
    rel: str = ""
    text: str = ""
    why: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[LinkRecord]).decode


def pack(records: Sequence[LinkRecord], most_bytes: int = MAX_BYTES) -> tuple[bytes, int]:
    """Pack the first of some records, as many as take so many bytes when unpacked; return that, and how many it are."""
    number = len(records)
    try:
        data = _encode(records)
    except UnicodeEncodeError:
        records = [_printable(record) for record in records]
        data = _encode(records)
    while len(data) > most_bytes and number:
        number //= 2
        data = _encode(records[:number])
    if not number:
        return b"", 0
    return data if len(data) < _LEAST_COMPRESSED_BYTES else zlib.compress(data, _FAST), number


def _printable(record: LinkRecord) -> LinkRecord:
    """Replace characters that UTF-8 cannot encode (lone surrogates)."""
    texts = (text.encode("utf-8", "replace").decode() for text in msgspec.structs.astuple(record))
    return LinkRecord(*texts)


def unpack(data: bytes) -> list[LinkRecord]:
    """Return packed records; none of what is damaged, or too large."""
    try:
        if data.startswith(_COMPRESSED):
            unpacking = zlib.decompressobj()
            data = unpacking.decompress(data, MAX_BYTES)
            if unpacking.unconsumed_tail:
                return []
        return _decode(data) if data else []
    except (zlib.error, msgspec.DecodeError):
        return []
