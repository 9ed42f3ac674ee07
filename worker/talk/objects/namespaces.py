"""Namespace: an object whose attributes the whole fleet shares."""

from __future__ import annotations

from typing import Any

from crawlfleet.shared.wire.values import decode
from crawlfleet.worker.talk.objects.base import Source
from crawlfleet.worker.talk.objects.contents import Entries, entries_of, subkey_of


class Namespace:
    """Shared attributes, as a manager's `Namespace`. All names are free for them, except those that begin with `_`.

    These are attributes of this proxy alone, as a manager's proxy has them.
    """

    def __init__(self, source: Source, name: str, /, **attributes: Any) -> None:
        """Create the object with these attributes, unless it exists."""
        self._entries = _Attributes(source, name, entries_of(attributes))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        return self._entries.get(name)

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self._entries.set(name, value)

    def __delattr__(self, name: str) -> None:
        if name.startswith("_"):
            object.__delattr__(self, name)
        else:
            self._entries.remove(name)

    def __repr__(self) -> str:
        return repr(self._entries)

    def __str__(self) -> str:
        return str(self._entries)


class _Attributes(Entries):
    """The entries of a namespace: their keys are names."""

    kind = "Namespace"

    def get(self, attribute: str) -> Any:
        found = self._read("get", subkey_of(attribute))
        if found is None:
            raise self._missing(attribute)
        return decode(found)

    def set(self, attribute: str, value: object) -> None:
        self._call("update", entries_of({attribute: value}))

    def remove(self, attribute: str) -> None:
        if self._call("remove", subkey_of(attribute)) is None:
            raise self._missing(attribute)

    def __repr__(self) -> str:
        return f"<Namespace {self.name!r} of the fleet>"

    def __str__(self) -> str:
        return f"Namespace({', '.join(f'{name}={value!r}' for name, value in sorted(dict(self._items()).items()))})"

    def _missing(self, attribute: str) -> AttributeError:
        return AttributeError(f"the Namespace {self.name!r} has no attribute {attribute!r}", name=attribute)
