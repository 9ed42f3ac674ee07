"""dict: a dict of the whole fleet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Self

from crawlfleet.shared.wire.values import decode
from crawlfleet.worker.talk.objects.base import Source
from crawlfleet.worker.talk.objects.contents import Entries, entries_of, subkey_of

_NO_DEFAULT: Any = object()


class Dict(Entries):
    """A dict of the whole fleet, as a manager's `dict`. Each method is one step; a loop over it shows one moment."""

    kind = "dict"

    def __init__(self, source: Source, name: str, *initial: Any, **more: Any) -> None:
        super().__init__(source, name, entries_of(_plain(*initial, **more)))

    def __getitem__(self, key: object) -> Any:
        found = self._read("get", subkey_of(key))
        if found is None:
            raise KeyError(key)
        return decode(found)

    def __setitem__(self, key: object, value: object) -> None:
        self._call("update", entries_of({key: value}))

    def __delitem__(self, key: object) -> None:
        self.pop(key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys())

    def __reversed__(self) -> Iterator[Any]:
        return iter(self.keys()[::-1])

    def __str__(self) -> str:
        return str(self.copy())

    def __or__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        return self.copy() | _plain(other) if isinstance(other, dict | Dict) else NotImplemented

    def __ror__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        return other | self.copy() if isinstance(other, dict) else NotImplemented

    def __ior__(self, other: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> Self:
        self.update(other)
        return self

    def get(self, key: object, default: Any = None) -> Any:
        """Return the value under a key, or the default."""
        found = self._read("get", subkey_of(key))
        return default if found is None else decode(found)

    def setdefault(self, key: object, default: Any = None) -> Any:
        """Return the value under a key, after setting it to the default if there is none."""
        (entry,) = entries_of({key: default})
        return decode(self._call("setdefault", entry))

    def pop(self, key: object, default: Any = _NO_DEFAULT) -> Any:
        """Remove a key and return its value, or the default; without a default raise `KeyError`."""
        found = self._call("remove", subkey_of(key))
        if found is not None:
            return decode(found)
        if default is _NO_DEFAULT:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[Any, Any]:
        """Remove the entry that was added last, and return its key and value; raise `KeyError` if there is none."""
        found = self._call("popitem")
        if found is None:
            raise KeyError("popitem(): dictionary is empty")
        key, value = found
        return decode(key), decode(value)

    def update(self, *other: Any, **more: Any) -> None:
        """Set the entries of a mapping, or pairs of keys and values, in one step."""
        self._call("update", entries_of(_plain(*other, **more)))

    def copy(self) -> dict[Any, Any]:
        """Return the contents as a dict of this process."""
        return dict(self._items())

    def keys(self) -> list[Any]:
        """Return the keys, in the order in which they were added."""
        return list(dict.fromkeys(self._keys()))

    def values(self) -> list[Any]:
        """Return the values, in the order of their keys."""
        return list(self.copy().values())

    def items(self) -> list[tuple[Any, Any]]:
        """Return pairs of keys and values."""
        return list(self.copy().items())

    def fromkeys(self, keys: Iterable[Any], value: Any = None) -> dict[Any, Any]:
        """Return a dict of this process with these keys, as `dict.fromkeys` does."""
        return dict.fromkeys(keys, value)


MutableMapping.register(Dict)


def _plain(*other: Any, **more: Any) -> dict[Any, Any]:
    """Return what a dict of these arguments has; a shared dict is read as a whole."""
    if len(other) == 1 and isinstance(other[0], Dict):
        return {**other[0].copy(), **more}
    return dict(*other, **more)
