"""The header fields of a job's requests: those for all hosts, and those that some origins alone get."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from crawlfleet.shared.brief import FetchSpec
from crawlfleet.shared.web.origins import fits
from crawlfleet.worker.fetch.port import request_headers

Form = TypeVar("Form")


class RequestFields(Generic[Form]):
    """The header fields of requests, in the form that an engine takes: the same object for the same fields."""

    def __init__(self, spec: FetchSpec, form: Callable[[Mapping[str, str]], Form]) -> None:
        self._spec = spec
        self._form = form
        self._bare = form(request_headers(spec, bare=True))
        self._common = form(request_headers(spec))
        self._made: dict[tuple[int, ...], Form] = {(): self._common}
        # A secret for all listed seeds may have a hundred thousand origins: only patterns are compared one by one.
        self._exact = [frozenset(site.origins) for site in spec.sites]
        self._patterns = [tuple(each for each in site.origins if "*" in each) for site in spec.sites]

    def of(self, url: str, *, bare: bool) -> Form:
        """Return the fields for a canonical URL; of a `bare` request, those that have nothing of the job."""
        if bare:
            return self._bare
        if not self._exact:
            return self._common
        origin = url[: url.index("/", 8)]
        chosen = tuple(index for index in range(len(self._exact)) if self._has(index, origin))
        if chosen not in self._made:
            own = [field for index in chosen for field in self._spec.sites[index].headers]
            self._made[chosen] = self._form(request_headers(self._spec, own=own))
        return self._made[chosen]

    def _has(self, index: int, origin: str) -> bool:
        return origin in self._exact[index] or any(fits(origin, pattern) for pattern in self._patterns[index])
