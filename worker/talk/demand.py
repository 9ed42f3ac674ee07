"""How many tasks a session asks for. Pure: what it holds goes in, a number comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

BEHIND_S = 0.25


class Demand(Protocol):
    """Says how many more tasks to ask for, and below how many startable ones to ask."""

    @property
    def low_mark(self) -> int: ...
    def want(self, held: int, deferred: int, behind_s: float, /) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchDemand:
    """The demand of a worker: `base` tasks that may start at once, `most` with those of spaced hosts.

    A thousand hosts that are asked once a second, with starts granted for two seconds, are three thousand tasks. A
    worker that is behind with its starts leaves what is more than `when_behind` to others. It asks again when fewer
    than `low_mark` are left that may start at once.
    """

    base: int
    most: int = 4096
    when_behind: int = 512
    low_mark: int

    @classmethod
    def for_fetches(cls, fetches: int) -> FetchDemand:
        """For so many fetches at once: four tasks for each, two if they are many; ask again before they run out."""
        if fetches <= 64:
            return cls(base=4 * fetches, low_mark=fetches)
        return cls(base=2 * fetches, low_mark=fetches // 2, when_behind=max(512, 2 * fetches))

    def want(self, held: int, deferred: int, behind_s: float = 0.0) -> int:
        """How many more to ask for, with `held` unsettled, `deferred` of them waiting for a host's time, and the first
        of those that may start waiting for a thread since `behind_s`."""
        most = self.most if behind_s < BEHIND_S else self.when_behind
        return max(0, min(self.base - (held - deferred), most - held))
