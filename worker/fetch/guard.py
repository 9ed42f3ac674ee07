"""The guard: which addresses a connection may lead to. Every engine asks it after the look-up, before it connects.

Public addresses are anybody's. Of the others, a connection may lead to those that the job opens and, for the task's own
origin, to those that the coordinator allows (see `coordinator.core.reach`). It opens no socket and looks no name up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple

from msgspec.structs import replace

from crawlfleet.shared.messages import Outcome
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.addresses import Nets, Reach, reach_of
from crawlfleet.shared.web.urls import host_key
from crawlfleet.shared.web.urls import origin as origin_of
from crawlfleet.worker.fetch.names import Names
from crawlfleet.worker.fetch.port import Fetched, Name, Wanted, host_of, unresolved

_KINDS = {
    Reach.PRIVATE: "a private address",
    Reach.METADATA: "the address of a metadata service",
    Reach.NEVER: "no address of a server",
}


class Passage(NamedTuple):
    """Where an exchange may lead: to what is open, by `nets`, and for its `origin` to the addresses `inside`, packed.

    `first_addresses` are told in its report: see `Report`.
    """

    nets: Nets
    origin: str = ""
    inside: frozenset[bytes] = frozenset()
    first_addresses: tuple[str, ...] | None = None

    @classmethod
    def of(cls, nets: Nets, url: str, wanted: Wanted, addresses: Sequence[str]) -> Passage:
        """Return where the exchange for a URL may lead, if its host has these addresses."""
        if not wanted.first:
            return cls(nets, origin_of(url), frozenset(map(_packed, wanted.inside))) if wanted.inside else cls(nets)
        first = tuple(addresses) if all(reach_of(each) is Reach.PRIVATE for each in addresses) else ()
        return cls(nets, origin_of(url), frozenset(map(_packed, first)), first)

    def refusal(self, origin: str, address: str) -> str:
        """Return why a connection for an origin must not lead to an address; empty if it may."""
        reach = reach_of(address)
        if reach is Reach.PUBLIC:
            return ""
        if reach is Reach.PRIVATE and origin == self.origin and _packed(address) in self.inside:
            return ""
        host = host_key(f"{origin}/")
        if self.nets.covers(host, address):
            return ""
        kind = _KINDS[reach]
        return f"{address} is {kind}" if host in (address, f"[{address}]") else f"{host} is at {address}, {kind}"

    def open_ones(self, origin: str, addresses: Sequence[str]) -> tuple[tuple[str, ...], str]:
        """Return the addresses to which a connection for an origin may lead and, if there are none, why."""
        refusals = [self.refusal(origin, address) for address in addresses]
        found = tuple(address for address, refusal in zip(addresses, refusals, strict=True) if not refusal)
        return found, "" if found or not refusals else refusals[0]


class KeptOut(OSError):
    """A connection must not lead to an address."""


class Unresolved(OSError):
    """The name of a host has no address."""

    def __init__(self, name: Name) -> None:
        super().__init__(name.detail)
        self.reason = name.reason


class Guard:
    """The guard of an engine that makes one exchange at a time, and connects itself.

    Between exchanges of tasks, a hook may make its own: they lead to nothing but what is open, or was connected to.
    """

    def __init__(self, names: Names, nets: Nets) -> None:
        self._names = names
        self._open = self._passage = Passage(nets)

    def lead(self, url: str, wanted: Wanted, fetch: Callable[[str, Wanted], Fetched]) -> Fetched:
        """Make the exchange of a task, if there is an address to which it may lead."""
        name = self._names.resolve(host_of(url))
        if name.reason:
            return unresolved(url, name)
        passage = Passage.of(self._open.nets, url, wanted, name.addresses)
        _, refusal = passage.open_ones(origin_of(url), name.addresses)
        if refusal:
            return kept_out(url, refusal, passage)
        self._passage = passage
        try:
            fetched = fetch(url, wanted)
        finally:
            self._passage = self._open
        return fetched if passage.first_addresses is None else replace(fetched, first_addresses=passage.first_addresses)

    def addresses(self, origin: str) -> Sequence[str]:
        """Return the addresses to which a connection for an origin may lead; raise `Unresolved` or `KeptOut`."""
        name = self._names.resolve(host_of(f"{origin}/"))
        if name.reason:
            raise Unresolved(name)
        found, refusal = self._passage.open_ones(origin, name.addresses)
        if refusal:
            raise KeptOut(refusal)
        return found


def kept_out(url: str, why: str, passage: Passage) -> Fetched:
    """Return how an exchange ends that the guard refuses."""
    return Fetched(
        url=url,
        failure=Outcome.DENIED,
        reason=Reason.PRIVATE_ADDRESS,
        detail=why,
        first_addresses=passage.first_addresses,
    )


@lru_cache(maxsize=8192)
def _packed(address: str) -> bytes:
    return ip_address(address.partition("%")[0]).packed
