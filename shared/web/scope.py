"""Which canonical URLs belong to a crawl.

A URL is in scope if its host is one of `hosts` (or below one, with `subdomains`; or whatever it is, with `any_host`),
and its path and query match one of the `include` patterns (if there are any) and none of the `exclude` patterns: see
`shared.web.patterns`. What is out of scope, but not excluded, is *external*.
"""

from __future__ import annotations

from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.reasons import Reason, Refusal
from crawlfleet.shared.web.patterns import Patterns
from crawlfleet.shared.web.urls import LONGEST_URL_CHARS, parts


class Scope:
    """A scope, compiled to judge many URLs."""

    def __init__(self, spec: ScopeSpec) -> None:
        self.spec = spec
        self._hosts = frozenset(spec.hosts)
        # Of how many labels they are: no name is looked at in more parts, however many it has.
        self._labels = sorted({host.count(".") + 1 for host in spec.hosts})
        self._include = Patterns(spec.include)
        self._exclude = Patterns(spec.exclude)

    @property
    def is_of_hosts_alone(self) -> bool:
        """Whether only the host (and the length) of a URL decides."""
        return not (self._include or self._exclude)

    def refuses(self, url: str, *, any_host: bool = False) -> Refusal:
        """Name the rule that refuses a canonical URL: `host`, `include`, `exclude`, `length`; empty if none does.

        With `any_host` its host does not matter.
        """
        if len(url) > LONGEST_URL_CHARS:
            return Reason.LENGTH
        _, host, path = parts(url)
        if not (any_host or self.has_host(host)):
            return Reason.HOST
        if self._include and not self._include.match(path):
            return Reason.INCLUDE
        return Reason.EXCLUDE if self.excludes(url) else ""

    def is_external(self, url: str) -> bool:
        """Say whether a canonical URL is out of scope because of its host or `include`, and nothing excludes it."""
        return self.refuses(url) in (Reason.HOST, Reason.INCLUDE) and not self.excludes(url)

    def excludes(self, url: str) -> bool:
        """Say whether `exclude` matches a canonical URL, whatever its host."""
        return bool(self._exclude) and self._exclude.match(parts(url).path)

    def has_host(self, host: str) -> bool:
        """Say whether a host belongs to the crawl."""
        return host in self._hosts or self.spec.any_host or (self.spec.subdomains and self._is_below(host))

    def _is_below(self, host: str) -> bool:
        _, *labels = host.rsplit(".", self._labels[-1]) if self._labels else ("",)
        return any(".".join(labels[-number:]) in self._hosts for number in self._labels if number <= len(labels))
