"""Counts the numbers for users from a store, so that they survive restarts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from crawlfleet.coordinator.conduct.causes import (
    BROKEN,
    SITEMAP,
    UNCHECKED,
    Causes,
    Verdicts,
    told,
    told_of_checks,
)
from crawlfleet.coordinator.conduct.tallies import Tallies
from crawlfleet.coordinator.core import costs
from crawlfleet.coordinator.core.figures import ShortMaps
from crawlfleet.coordinator.core.rows import FINAL, LedgerRow, TaskState
from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.shared.messages import Kind, Outcome
from crawlfleet.shared.ranges import MOST_AMOUNT
from crawlfleet.shared.reasons import SILENT, bare, meaning_of
from crawlfleet.shared.status import Cause, CostlyHost, Numbers


def count(
    store: Store,
    *,
    job: str,
    elapsed_s: float,
    robots_wait_s: float,
    rows_rejected: int = 0,
    rules: Collection[str] = (),
) -> Numbers:
    """Return the numbers of a store now; `rules` are the names of the job's items."""
    verdicts, checks, ledger = store.verdicts(), store.verdicts(Kind.CHECK), store.ledger()
    causes = Causes(store).tell(verdicts, checks, ledger)
    states = dict.fromkeys(TaskState, 0)
    for (state, _), number in verdicts.items():
        states[state] += number
    return Numbers(
        job=job,
        elapsed_s=round(elapsed_s, 3),
        discovered=sum(states.values()),
        pending=states[TaskState.PENDING],
        leased=states[TaskState.LEASED],
        unfinished=states[TaskState.PENDING] + states[TaskState.LEASED],
        done=states[TaskState.DONE],
        failed=states[TaskState.FAILED],
        dropped=states[TaskState.DROPPED],
        redirected=verdicts.get((TaskState.DONE, Outcome.REDIRECTED.value), 0),
        items=Tallies(store).tell(rules, ledger.rows),
        rows_rejected=rows_rejected,
        reasons=_reasons(verdicts),
        causes=causes,
        robots_wait_s=robots_wait_s,
        **_of_checks(checks),
        **_of_short_maps(ledger.short_maps, [each for each in causes if each.ended == SITEMAP]),
        **_of_ledger(ledger),
    )


def _of_ledger(ledger: LedgerRow) -> dict[str, Any]:
    """Return the numbers that the crawl counts itself."""
    waits = ledger.robots_waits
    return {
        "fetched": ledger.pages_fetched,
        "rows": ledger.rows,
        "full_hosts": ledger.full.hosts,
        "full_hosts_named": ledger.full.named,
        "links_not_admitted": ledger.full.links,
        "capped_pages": ledger.left_out.pages,
        "links_left_out": ledger.left_out.links,
        "rows_left_out": ledger.left_out.rows,
        "noted": ledger.noted,
        "costly_hosts": tuple(_as_message(each) for each in costs.outstanding(ledger)),
        "retries": ledger.retries,
        "retried": ledger.retried,
        "leases_lost": ledger.leases_lost,
        "robots_waiting": waits.waiting,
        "robots_waiting_for": _origins(waits.waiting_for),
        "robots_given_up": waits.given_up,
        "robots_given_up_on": _origins(waits.given_up_on),
    }


def _of_checks(verdicts: Verdicts) -> dict[str, Any]:
    """Return the numbers of external links."""
    all_of = sum(verdicts.values())
    waiting = sum(number for (state, _), number in verdicts.items() if state not in FINAL)
    ends = dict.fromkeys((BROKEN, UNCHECKED), 0)
    for end, _, number in told_of_checks(verdicts):
        ends[end] += number
    return {
        "external_checked": all_of - waiting - ends[UNCHECKED],
        "external_broken": ends[BROKEN],
        "external_unchecked": ends[UNCHECKED],
        "external_waiting": waiting,
    }


def _of_short_maps(short: ShortMaps, lost: Sequence[Cause]) -> dict[str, Any]:
    """Return the numbers of sitemaps of which not all was used. Those that are lost are told as causes."""
    reasons = {each.reason for each in lost}
    named = tuple((url, why) for url, why in short.named if why.partition(": ")[0] not in reasons)
    number = max(len(named), short.number - sum(each.number for each in lost))
    return {"sitemaps_short": number, "sitemaps_short_named": _named(named)}


def _reasons(verdicts: Verdicts) -> dict[str, int]:
    """Return how many pages have each reason, however they ended."""
    reasons: dict[str, int] = {}
    for _, reason, number in told(verdicts):
        reasons[reason] = reasons.get(reason, 0) + number
    return reasons


def last_s(store: Store, now: float) -> float | None:
    """Return in how long those are given up that wait for a robots.txt; None unless nothing else is left."""
    until = store.ledger().robots_waits.last_until
    return None if until is None else max(0.0, until - now)


def is_unanswered(store: Store) -> bool:
    """Say whether all attempts so far have failed because neither a name server nor a host has answered."""
    retried = store.ledger().retried
    return bool(retried) and retried.keys() <= SILENT and all(state not in FINAL for state, _ in store.verdicts())


def _as_message(found: costs.Outstanding) -> CostlyHost:
    return CostlyHost(host=found.host, kind=found.kind, amount=min(found.amount, MOST_AMOUNT), part=found.part)


def _named(origins: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(f"{origin} ({why})" if why else origin for origin, why in origins)


def _origins(origins: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Return origins with the reason of each and its sentence."""
    return _named(tuple((origin, why and f"{why}: {meaning_of(bare(why)).rstrip('.')}") for origin, why in origins))
