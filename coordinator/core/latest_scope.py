"""The scope of a crawl: that of its job, and the hosts that joined it."""

from __future__ import annotations

import msgspec

from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.reasons import Refusal
from crawlfleet.shared.web.scope import Scope


class _LatestScope:
    """Caches the latest scope by the identity of its parts: they may name too many hosts to hash for each link."""

    def __init__(self) -> None:
        self._parts: tuple[ScopeSpec | None, tuple[str, ...]] = (None, ())
        self._scope = Scope(ScopeSpec())

    def of(self, spec: ScopeSpec, joined: tuple[str, ...]) -> Scope:
        """Return the scope of a job with the hosts that joined it."""
        known = self._parts
        if known[0] is not spec or known[1] is not joined:
            hosts = tuple(dict.fromkeys((*spec.hosts, *joined)))
            self._scope = Scope(msgspec.structs.replace(spec, hosts=hosts))
            self._parts = (spec, joined)
        return self._scope


scope_of = _LatestScope().of


def refusal_in(turn: Turn, url: str, seed_line: int = 0) -> Refusal:
    """Return the rule of the latest scope that refuses a canonical URL, to which a line of a seeds file may lead."""
    any_host = bool(seed_line) and turn.policy.extent.listed_hosts
    return scope_of(turn.policy.scope, turn.ledger.scope_hosts).refuses(url, any_host=any_host)
