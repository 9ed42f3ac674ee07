"""Assembles a session, which `worker.talk.client` runs: the only place that does, for workers, programs and tests."""

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
    """The options of a session.

    Exchanges are at most `heartbeat_s` apart, or a third of the lease time. A coordinator that is away for longer than
    `patience_s` is given up. A `batch` of reports is sent at once. Up to `sent_links` links are remembered, so that
    they are not sent again. For `quiet_s` an absent coordinator is not logged: another worker of the machine logs it.
    """

    heartbeat_s: float = math.inf
    patience_s: float = math.inf
    batch: int = 64
    sent_links: int = MAX_SENT_LINKS
    quiet_s: float = 0.0


class Session:
    """The parts of one session. The control thread uses all of them; each part says what other threads may call."""

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
        """`clock`, `bell` (in which the control thread sleeps) and `chance` are parameters for simulations."""
        self.options = options
        self.clock = clock
        self.outbox = Outbox(clock, options.batch, bell)
        self.orders = Orders(self.outbox.ring)
        self.agenda = Agenda(clock, on_low=self.outbox.ring)
        self.outstanding = Outstanding(hello.session, SentLinks(options.sent_links))
        self.line = Line(dial, hello, wait=self.outbox.wait, clock=clock, chance=chance, quiet_s=options.quiet_s)

    def join(self) -> Welcome | None:
        """Say hello until a coordinator answers; None if a drain is requested or patience ends before."""
        give_up_at = self.clock() + self.options.patience_s
        return self.line.open(lambda: not self.orders.draining and self.clock() < give_up_at)
