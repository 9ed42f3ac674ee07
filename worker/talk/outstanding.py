"""What is outstanding between a session and the coordinator: held, unacked, or unsent.

It owns the leases with unsettled tasks, the reports that are not acked yet (kept, and resent unchanged until they are),
the unsent starts and releases, and the links that need not be sent again. It is pure: no clock, no thread, no
connection; `worker.talk.client` drives it from one thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from crawlfleet.shared.messages import Ack, AckState, ExchangeAnswer, ExchangeRequest, Lease, Outcome, Report, TaskKey
from crawlfleet.shared.web.urls import page_fingerprint
from crawlfleet.worker.talk.outbox import Delivery

MAX_REQUEST_BYTES = 4 * 1024 * 1024
MAX_SENT_LINKS = 250_000
MAX_SENT_CHARS = 512


class SentLinks:
    """Links in acked reports, with the smallest depth at which they were sent, and their fingerprints.

    To leave them out of later reports only saves time. So when the bound is reached all are forgotten, and very long
    links are not remembered.
    """

    def __init__(self, limit: int = MAX_SENT_LINKS) -> None:
        self._limit = limit
        # Fingerprints and depths are separate: depths are checked only where one may be too large.
        self._refs: dict[str, bytes] = {}
        self._depths: dict[str, int] = {}
        self._deepest = 0

    def split(self, links: tuple[str, ...], depth: int) -> tuple[tuple[str, ...], bytes]:
        """Return the links not yet sent at this depth or a smaller one, and the joined fingerprints of the others."""
        refs, depths, any_depth = self._refs, self._depths, self._deepest <= depth
        unsent, known = [], []
        for link in links:
            ref = refs.get(link)
            if ref is not None and (any_depth or depths[link] <= depth):
                known.append(ref)
            else:
                unsent.append(link)
        return tuple(unsent), b"".join(known)

    def learn(self, links: tuple[str, ...], depth: int) -> None:
        """Remember links of a report that was acked OK."""
        if len(self._refs) + len(links) > self._limit:
            self.forget()
        self._deepest = max(self._deepest, depth)
        for link in links[: self._limit]:
            if len(link) > MAX_SENT_CHARS:
                continue
            if link not in self._refs:
                self._refs[link] = page_fingerprint(link)
                self._depths[link] = depth
            elif self._depths[link] > depth:
                self._depths[link] = depth

    def forget(self) -> None:
        """Forget all links: another incarnation of the coordinator may not know what was sent to the last one."""
        self._refs.clear()
        self._depths.clear()
        self._deepest = 0


@dataclass(slots=True)
class _Held:
    """A lease: its unsettled tasks, and those that were dropped here before they started."""

    open: set[bytes]
    dropped: set[bytes] = field(default_factory=set)


class Outstanding:
    """The session's side of each exchange. Call `compose`, send, then `settle` with the answer."""

    def __init__(self, session: str, sent_links: SentLinks) -> None:
        self._session = session
        self._sent_links = sent_links
        self._held: dict[int, _Held] = {}
        self._unacked: dict[TaskKey, Delivery] = {}
        self._started: dict[TaskKey, None] = {}
        self._released: dict[int, None] = {}
        self._alone: dict[TaskKey, None] = {}

    @property
    def open_tasks(self) -> int:
        """How many tasks of held leases are unsettled."""
        return sum(len(held.open) for held in self._held.values())

    @property
    def unacked(self) -> int:
        """How many reports wait to be sent or resent."""
        return len(self._unacked)

    @property
    def has_news(self) -> bool:
        """Whether a start or a release is unsent."""
        return bool(self._started or self._released)

    @property
    def is_clear(self) -> bool:
        """Whether nothing is held, and nothing is left to send."""
        return not (self._held or self._unacked or self._released)

    def hold(self, leases: Iterable[Lease]) -> None:
        """Add new leases."""
        for lease in leases:
            self._held[lease.id] = _Held({task.ref for task in lease.tasks})

    def deliver(self, deliveries: Iterable[Delivery]) -> None:
        """Add reports, without the links that need not be sent again."""
        for delivery in deliveries:
            report, key = delivery.report, delivery.attempt.key
            outlinks, known = self._sent_links.split(report.outlinks, delivery.attempt.task.depth + 1)
            self._started.pop(key, None)
            self._unacked[key] = (
                replace(delivery, report=replace(report, outlinks=outlinks, known=known)) if known else delivery
            )

    def start(self, keys: Iterable[TaskKey]) -> None:
        """Record tasks that started; a report implies the start of its own task."""
        self._started.update((key, None) for key in keys if key not in self._unacked)

    def drop(self, keys: Iterable[TaskKey], alone: Iterable[TaskKey] = ()) -> None:
        """Record tasks that will never start here; a lease without other tasks is released.

        Of them, those in `alone` are to be granted alone.
        """
        self._alone.update(dict.fromkeys(alone))
        for key in keys:
            held = self._held.get(key.lease_id)
            if held is not None and key.ref in held.open:
                held.dropped.add(key.ref)
                self._close(key.lease_id, held)

    def compose(self, want: int, now: float) -> ExchangeRequest:
        """Return the next request, with as many reports as fit, and ages as of `now`."""
        return ExchangeRequest(
            session=self._session,
            reports=self._next_reports(now),
            holding=tuple(self._held),
            started=tuple(self._started),
            released=tuple(self._released),
            want=want,
            alone=tuple(key for key in self._alone if key.lease_id in self._released),
        )

    def settle(self, request: ExchangeRequest, answer: ExchangeAnswer) -> None:
        """Apply the answer to a request whose session the coordinator knew."""
        for key in request.started:
            self._started.pop(key, None)
        for lease_id in request.released:
            self._released.pop(lease_id, None)
        for ack in answer.acks:
            self._take_ack(ack)
        for lease_id in answer.lost:
            self._held.pop(lease_id, None)
            self._released.pop(lease_id, None)
        for key in tuple(self._alone):
            if key.lease_id not in self._held and key.lease_id not in self._released:
                del self._alone[key]
        self.hold(answer.leases)

    def forget_links(self) -> None:
        """See `SentLinks.forget`."""
        self._sent_links.forget()

    def _next_reports(self, now: float) -> tuple[Report, ...]:
        reports: list[Report] = []
        room = MAX_REQUEST_BYTES
        for delivery in self._unacked.values():
            room -= delivery.wire_bytes
            if reports and room < 0:
                break
            age_s = max(0.0, now - delivery.attempt.started_at)
            reports.append(replace(delivery.next, age_s=age_s, gap_s=delivery.attempt.gap_s))
        return tuple(reports)

    def _take_ack(self, ack: Ack) -> None:
        key = ack.key
        delivery = self._unacked.pop(key, None)
        if delivery is None:
            return
        if ack.state is AckState.MORE:  # some are missing again if the coordinator has lost what it did not keep
            self._unacked[key] = replace(delivery, sent=min(ack.parts, len(delivery.ahead)))
            return
        if ack.state is AckState.OK and delivery.next is not delivery.report and not delivery.next.part:
            self._unacked[key] = replace(delivery, sent=delivery.sent + 1)
            return
        if ack.state is AckState.OK and delivery.report.outcome is Outcome.FETCHED:
            self._sent_links.learn(delivery.report.outlinks, delivery.attempt.task.depth + 1)
        held = self._held.get(ack.lease)
        if held is not None:
            held.open.discard(ack.ref)
            held.dropped.discard(ack.ref)
            self._close(ack.lease, held)

    def _close(self, lease_id: int, held: _Held) -> None:
        """Forget a settled lease, or release one whose unsettled tasks were all dropped."""
        if held.open != held.dropped:
            return
        del self._held[lease_id]
        if held.open:
            self._released[lease_id] = None
