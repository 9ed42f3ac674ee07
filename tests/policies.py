"""Policies for tests: their values by name alone, whichever section they lie in."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from crawlfleet.coordinator.core.policy import Policy, Politeness
from crawlfleet.shared.brief import ScopeSpec

SECTIONS = ("politeness", "extent", "fetch", "tuning")


def make_policy(scope: ScopeSpec, user_agent: str = "bot", **values: Any) -> Policy:
    """Return the policy of a job that leaves all else at its default."""
    return policy_with(Policy(scope=scope, politeness=Politeness(user_agent=user_agent)), **values)


def policy_with(policy: Policy, *, host_budget: object = None, **values: Any) -> Policy:
    """Return a policy with some other values; `host_budget` is the extent's `per_host`."""
    for name in SECTIONS:
        section = getattr(policy, name)
        own = {field: values.pop(field) for field in section.__struct_fields__ if field in values}
        policy = replace(policy, **{name: replace(section, **own)})
    if host_budget is not None:
        policy = replace(policy, extent=replace(policy.extent, per_host=host_budget))
    return replace(policy, **values)
