"""The shape that the tables of backends share: sinks, stores, fetch engines, parse engines.

A table is a dict of frozen entries by name. Code that accepts a name, lists the known names, needs to know what a
backend can do, or runs its conformance suite uses the table. A backend is imported when it is chosen, not before.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar, TypeVar

import msgspec

from crawlfleet.shared.errors import UsageError


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One backend. `place` is where it is found: `module:attribute`.

    `package` is the distribution that it needs, `extra` the extra of crawlfleet that installs it; both are empty for a
    backend that needs only the standard library. The entries of each table add the properties of its backends.
    """

    kind: ClassVar[str] = "backend"

    name: str
    place: str
    package: str = ""
    extra: str = ""

    def load(self, otherwise: str = "") -> Any:
        """Import the backend; raise a `UsageError` that says what to install, or what to do `otherwise`."""
        module, _, attribute = self.place.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except ImportError as error:
            to_install = f"'crawlfleet[{self.extra}]'" if self.extra else self.package or "crawlfleet"
            text = f"the {self.kind} {self.name} cannot be loaded ({error}): pip install {to_install}"
            raise UsageError(f"{text}, or {otherwise}" if otherwise else text) from error


AnyEntry = TypeVar("AnyEntry", bound=Entry)


def table(*entries: AnyEntry) -> dict[str, AnyEntry]:
    """Return entries by their names, in this order."""
    return {entry.name: entry for entry in entries}
