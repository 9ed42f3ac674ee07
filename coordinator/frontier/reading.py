"""Reading facts through the port in batches, before a rule asks for them."""

from __future__ import annotations

from collections.abc import Iterable

from coordinator.core.facts import Facts
from coordinator.frontier.port import Store
from shared.urls import parts


def read_tasks(facts: Facts, store: Store, refs: Iterable[bytes]) -> None:
    """Read the tasks that these facts do not show yet."""
    wanted = set(refs) - facts.tasks.keys()
    if wanted:
        facts.tasks |= dict.fromkeys(wanted) | store.tasks(wanted)


def read_leases(facts: Facts, store: Store, ids: Iterable[int]) -> None:
    """Read the leases that these facts do not show yet."""
    wanted = set(ids) - facts.leases.keys()
    if wanted:
        facts.leases |= dict.fromkeys(wanted) | store.leases(wanted)


def read_hosts(facts: Facts, store: Store, keys: Iterable[str]) -> None:
    """Read the hosts that these facts do not show yet."""
    wanted = set(keys) - facts.hosts.keys()
    if wanted:
        facts.hosts |= dict.fromkeys(wanted) | store.hosts(wanted)


def read_origins(facts: Facts, store: Store, origins: Iterable[str]) -> None:
    """Read the origins that these facts do not show yet, and their hosts."""
    wanted = set(origins) - facts.origins.keys()
    if wanted:
        found = store.origins(wanted)
        facts.origins |= dict.fromkeys(wanted) | found
        read_hosts(facts, store, (origin.host for origin in found.values()))


def read_addresses(facts: Facts, store: Store, urls: Iterable[str]) -> None:
    """Read hosts and origins of canonical URLs."""
    addresses = {parts(url)[:2] for url in urls}
    read_origins(facts, store, (origin for origin, _ in addresses))
    read_hosts(facts, store, (host for _, host in addresses))
