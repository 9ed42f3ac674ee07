"""The sessions that are members of the crawl now. They are kept in memory only: their leases are in the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from crawlfleet.coordinator.core.rows import LeaseRow
from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.ranges import Addresses

#: So many sessions are members at once. A member that is silent for a lease time makes room for another one.
MAX_MEMBERS = 10_000
#: So many sentences about who came and went are kept until somebody reads them.
MOST_NEWS = 100
#: So many are lost at once: thousands that fall silent together must not keep all others waiting.
LOST_AT_ONCE = 100


class Member:
    """One session: until when it counts as alive, and which of its tasks are known to have started."""

    __slots__ = ("_addresses", "_scope", "alive_until", "cleared_for_suspect", "fetches", "id", "started", "worker")

    def __init__(self, id_: str, worker: str, alive_until: float) -> None:
        self.id = id_
        self.worker = worker
        self.alive_until = alive_until
        self.started: dict[int, set[bytes]] = {}
        self.cleared_for_suspect = False
        #: It asks for tasks, or will: programs that wait for pages or share objects do not.
        self.fetches = False
        self._scope: ScopeSpec | None = None
        self._addresses: Addresses = ()

    def news_of(self, scope: ScopeSpec) -> ScopeSpec | None:
        """Return the scope if this session has not got it yet, else None."""
        known, self._scope = self._scope, scope
        return None if known == scope else scope

    def news_of_addresses(self, addresses: Addresses) -> Addresses | None:
        """Return the addresses of the crawl's coordinators if this session has not got them yet, else None."""
        if addresses is self._addresses:
            return None
        known, self._addresses = self._addresses, addresses
        return None if known == addresses else addresses

    def forget_ended(self, open_leases: Collection[int]) -> None:
        """Forget the tasks that started under ended leases."""
        for lease in self.started.keys() - open_leases:
            del self.started[lease]

    def started_under(self, lease: LeaseRow) -> Collection[bytes]:
        """Return the tasks of a lease that are known to have begun."""
        return self.started.get(lease.id, ())

    def note_started(self, started: Iterable[tuple[int, bytes]], leases: Iterable[LeaseRow]) -> None:
        """Remember that tasks of its open leases have begun; whatever else is named is forgotten at once."""
        refs = {lease.id: lease.refs for lease in leases}
        for lease_id, ref in started:
            if ref in refs.get(lease_id, ()):
                self.started.setdefault(lease_id, set()).add(ref)


class Members:
    """All sessions by id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Member] = {}
        self._news: deque[str] = deque(maxlen=MOST_NEWS)
        #: How many of them fetch.
        self.fetching = 0
        #: Where coordinators of the crawl answer, if there are several.
        self.addresses: Addresses = ()
        #: More did not renew themselves in time than were lost at once.
        self.has_overdue = False

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, session: str) -> Member | None:
        """Return a member, or None."""
        return self._by_id.get(session)

    def news_of_addresses(self, session: str) -> Addresses | None:
        """Return the addresses of the crawl's coordinators if a member has not got them yet, else None."""
        member = self._by_id.get(session)
        return member.news_of_addresses(self.addresses) if member is not None else None

    def has_room_for(self, session: str) -> bool:
        """Say whether a session is a member, or may become one."""
        return session in self._by_id or len(self._by_id) < MAX_MEMBERS

    def welcome(self, session: str, worker: str, alive_until: float, *, fetches: bool = True) -> Member:
        """Make a session a member, or renew it."""
        member = self._by_id.get(session)
        if member is None:
            member = self._by_id[session] = Member(session, "", alive_until)
        is_new = member.worker != worker
        member.alive_until, member.worker = alive_until, worker or member.worker
        if fetches:
            self.note_fetching(member)
        if is_new and worker:
            self._tell(member, "joined")
        return member

    def part(self, session: str, how: str = "left") -> Member | None:
        """Remove a session and return its member, if it was one; `how` says what happened."""
        member = self._by_id.pop(session, None)
        if member is not None:
            self.fetching -= member.fetches
            self._tell(member, how)
        return member

    def take_news(self) -> tuple[str, ...]:
        """Return the sentences about who came and went since the last time."""
        news = tuple(self._news)
        self._news.clear()
        return news

    def _tell(self, member: Member, how: str) -> None:
        who = f"{'worker' if member.fetches else 'program'} {member.worker or member.id}"
        workers = "1 worker now" if self.fetching == 1 else f"{self.fetching:,} workers now"
        self._news.append(f"{who} {how}: {workers}")

    def note_fetching(self, member: Member) -> None:
        """Note that a session asks for tasks."""
        self.fetching += not member.fetches
        member.fetches = True

    def overdue(self, now: float) -> list[Member]:
        """Return the members that did not renew themselves in time; if they are many, the first of them."""
        found = [member for member in self._by_id.values() if member.alive_until <= now]
        self.has_overdue = len(found) > LOST_AT_ONCE
        return found[:LOST_AT_ONCE]

    def suspect_bearer(self) -> Member | None:
        """Return the member that is being cleared for a suspect, if any: it takes nothing new until it is empty."""
        return next((member for member in self._by_id.values() if member.cleared_for_suspect), None)
