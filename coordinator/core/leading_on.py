"""Links that are admitted later: a turn is small, however many links its reports have.

A report with many links is settled at once, and its links are kept in a row of their own (`KeptLinksRow`). Another row
(`LeadOnRow`), which every store holds in memory, names its task until they are done, and the crawl is not over before.
They are admitted in portions, each in one turn with the number of links that are done, so that a crash loses none and
doubles none. Hosts take turns, so that what one of them leads to does not wait for what another leads to.

When a page of a crawl with a limit of depth is found nearer, its outlinks get smaller depths in the same way. While
many links of a host wait, nothing more is granted on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain

import msgspec

from crawlfleet.coordinator.core import admission, leads, politeness, sitemaps
from crawlfleet.coordinator.core.changes import Flooded, LedOn
from crawlfleet.coordinator.core.later_rows import KeptLinksRow, LeadOnRow
from crawlfleet.coordinator.core.link import Link
from crawlfleet.coordinator.core.rows import FINAL, TaskRow, succeed
from crawlfleet.coordinator.core.turn import Turn, existing
from crawlfleet.shared.messages import Kind
from crawlfleet.shared.ranges import total
from crawlfleet.shared.web.links import Packed
from crawlfleet.shared.web.urls import FINGERPRINT_BYTES, page_fingerprint, split_fingerprints


class _Listed(msgspec.Struct, frozen=True, array_like=True):
    """A link of a sitemap or a robots.txt as it is kept."""

    url: str
    kind: Kind
    depth: int
    serves: str
    seed: bool
    priority: int
    lastmod: int


class _Portion(msgspec.Struct, frozen=True):
    """Some links of a task: those to admit, and known ones that may get the depth `depth`.

    `size` is how many there are, `is_last` says that no others are left. `is_kept`: they are in a row of their own.
    """

    row: LeadOnRow
    task: TaskRow
    size: int
    is_last: bool
    is_kept: bool
    links: Sequence[Link] = ()
    known: Sequence[bytes] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Listed]).decode


def keep(turn: Turn, task: TaskRow, later: leads.Later) -> None:
    """Keep links of a task: of a page beyond the crawl until it is reached, any others to be admitted soon."""
    is_read = task.kind is Kind.PAGE and task.state in FINAL
    is_beyond = task.kind is Kind.PAGE and admission.is_beyond(task.depth, turn.policy)
    if is_beyond and not is_read:
        return
    # A page that was settled before may have some already, and they may be on their way.
    before = turn.table(KeptLinksRow)[task.order] if is_read and len(task.settled) > 1 else None
    if before is not None and is_beyond:
        turn.put(succeed(before, links=later.links, known=later.known, listed=_listed(later.listed)))
        return
    order = task.order if is_read and before is None else turn.next_order()
    turn.put(KeptLinksRow(order=order, links=later.links, known=later.known, listed=_listed(later.listed)))
    if is_beyond:
        return
    turn.put(LeadOnRow(order=order, ref=task.ref, host=task.host, waiting=later.number))
    host = turn.host(task.host)
    after = succeed(host, links_waiting=total(host.links_waiting, later.number))
    turn.put(after)
    if politeness.is_flooding(after, turn.policy) and not politeness.is_flooding(host, turn.policy):
        found = existing(turn.hosts[task.host]).costs
        waiting = after.links_waiting
        turn.note(Flooded(host=host.key, url=task.url, links_waiting=waiting, links=found.links, pages=found.pages))


def lead_on(turn: Turn, hosts: Collection[str], most: int) -> None:
    """Admit some of the links that wait, about equally many of each of these hosts."""
    rows = list(chain.from_iterable(_next_of(turn, host, max(1, most // len(hosts))) for host in hosts))
    turn.tasks.read(row.ref for row, _ in rows)
    turn.read_hosts(hosts)
    kept = turn.table(KeptLinksRow)
    kept.read(row.order for row, _ in rows)
    portions = [_portion(turn, row, kept[row.order], size) for row, size in rows]
    links = _admissible(turn, portions)
    known = {ref for portion in portions if portion.is_kept for ref in portion.known}
    strangers = turn.strangers(known)
    admission.admit(turn, links, _nearer(turn, portions, strangers))
    for portion in portions:
        _note(turn, portion, strangers)


def _next_of(turn: Turn, host: str, most: int) -> Iterator[tuple[LeadOnRow, int]]:
    """Yield the rows of a host that go on next, each with how many of its links may be taken."""
    for row in turn.family(LeadOnRow, host):
        yield row, most
        # How many wait is not known of all; of those that are known, a few may have been counted too few.
        most -= row.waiting or most
        if most < 1:
            return


def _portion(turn: Turn, row: LeadOnRow, kept: KeptLinksRow | None, most: int) -> _Portion:
    """Return the next links of a task."""
    task = existing(turn.tasks[row.ref])
    if kept is None or not (kept.links or kept.known or kept.listed):  # earlier versions left empty rows
        refs = task.outlinks[row.done : row.done + most]
        return _Portion(row, task, len(refs), row.done + len(refs) >= len(task.outlinks), is_kept=False, known=refs)
    if kept.listed:
        return _listed_portion(row, task, kept.listed, most)
    urls = Packed(kept.links, turn.policy.limits.links)
    number = max(0, min(most, urls.number - row.done))
    first = max(0, row.done - urls.number)
    room = (most - number) * turn.policy.tuning.known_per_link
    known = split_fingerprints(kept.known[first * FINGERPRINT_BYTES : (first + room) * FINGERPRINT_BYTES])
    size = number + len(known)
    in_all = urls.number + len(kept.known) // FINGERPRINT_BYTES
    links = [Link(url=url, depth=task.depth + 1, found_on=task.ref) for url in urls.some(row.done, number)]
    return _Portion(row, task, size, row.done + size >= in_all, is_kept=True, links=links, known=known)


def _listed_portion(row: LeadOnRow, task: TaskRow, listed: bytes, most: int) -> _Portion:
    """Return the next links of a sitemap or a robots.txt."""
    every = _decode(listed)
    links = [
        Link(
            url=one.url,
            depth=one.depth,
            found_on=task.ref,
            seed=one.seed,
            always=one.seed,
            kind=one.kind,
            serves=one.serves,
            priority=one.priority,
            lastmod=one.lastmod,
        )
        for one in every[row.done : row.done + most]
    ]
    return _Portion(row, task, len(links), row.done + len(links) >= len(every), is_kept=True, links=links)


def _listed(links: Sequence[Link]) -> bytes:
    """Encode the links of a sitemap or a robots.txt; none become no bytes."""
    if not links:
        return b""
    return _encode(
        [
            _Listed(link.url, link.kind, link.depth, link.serves, link.seed, link.priority, link.lastmod)
            for link in links
        ]
    )


def _admissible(turn: Turn, portions: Sequence[_Portion]) -> list[Link]:
    """Read what admitting links will look up; return them without those that do not count, whoever sends them."""
    turn.depths.read(link.ref for portion in portions for link in portion.links)
    links = []
    for portion in portions:
        sound = [
            link for link in portion.links if turn.depths[link.ref] is not None or leads.is_sound(link, turn.policy)
        ]
        is_listed = portion.task.kind is Kind.SITEMAP
        links += sitemaps.vouched_for(portion.task, sound) if is_listed else sound
    admission.want_places(turn, [link.url for link in links if turn.depths[link.ref] is None])
    return links


def _nearer(turn: Turn, portions: Sequence[_Portion], strangers: Collection[bytes]) -> list[tuple[bytes, int]]:
    """Return the known links that have a greater depth than through their page now."""
    if turn.policy.extent.depth is None and all(portion.is_kept for portion in portions):
        return []
    turn.depths.read(ref for portion in portions for ref in portion.known if ref not in strangers)
    found = []
    for portion in portions:
        depth = portion.task.depth + admission.step_from(portion.task)
        for ref in portion.known:
            at = None if ref in strangers else turn.depths[ref]
            if at is not None and at > depth:
                found.append((ref, depth))
    return found


def _note(turn: Turn, portion: _Portion, strangers: Collection[bytes]) -> None:
    """Note that a portion is done, unless its page was found nearer by it: then it is due again."""
    row, task = portion.row, portion.task
    if portion.is_kept:
        admitted = [link.ref for link in portion.links if turn.depths[link.ref] is not None]
        outlinks = b"".join([*admitted, *(ref for ref in portion.known if ref not in strangers)])
        turn.note(LedOn(ref=task.ref, outlinks=outlinks))
    if existing(turn.tasks[task.ref]).depth < task.depth:
        return
    waiting = 0 if portion.is_last else max(0, row.waiting - portion.size)
    if portion.is_last:
        _end(turn, portion)
    else:
        turn.put(succeed(row, done=row.done + portion.size, waiting=waiting))
    if waiting < row.waiting:
        _relieve(turn, task, row.waiting - waiting)


def _end(turn: Turn, portion: _Portion) -> None:
    """Note that a task has no links left; with a limit of depth, a page keeps them, to pass on a smaller depth."""
    row, task, has_depths = portion.row, portion.task, turn.policy.extent.depth is not None
    turn.remove(succeed(row))
    kept = turn.table(KeptLinksRow)[row.order]
    if kept is None or (has_depths and row.order == task.order):
        return
    if has_depths:
        _join(turn, task, kept)
    turn.remove(succeed(kept))


def _join(turn: Turn, task: TaskRow, more: KeptLinksRow) -> None:
    """Add what a page that was read again leads to, to what its first reading has left for a smaller depth."""
    limit = turn.policy.limits.links
    table = turn.table(KeptLinksRow)
    table.read((task.order,))
    first = table[task.order]
    if first is None:
        return
    mine = {*_refs(first, limit)}
    joined = b"".join(ref for ref in _refs(more, limit) if ref not in mine)
    if joined:
        turn.put(succeed(first, known=(first.known + joined)[: limit * FINGERPRINT_BYTES]))


def _refs(kept: KeptLinksRow, limit: int) -> list[bytes]:
    """Return the fingerprints of a page's kept links."""
    urls = Packed(kept.links, limit)
    return [*(page_fingerprint(url) for url in urls.some(0, urls.number)), *split_fingerprints(kept.known)]


def _relieve(turn: Turn, task: TaskRow, links: int) -> None:
    """Note that fewer links of a host wait; grant on it again if they are few enough."""
    host = turn.host(task.host)
    after = succeed(host, links_waiting=max(0, host.links_waiting - links))
    turn.put(after)
    if politeness.is_flooding(host, turn.policy) and not politeness.is_flooding(after, turn.policy):
        admission.awaken_host(turn, host.key)
