"""Whose turn it is when hosts share the parse threads: the host whose pages have cost the least.

Each host has a clock of its own, which its pages advance by what they cost (`shared.page_cost`). The host with the
earliest clock is next. One that comes, or comes back, begins at the clock of the host that was served last: it neither
waits for what it did earlier, nor has time saved up. So hosts that always have pages get equal parts of the time, not
equal numbers of pages. What a page costs is known when it has been read; until then it counts as what the last ones
did, here or, for the first one, elsewhere. Not thread-safe: the queue of pages has a lock.
"""

from __future__ import annotations

# What a page of an unknown host counts as, and how much of the average the newest page is.
USUAL_S = 0.001
NEWEST_SHARE = 0.25
MOST_HOSTS = 10_000


class Turns:
    """The clocks of hosts."""

    def __init__(self) -> None:
        self._clocks: dict[str, float] = {}
        self._typical_s: dict[str, float] = {}
        self._served = 0.0

    def clock(self, host: str) -> float:
        """Return the clock of a host: the earliest is next."""
        return self._clocks.get(host, self._served)

    def typical_s(self, host: str) -> float:
        """Return what pages of a host typically cost."""
        return self._typical_s.get(host, USUAL_S)

    def come(self, host: str, told_s: float = 0.0) -> None:
        """Note that a host without a waiting page has one now; `told_s` is what its pages cost elsewhere, if not 0."""
        if told_s:
            self._typical_s.setdefault(host, told_s)
        self._clocks[host] = max(self.clock(host), self._served)

    def take(self, host: str) -> None:
        """Note that a page of a host is about to be read."""
        self._served = max(self._served, self.clock(host))
        self._clocks[host] = self.clock(host) + self.typical_s(host)
        if len(self._clocks) > MOST_HOSTS:
            self._forget()

    def note(self, host: str, cost_s: float) -> None:
        """Note what a page cost that has been read."""
        typical_s = self.typical_s(host)
        self._typical_s[host] = typical_s + NEWEST_SHARE * (cost_s - typical_s)
        self._clocks[host] = self.clock(host) + cost_s - typical_s

    def _forget(self) -> None:
        """Forget the hosts that would begin anew all the same."""
        self._clocks = {host: clock for host, clock in self._clocks.items() if clock > self._served}
        self._typical_s = {host: typical_s for host, typical_s in self._typical_s.items() if host in self._clocks}
