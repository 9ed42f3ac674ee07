"""Makes answers of servers by seeds: the usual ones, with one, two or some of the oddities of `answer_rules`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from enum import Enum
from random import Random
from typing import NamedTuple

import brotli

from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.fetch.port import WHOLE, Wanted
from tests.conformance.answer_rules import BY_PLACE, CUT, PLAIN, REST, Place, Rule

PAGE = b"<!doctype html><title>seen</title><a href=/next>on</a>"
# Enough for every decoder to see that it is broken.
BROKEN = PAGE * 5
SIZES = (0, 1, 50, 300, 20_000)
# How often a place has no usual sample.
ODD = 0.15
FEWEST_KEPT = 10
USUAL_FIELDS = (b"Content-Type: text/html\r\n", b"X-Two: a\r\n", b"x-two: b\r\n")
BODIES = {
    Place.LENGTH: 0.45,
    Place.CHUNKED: 0.4,
    Place.UNTIL_CLOSE: 0.15,
}
BODILESS = frozenset({b"204", b"304", b"101"})


class Errand(Enum):
    """What is wanted of an answer, and whether a page that is cut is kept."""

    PAGE = WHOLE, False
    KEPT_PAGE = WHOLE, True
    BEGINNING = Wanted(FEWEST_KEPT), False
    ROBOTS = Wanted(512 * 1024), False
    CHECK = Wanted(0, by_head=True), False

    def __init__(self, wanted: Wanted, keeps_truncated: bool) -> None:
        self.wanted = wanted
        self.keeps_truncated = keeps_truncated


class Answer(NamedTuple):
    """What a server sends before it ends the connection, by which rules, and the body that is meant."""

    seed: int
    data: bytes
    errand: Errand
    status: int
    rules: tuple[Rule, ...]
    body: bytes
    head_size: int

    @property
    def is_page(self) -> bool:
        """Whether the answer has a body that is wanted."""
        return 200 <= self.status <= 299 and self.status != 204 and not self.errand.wanted.by_head

    def verdicts(self, engine: str) -> set[Reason | None]:
        """Return how the answer may end: as read (None), or by one of these reasons."""
        broken = {rule.verdict for rule in self.rules if rule.verdict and (self.is_page or not rule.of_body)}
        if Reason.BODY_TOO_LARGE in broken and self.errand.wanted.keep_bytes is not None:
            broken |= {Reason.BODY_TRUNCATED}  # no length is too large, but not all of it comes
        others = {rule.otherwise for rule in self.rules if rule.otherwise and rule.otherwise.engine == engine}
        return {*(broken or (None,)), *(other.verdict for other in others)}


def answer_of(seed: int) -> Answer:
    """Make the answer of a seed, always the same one."""
    random = Random(seed)
    rules: list[Rule] = []

    def take(place: Place) -> bytes:
        usual, *odd = BY_PLACE[place]
        rule = usual
        if odd and random.random() < ODD:
            # A rule with many samples comes more often, and none seldom.
            rule = random.choice([each for each in odd for _ in range(3 + len(each.samples))])
        rules.append(rule)
        return random.choice(rule.samples)

    errand = random.choices(list(Errand), (6, 1, 1, 1, 1))[0]
    interim, line, first = take(Place.INTERIM), take(Place.STATUS_LINE), take(Place.FIRST_FIELD)
    status = take(Place.STATUS)
    body = (PAGE * (1 + max(SIZES) // len(PAGE)))[: random.choice(SIZES)]
    coding = take(Place.CODING)
    framing = random.choices(list(BODIES), list(BODIES.values()))[0]
    fields = [status[3:], coding, take(framing), *(take(Place.FIELD) for _ in range(random.choice((0, 1, 2))))]
    fields += random.sample(USUAL_FIELDS, random.randrange(len(USUAL_FIELDS)))
    random.shuffle(fields)
    wire = take(Place.CHUNKS) if framing is Place.CHUNKED else b"<data>"
    if any(rule.verdict and rule.of_body for rule in rules) or (framing is Place.CHUNKED and not body):
        body = BROKEN
    sent = _packed(body, next(rule for rule in rules if rule.place is Place.CODING).packed)
    head = b"".join((interim, line, first, *fields, take(Place.END_OF_HEAD)))
    head = _filled(head, {b"<status>": lambda: status[:3], **_sizes(sent)})
    data = head + _filled(wire, {**_sizes(sent), b"<data>": lambda: sent, b"<chunks>": lambda: _chunks(sent, random)})
    # What follows would be a part of the body.
    is_open = framing is Place.UNTIL_CLOSE or any(rule.verdict is Reason.BODY_TRUNCATED for rule in rules)
    data, end = _ended(data, random, is_open=is_open)
    if status[:3] in BODILESS:
        body = b""
    return Answer(seed, data, errand, int(status[:3]), (*rules, end), body, len(head))


def _packed(body: bytes, codings: tuple[str, ...]) -> bytes:
    for coding in codings:
        body = _PACKERS[coding](body)
    return body


def _gzip(body: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return deflate.compress(body) + deflate.flush()


_PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": _gzip, "deflate": zlib.compress, "br": brotli.compress}


def _filled(sample: bytes, values: dict[bytes, Callable[[], bytes]]) -> bytes:
    """Replace the names in a sample. What they stand for may look like one of them."""
    place = min((sample.find(name) for name in values if name in sample), default=-1)
    if place < 0:
        return sample
    name = next(name for name in values if sample.startswith(name, place))
    return sample[:place] + values[name]() + _filled(sample[place + len(name) :], values)


def _sizes(sent: bytes) -> dict[bytes, Callable[[], bytes]]:
    return {
        b"<size>": lambda: b"%d" % len(sent),
        b"<hex>": lambda: b"%x" % len(sent),
        b"<HEX>": lambda: b"%X" % len(sent),
        b"<more>": lambda: b"%d" % (len(sent) + 1),
    }


def _chunks(sent: bytes, random: Random) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in _pieces(sent, random))


def _pieces(sent: bytes, random: Random) -> Iterator[bytes]:
    while sent:
        size = random.randrange(1, len(sent) + 1)
        yield sent[:size]
        sent = sent[size:]


def _ended(data: bytes, random: Random, *, is_open: bool) -> tuple[bytes, Rule]:
    if random.random() >= ODD:
        return data, PLAIN
    if is_open or random.random() < 0.5:
        return data[: random.randrange(len(data))], CUT
    return data + random.choice(REST.samples), REST
