"""A session with the coordinator, put together: the one place that does it, for a worker, a user's program and tests.

Owns which part gets which other part. What a session does is `worker.talk.client`'s.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from crawlfleet.shared.messages import Hello, Welcome
from crawlfleet.worker.agenda import Agenda
from crawlfleet.worker.talk.line import Coordinator, Line
from crawlfleet.worker.talk.orders import Orders
from crawlfleet.worker.talk.outbox import Bell, Outbox
from crawlfleet.worker.talk.outstanding import MAX_SENT_LINKS, Outstanding, SentLinks


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """In what sessions differ.

    Exchanges are at most `heartbeat_s` apart, or a third of the lease time; a coordinator that is away for longer than
    `patience_s` is given up. A `batch` of reports leaves at once. `sent_links` are remembered, so that they are not
    sent again. For `quiet_s` nothing is logged while nobody answers, as another worker of this machine logs it.
    """

    heartbeat_s: float = math.inf
    patience_s: float = math.inf
    batch: int = 64
    sent_links: int = MAX_SENT_LINKS
    quiet_s: float = 0.0


class Session:
    """The parts of one session. The control thread uses all of them; which of them others may use, each part says."""

    def __init__(
        self,
        dial: Callable[[], Coordinator],
        hello: Hello,
        options: SessionOptions = SessionOptions(),  # a frozen value
        *,
        clock: Callable[[], float] = time.monotonic,
        bell: Bell | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`clock`, `bell` (what the control thread sleeps in) and `chance` are given where time is simulated."""
        self.options = options
        self.clock = clock
        self.outbox = Outbox(clock, options.batch, bell)
        self.orders = Orders(self.outbox.ring)
        self.agenda = Agenda(clock, on_low=self.outbox.ring)
        self.outstanding = Outstanding(hello.session, SentLinks(options.sent_links))
        self.line = Line(dial, hello, wait=self.outbox.wait, clock=clock, chance=chance, quiet_s=options.quiet_s)

    def join(self) -> Welcome | None:
        """Say hello until a coordinator answers; None if a drain is asked for, or patience ends, before one does."""
        give_up_at = self.clock() + self.options.patience_s
        return self.line.open(lambda: not self.orders.draining and self.clock() < give_up_at)
