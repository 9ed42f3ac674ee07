"""Reading facts through the port in batches, before a rule asks for them."""

from __future__ import annotations

from collections.abc import Iterable

from crawlfleet.coordinator.core.facts import Facts
from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.units import key_of_name
from crawlfleet.coordinator.frontier.port import Store
from crawlfleet.shared.web.urls import parts


def read_tasks(facts: Facts, store: Store, refs: Iterable[bytes]) -> None:
    """Read the tasks that these facts do not show yet."""
    wanted = set(refs) - facts.tasks.keys()
    if wanted:
        facts.tasks |= dict.fromkeys(wanted) | store.tasks(wanted)


def read_depths(facts: Facts, store: Store, refs: Iterable[bytes]) -> None:
    """Read how deep tasks are that these facts do not tell of yet."""
    wanted = set(refs) - facts.depths.keys()
    if wanted:
        facts.depths |= dict.fromkeys(wanted) | store.depths(wanted)


def read_leases(facts: Facts, store: Store, ids: Iterable[int]) -> None:
    """Read the leases that these facts do not show yet."""
    wanted = set(ids) - facts.leases.keys()
    if wanted:
        facts.leases |= dict.fromkeys(wanted) | store.leases(wanted)


def read_hosts(facts: Facts, store: Store, keys: Iterable[str]) -> None:
    """Read the hosts that these facts do not show yet, and the units that they joined."""
    wanted = set(keys) - facts.hosts.keys()
    while wanted:
        found = store.hosts(wanted)
        facts.hosts |= dict.fromkeys(wanted) | found
        wanted = {row.unit for row in found.values() if row.unit} - facts.hosts.keys()


def read_origins(facts: Facts, store: Store, origins: Iterable[str]) -> None:
    """Read the origins that these facts do not show yet, and their hosts."""
    wanted = set(origins) - facts.origins.keys()
    if wanted:
        found = store.origins(wanted)
        facts.origins |= dict.fromkeys(wanted) | found
        read_hosts(facts, store, (origin.host for origin in found.values()))


def read_traps(facts: Facts, store: Store, keys: Iterable[str]) -> None:
    """Read the counts that these facts do not show yet."""
    wanted = set(keys) - facts.traps.keys()
    if wanted:
        facts.traps |= dict.fromkeys(wanted) | store.traps(wanted)


def read_judged(facts: Facts, store: Store, origins: Iterable[str]) -> None:
    """Read origins whose robots.txt is judged, and all the origins of their hosts: together they set a host's delay."""
    wanted = tuple(origins)
    read_origins(facts, store, wanted)
    rows = [facts.origins[origin] for origin in wanted]
    read_siblings(facts, store, [row.host for row in rows if row is not None])


def read_siblings(facts: Facts, store: Store, keys: Iterable[str]) -> None:
    """Read all origins of hosts that are in these facts, if they are known at all."""
    hosts = [facts.host(key) for key in keys if facts.hosts.get(key) is not None]
    read_origins(facts, store, [origin for host in hosts for origin in host.origins])


def read_addresses(facts: Facts, store: Store, urls: Iterable[str], policy: Policy) -> None:
    """Read hosts and origins of canonical URLs, and the units that new hosts will join."""
    for url in urls:
        origin, host, _ = parts(url)
        if origin not in facts.origins:
            read_origins(facts, store, [origin])
        if host not in facts.hosts:
            read_hosts(facts, store, [host, key_of_name(host, policy)])
