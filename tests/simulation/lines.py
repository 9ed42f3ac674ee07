"""What connects workers and programs with the coordinator of a simulation: calls to its loop, and their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crawlfleet.coordinator.conduct.loop import Call
from crawlfleet.shared.messages import ExchangeAnswer
from tests.simulation.machine import Machine
from tests.simulation.network import Network


class Lines:
    """Carries calls to the machine, and answers back. An error is an answer as any other."""

    def __init__(self, machine: Machine, network: Network) -> None:
        self._machine = machine
        self._network = network
        #: The calls that have arrived, and are served in the loop's next turn.
        self.waiting: list[Call] = []

    def send(self, session: str, call: Callable[[float], Any], then: Callable[[Any], None]) -> None:
        """Send a call to the coordinator's loop; its answer, if that ever comes, is given to `then`."""
        self._network.to_coordinator(session, lambda: self._arrive(session, call, then))

    def send_once(self, session: str, call: Callable[[float], Any], then: Callable[[Any], None]) -> None:
        """Send a call that does harm if it is repeated. It may still come late, as what a broken connection holds."""
        arrived: list[bool] = []

        def arrive() -> None:
            if not arrived:
                arrived.append(True)
                self._arrive(session, call, then)

        self._network.to_coordinator(session, arrive)

    def read(self, session: str, look: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Look at what is committed, past the loop. What was sent to a process does not arrive at the next one."""
        incarnation, laws = self._machine.incarnations, self._machine.outgoing

        def arrive() -> None:
            if not self._machine.is_up or self._machine.incarnations != incarnation:
                return
            is_stale = laws.is_stale

            def leave(answer: Any) -> None:
                laws.check_asked(when_stale=is_stale)
                self._network.to_worker(session, lambda: then(answer))

            answer = look()
            if self._machine.service.is_surely_owned:  # as in `Loop.assured`
                leave(answer)
            else:
                self._machine.look(lambda _now: None, _Reply(lambda _: leave(answer)))

        self._network.to_coordinator(session, arrive)

    def take(self) -> list[Call]:
        """Take the calls that have arrived."""
        calls, self.waiting = self.waiting, []
        return calls

    def _arrive(self, session: str, call: Callable[[float], Any], then: Callable[[Any], None]) -> None:
        saw: list[int] = []
        is_stale = self._machine.outgoing.is_stale

        def run(now: float) -> Any:
            try:
                return call(now)
            finally:
                saw.append(self._machine.outgoing.changes)

        def leave(answer: Any) -> None:
            self._machine.outgoing.check_asked(when_stale=is_stale)
            self._machine.outgoing.check(*saw)
            self._leave(session, answer, then)

        self.waiting.append((run, _Reply(leave)))

    def look(self) -> None:
        """Read something that the next commit may make durable, or the one under way."""
        laws = self._machine.outgoing
        is_stale = laws.is_stale

        def leave(seen: Any) -> None:
            laws.check_asked(when_stale=is_stale)
            laws.check(seen[0])

        self._machine.look(lambda _now: laws.changes, _Reply(leave))

    def _leave(self, session: str, answer: Any, then: Callable[[Any], None]) -> None:
        """An answer leaves the coordinator: from here on it is a promise."""
        if isinstance(answer, ExchangeAnswer):
            self._machine.acked |= {(ack.ref, ack.lease) for ack in answer.acks if self._machine.keeps(ack)}
            assert not (self._machine.finished and answer.leases), "a lease after the end"
            self._machine.finished = self._machine.finished or answer.finished
        self._network.to_worker(session, lambda: then(answer))


class _Reply:
    """Where the answer to a call goes, as it is; a `Future` would keep to itself what fails there."""

    def __init__(self, then: Callable[[Any], None]) -> None:
        self._then = then

    def done(self) -> bool:
        """Nobody asks."""
        return False

    def set_result(self, value: Any) -> None:
        self._then(value)

    def set_exception(self, error: Any) -> None:
        self._then(error)
