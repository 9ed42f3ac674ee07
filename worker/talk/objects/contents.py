"""How the values and keys of containers travel: encoded, and no more in one call than fits into a message."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

from crawlfleet.shared.objects import CALL_BYTES, CALL_ENTRIES
from crawlfleet.shared.wire.values import decode, encode, key_of
from crawlfleet.worker.talk.objects.base import SharedObject

LONGEST_SUBKEY = 64
#: Begins a digest; no key begins with it, because msgpack never uses it.
_DIGEST = b"\xc1"

T = TypeVar("T")

#: Subkey, key, value.
Entry = tuple[bytes, bytes, bytes]


def subkey_of(key: object) -> bytes:
    """Return what equal keys have in common, in few bytes; raise `TypeError` for a key that is not hashable."""
    whole = key_of(key)
    if len(whole) <= LONGEST_SUBKEY:
        return whole
    return _DIGEST + hashlib.blake2b(whole, digest_size=32).digest()


def encoded(values: Iterable[object]) -> list[bytes]:
    """Encode the values of one call; raise `ValueError` if they are too large together."""
    return list(_fitting((encode(value) for value in values), len))


def entries_of(mapping: Mapping[Any, object]) -> list[Entry]:
    """Return the entries of a dict for one call; raise `ValueError` if they are too large together."""
    entries = ((subkey_of(key), encode(key), encode(value)) for key, value in mapping.items())
    return _few(entries)


def members_of(members: Iterable[object]) -> list[Entry]:
    """Return the members of a set for one call; raise `ValueError` if they are too large together."""
    entries = ((subkey_of(member), encode(member), b"") for member in members)
    return _few(entries)


def subkeys_of(members: Iterable[object]) -> list[bytes]:
    """Return the subkeys of members for one call; raise `ValueError` if they are too many."""
    return list(_fitting(map(subkey_of, members), len))


def _few(entries: Iterable[Entry]) -> list[Entry]:
    fitting = _fitting(entries, lambda entry: sum(map(len, entry)))
    found = list(islice(fitting, CALL_ENTRIES + 1))
    if len(found) > CALL_ENTRIES:
        raise ValueError(f"one call has at most {CALL_ENTRIES} entries: pass fewer at a time")
    return found


def _fitting(parts: Iterable[T], size: Callable[[T], int]) -> Iterator[T]:
    left = CALL_BYTES
    for part in parts:
        left -= size(part) + 8
        if left < 0:
            raise ValueError(f"the values of one call have more than {CALL_BYTES} bytes: pass fewer at a time")
        yield part


class Entries(SharedObject):
    """Base of the proxies whose objects consist of entries."""

    def __len__(self) -> int:
        size: int = self._read("size")
        return size

    def __contains__(self, key: object) -> bool:
        known: bool = self._read("contains", subkey_of(key))
        return known

    def clear(self) -> None:
        """Remove everything."""
        self._call("clear")

    def _keys(self) -> Iterator[Any]:
        """Yield keys in the order in which they were added: see `_items`."""
        after = -1
        while after:
            keys, _, after = self._read("page", after, False)
            yield from map(decode, keys)

    def _items(self) -> Iterator[tuple[Any, Any]]:
        """Yield keys and values in the order in which the keys were added.

        Contents of a few megabytes and 20,000 entries are read at one moment; larger ones page by page.
        """
        after = -1
        while after:
            keys, values, after = self._read("page", after, True)
            yield from zip(map(decode, keys), map(decode, values), strict=True)
