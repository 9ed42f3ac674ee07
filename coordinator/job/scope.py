"""The sections of a job that say which URLs belong to the crawl, and which addresses are one page. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, model_validator

from crawlfleet.coordinator.core.policy import Budget, Extent
from crawlfleet.coordinator.job import values as job_values
from crawlfleet.coordinator.job.section import STRICT, Section, defaults, duration, fault, given, size, within
from crawlfleet.coordinator.job.seed_ranges import host_name
from crawlfleet.shared.brief import ScopeSpec, UrlSpec
from crawlfleet.shared.web import patterns as compiled
from crawlfleet.shared.web.url_policy import TRACKING
from crawlfleet.shared.web.urls import LONGEST_URL_CHARS, MAX_URL_CHARS

Pages = Annotated[int, within(1, 10**12)]
Size = Annotated[int, size("1KiB", "1000000GiB")]
Duration = Annotated[float, duration("1s", "8760h")]
Pattern = Annotated[str, AfterValidator(job_values.pattern)]
QueryName = Annotated[str, AfterValidator(job_values.query_name)]
PageName = Annotated[str, AfterValidator(job_values.page_name)]

_BUDGET = defaults(Budget)
_EXTENT = defaults(Extent)
_SCOPE = defaults(ScopeSpec)
_URLS = defaults(UrlSpec)


def _hosts(value: object) -> object:
    if isinstance(value, str) and value not in ("same", "subdomains", "any"):
        raise ValueError(f"{value!r} is not known: write same, subdomains, any, or a list such as [example.org]")
    return value if isinstance(value, str) else _HOST_NAMES.validate_python(value)


_HOST_NAMES: TypeAdapter[tuple[str, ...]] = TypeAdapter(
    tuple[Annotated[str, AfterValidator(host_name)], ...], config=STRICT
)


def _together(patterns: tuple[str, ...]) -> tuple[str, ...]:
    compiled.Patterns(patterns)
    return patterns


#: Patterns of which a URL has to match one; none of them means all.
Patterns = Annotated[tuple[Pattern, ...], AfterValidator(_together)]


class HostBudget(Section):
    """How much of one host belongs to the crawl. None means no limit."""

    pages: Annotated[Pages | None, BeforeValidator(given)] = _BUDGET.pages
    size_bytes: Annotated[Size | None, BeforeValidator(given)] = Field(default=_BUDGET.size_bytes, alias="bytes")
    time_s: Annotated[Duration | None, BeforeValidator(given)] = _BUDGET.time_s


class ScopeRules(Section):
    """Which addresses belong to the crawl. None means no limit."""

    hosts: Annotated[Literal["same", "subdomains", "any"] | tuple[str, ...], BeforeValidator(_hosts)] = "same"
    include: Patterns = _SCOPE.include
    exclude: Patterns = _SCOPE.exclude
    depth: Annotated[Annotated[int, within(0, 10_000)] | None, BeforeValidator(given)] = _EXTENT.depth
    pages: Annotated[Pages | None, BeforeValidator(given)] = _EXTENT.pages
    size_bytes: Annotated[Size | None, BeforeValidator(given)] = Field(default=_EXTENT.size_bytes, alias="bytes")
    time_s: Annotated[Duration | None, BeforeValidator(given)] = _EXTENT.time_s
    per_host: HostBudget = HostBudget()
    sitemaps: bool = _EXTENT.sitemaps

    @model_validator(mode="after")
    def _any_host_within_a_budget(self) -> ScopeRules:
        """Refuse a crawl without an end. Budgets of each host do not bound it: there is always another host."""
        if self.hosts == "any" and self.pages is None and self.size_bytes is None and self.time_s is None:
            text = "'any' has no end without a budget for the whole crawl: write one beside it, such as pages: 100000"
            raise fault(("hosts",), f"{text}, bytes: 10GiB or time: 8h")
        return self

    @property
    def grows(self) -> bool:
        """Whether a host that a seed redirects to joins the scope."""
        return self.hosts == "same"


class TrapRules(Section):
    """When a site is taken for a trap. The defaults stand here: those of `TrapLimits` mean that nothing is."""

    url_length: Annotated[int, within(100, LONGEST_URL_CHARS)] = MAX_URL_CHARS
    repetition: Annotated[int, within(1, 60)] = 3
    query_variants: Annotated[int, within(1, 10**9)] = 100_000
    calendar: Annotated[int, within(1, 10**9)] = 10_000
    sessions: Annotated[int, within(1, 10**9)] = 10_000
    subdomains: Annotated[int, within(1, 10**9)] = 1_000


class PriorityRule(Section):
    """How early pages are granted whose path and query match. Others have priority 0."""

    match: Pattern
    priority: Annotated[int, within(-1_000, 1_000)]


class UrlRules(Section):
    """Which addresses are one page."""

    drop_query: tuple[QueryName, ...] = _URLS.drop_query
    drop_tracking: bool = False
    sort_query: bool = _URLS.sort_query
    strip_session_ids: bool = _URLS.strip_session_ids
    index_pages: tuple[PageName, ...] = _URLS.index_pages

    @property
    def dropped(self) -> tuple[str, ...]:
        """All query parameters that are left out of addresses."""
        return (*self.drop_query, *(TRACKING if self.drop_tracking else ()))
