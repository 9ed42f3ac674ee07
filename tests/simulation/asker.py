"""A program of a simulation: it asks for pages, by the rules of the real client, over a network that fails.

It is one thread, where the real client has several: each call waits for its answer, or for its patience to end.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from crawlfleet.coordinator.core.rows import TaskState
from crawlfleet.shared.errors import Unreachable
from crawlfleet.shared.messages import ExchangeAnswer, Hello
from crawlfleet.shared.pools import AskReply, AskRequest, CancelReply, CancelRequest, SettledPage
from crawlfleet.shared.web.urls import canonicalize, page_fingerprint
from tests.property.crawl_program import Program, Ticket, check_answer
from tests.property.crawl_site import OUTSIDE
from tests.simulation.aims import Aim
from tests.simulation.chronicle import Chronicle
from tests.simulation.lines import Lines
from tests.simulation.machine import Machine
from tests.simulation.sim_thread import SimThread
from tests.simulation.timeline import Timeline

PATIENCE_S = (1.0, 4.0)
PAUSES_S = (0.1, 0.3, 1.0, 2.0)
LATEST_COMING_S = 20.0
MOST_AT_ONCE = 4
PRIORITIES = (None, None, 0, 1, -1)
NO_PAGES = (OUTSIDE, "no address")


class Asker:
    """One program. It wants `wishes` pages in all; `favourites` are pages that other programs want too."""

    def __init__(
        self,
        session: str,
        machine: Machine,
        lines: Lines,
        timeline: Timeline,
        random: Random,
        chronicle: Chronicle,
        favourites: list[str],
        aim: Aim,
    ) -> None:
        self.session = session
        self.program = Program(session)
        #: It wants nothing more.
        self.is_calm = False
        self.is_alive = True
        self._machine = machine
        self._lines = lines
        self._timeline = timeline
        self._random = random
        self._chronicle = chronicle
        self._favourites = favourites
        self._regret = aim.regret
        self._wishes = random.randint(*aim.wishes)
        self._pools = dict.fromkeys(range(1, random.choice([2, 2, 3])), "never")
        self._is_member = False
        self._is_told_over = False
        # It stays when it has closed its pools, unless an ask of it may still be under way: that would open them again.
        self._stays = random.random() < 0.4
        self._control = SimThread(timeline, self._live)

    @property
    def has_left(self) -> bool:
        """Whether it has closed its pools, or was told that the crawl is over."""
        return self._control.is_over

    def die(self) -> None:
        """Be gone, without a word."""
        self.is_alive = False
        self._control.end()

    def check(self) -> None:
        """At the end all is answered, by what is true then, unless what was answered is lost since."""
        assert not self.has_left or self._is_told_over or not self.program.open(), f"{self.session} has left too early"
        for ticket in self.program.tickets.values():
            if ticket.answer is not None and ticket.losses == self._machine.lost_by_power:
                check_answer(ticket.answer, ticket.ask.url, self._machine.mirror)
                self._chronicle.figures["answers"] += 1

    def _live(self) -> None:
        self._sleep(self._random.uniform(0, LATEST_COMING_S))
        while not self._is_through():
            self._step()
            self._sleep(self._random.choice(PAUSES_S))
        self._leave()

    def _is_through(self) -> bool:
        wants_more = self._wishes > 0 and not self.is_calm
        has_asked = "never" not in self._pools.values() or self.is_calm
        return self._is_told_over or (has_asked and not wants_more and not self.program.open())

    def _step(self) -> None:
        """Do what the client's threads do in a turn."""
        if not self._is_member:
            self._is_member = self._call(self._machine.programs.hello(Hello(session=self.session, fetches=False)))
            return
        answer = self._call(self._machine.programs.beat(self.session))
        if isinstance(answer, ExchangeAnswer) and not answer.known:
            self._is_member = False
            return
        if self._wishes > 0 and not self.is_calm and self._random.random() < 0.5:
            self._want()
        self._ask()
        if not self.is_calm and self._random.random() < self._regret:
            self._cancel()
        self._collect()

    def _want(self) -> None:
        """Want some pages more."""
        for _ in range(self._random.randint(1, MOST_AT_ONCE)):
            self._wishes -= 1
            url = self._choose()
            self.program.wish(url, self._random.choice(PRIORITIES), follow=self._random.random() < 0.2)

    def _choose(self) -> str:
        chance = self._random.random()
        site = self._machine.site
        if chance < 0.05:
            return self._random.choice(NO_PAGES)
        if chance < 0.3 and self._favourites:
            return self._random.choice(self._favourites)
        url = site.url(self._random.randrange(len(site.pages)))
        self._favourites.append(url)
        return url + self._random.choice(["", "", "", "#top"])

    def _ask(self) -> None:
        """Ask for what the coordinator does not know, and open pools that it does not know."""
        for pool, book in self._pools.items():
            asks = self.program.due()
            if not asks and book == self.program.book:
                continue
            ask = self._machine.programs.ask(AskRequest(session=self.session, pool=pool, asks=asks))
            reply = self._call(ask, is_once=self._stays)
            if not isinstance(reply, AskReply):
                self._stays = False
            else:
                self._is_told_over |= reply.finished
                self.program.take_reply(asks, reply)
                self._pools[pool] = reply.book

    def _cancel(self) -> None:
        """Take something back, and maybe want it again."""
        some = [number for number, ticket in self.program.tickets.items() if ticket.is_open]
        started = [number for number in some if self._has_started(self.program.tickets[number])]
        is_late = bool(started) and self._random.random() < self._regret
        some = started if is_late else some
        some = self._random.sample(some, min(len(some), self._random.randint(1, 3)))
        if not some:
            return
        started_too = is_late or self._random.random() < 0.3
        request = CancelRequest(session=self.session, tickets=tuple(some), started_too=started_too)
        cancel = self._machine.programs.cancel(request)
        reply = self._call(cancel, is_once=True)
        if isinstance(reply, CancelReply):
            self.program.take_staying(some, reply.staying)
            self._chronicle.figures["asks taken back"] += len(some) - len(reply.staying)
            self._want_again([self.program.tickets[number] for number in some if number not in reply.staying])
        else:
            self.program.lose_staying(some)

    def _has_started(self, ticket: Ticket) -> bool:
        """Say whether a ticket's page is leased; a program cannot know that, but may well guess it."""
        url = canonicalize(ticket.ask.url)
        task = self._machine.mirror.tasks.get(page_fingerprint(url)) if url else None
        return task is not None and task.state is TaskState.LEASED

    def _want_again(self, tickets: list[Ticket]) -> None:
        for ticket in tickets:
            if self._random.random() < 0.5:
                self.program.wish(ticket.ask.url, ticket.ask.priority, follow=ticket.ask.follow)

    def _collect(self) -> None:
        """Collect answers."""
        after = self.program.cursor
        page = self._wait(
            lambda resume: self._lines.read(
                self.session, lambda: self._machine.programs.collect(self.program, after), resume
            )
        )
        if isinstance(page, SettledPage):
            self.program.take_page(page, self._machine.lost_by_power)
        else:
            self.program.lose_page()

    def _leave(self) -> None:
        """Close all pools, and say goodbye, at once or when the crawl is over."""
        last = max(self._pools)
        for pool in sorted(self._pools):
            while not self._call(self._machine.programs.close(self.session, pool, is_last=pool == last)):
                self._beat_and_rest()
        while self._stays and not self._is_told_over:
            self._beat_and_rest()
        self._call(self._machine.programs.goodbye(self.session))

    def _beat_and_rest(self) -> None:
        answer = self._call(self._machine.programs.beat(self.session))
        self._is_told_over |= isinstance(answer, ExchangeAnswer) and answer.finished
        self._sleep(self._random.choice(PAUSES_S))

    def _call(self, call: Callable[[float], Any], *, is_once: bool = False) -> Any:
        """Return the answer to a call; None if it does not come in time, or this is no member."""
        send = self._lines.send_once if is_once else self._lines.send
        answer = self._wait(lambda resume: send(self.session, call, resume))
        if isinstance(answer, Unreachable):
            self._is_member = False
            return None
        return answer

    def _wait(self, begin: Callable[[Callable[[Any], None]], None]) -> Any:
        def begin_with_patience(resume: Callable[[Any], None]) -> None:
            begin(resume)
            self._timeline.after(self._random.uniform(*PATIENCE_S), lambda: resume(None))

        return self._control.wait(begin_with_patience)

    def _sleep(self, seconds: float) -> None:
        self._control.wait(lambda wake: self._timeline.after(seconds, lambda: wake(None)))
