"""How many tasks a session asks for: a pure function of what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

BEHIND_S = 0.25


class Demand(Protocol):
    """Says how many more tasks to ask for, and when: once fewer than `low_mark` may start."""

    @property
    def low_mark(self) -> int: ...
    def want(self, held: int, deferred: int, behind_s: float, /) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchDemand:
    """The demand of a worker: `base` tasks that may start at once, and up to `most` including those of spaced hosts.

    A thousand hosts with a delay of a second, and starts granted for two seconds, are three thousand tasks. A worker
    that is behind with its starts holds no more than `when_behind`, and leaves the rest to others. It asks again when
    fewer than `low_mark` tasks that may start at once are left.
    """

    base: int
    most: int = 4096
    when_behind: int = 512
    low_mark: int

    @classmethod
    def for_fetches(cls, fetches: int) -> FetchDemand:
        """Return the demand for `fetches` at once: four tasks each, two if many; it asks again before they run out."""
        if fetches <= 64:
            return cls(base=4 * fetches, low_mark=fetches)
        return cls(base=2 * fetches, low_mark=fetches // 2, when_behind=max(512, 2 * fetches))

    def want(self, held: int, deferred: int, behind_s: float = 0.0) -> int:
        """Return how many more tasks to ask for.

        `held` tasks are unsettled, and `deferred` of them wait for a host's time. The first of the others has been
        waiting for a thread for `behind_s`.
        """
        most = self.most if behind_s < BEHIND_S else self.when_behind
        return max(0, min(self.base - (held - deferred), most - held))
