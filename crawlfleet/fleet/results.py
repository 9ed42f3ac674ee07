"""The job's results as a mapping. Reads return committed results, in batches; a write stages a value of a held URL."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import TYPE_CHECKING, Any, Protocol

from crawlfleet.shared.messages import ResultPage

if TYPE_CHECKING:
    from crawlfleet.fleet.session import FleetSession

PAGE = 200


class ReadsResults(Protocol):
    """What results are read through: the proxy of a coordinator's, or the store of a crawl."""

    def get(self, url: str) -> list[Any] | None:
        """Return `[value]` of a page, or None if there is no result for it."""
        ...

    def contains(self, url: str) -> bool:
        """Say whether there is a result for the URL."""
        ...

    def size(self) -> int:
        """Return how many pages have a result."""
        ...

    def page(self, cursor: int, limit: int) -> ResultPage:
        """Return up to `limit` results after `cursor` (0: from the start), in the order of their commit."""
        ...


class Results(Mapping[str, Any]):
    """A mapping from URL to value. For pages that crawlfleet's workers fetched, the value is a list of rows (dicts)."""

    def __init__(self, proxy: ReadsResults, session: Callable[[], FleetSession | None]) -> None:
        self._proxy = proxy
        self._session = session

    def __getitem__(self, url: str) -> Any:
        """Return the committed value of a URL; raise `KeyError` if there is none (yet)."""
        found = self._proxy.get(url)
        if found is None:
            raise KeyError(url)
        return found[0]

    def __setitem__(self, url: str, value: Any) -> None:
        """Stage the value of a URL that is held: `task_done` commits it.

        Later changes of the value have no effect. Raise `KeyError` if the URL is not held here, a `TypeError` that
        names a type that cannot be kept, `ValueError` for such a number, text or depth; both name the place.
        """
        session = self._session()
        held = session.held_by_url(session.urls.canonicalize(url) or url) if session is not None else None
        if held is None:
            raise KeyError(f"{url} is not held here: a value is set between get() and task_done()")
        held.stage(value)

    def __contains__(self, url: object) -> bool:
        return isinstance(url, str) and self._proxy.contains(url)

    def __len__(self) -> int:
        return self._proxy.size()

    def __iter__(self) -> Iterator[str]:
        """Yield the URLs in the order of their commit, including those committed during the iteration."""
        return (url for url, _ in self.pairs())

    def items(self) -> ItemsView[str, Any]:
        """Return a view that yields (URL, value): see `pairs`."""
        return _Items(self)

    def values(self) -> ValuesView[Any]:
        """Return a view that yields the values: see `pairs`."""
        return _Values(self)

    def pairs(self) -> Iterator[tuple[str, Any]]:
        """Yield (URL, value) in the order of their commit, a page of results at a time."""
        cursor = 0
        while (page := self._proxy.page(cursor, PAGE)).results:
            yield from page.results
            cursor = page.cursor


class _Items(ItemsView[str, Any]):
    """The standard view would ask for each value by itself."""

    _mapping: Results

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return self._mapping.pairs()


class _Values(ValuesView[Any]):
    """The standard view would ask for each value by itself."""

    _mapping: Results

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._mapping.pairs())
