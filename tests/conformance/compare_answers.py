"""`python -m tests.conformance.compare_answers --seeds A:B`: ask every fetch engine for generated answers.

An answer is *told apart* if the engines do not say the same of it, and no rule says so; it is *misread* if one says
what the rules in `answer_rules` do not. Exit code 1 if there is one.
"""

from __future__ import annotations

import argparse
import socket
import socketserver
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from typing import Any, NamedTuple

from crawlfleet.shared.engines import FETCH_ENGINES
from crawlfleet.shared.notes import Note
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.fetch.port import Fetched
from crawlfleet.worker.fetch.registry import engine_for
from tests.conformance.answer_grammar import Answer, Errand, answer_of
from tests.conformance.answer_rules import CUT, USUAL
from tests.conformance.fetch_limits import LIMIT
from tests.local import local_spec

AT_ONCE = 32
# A port has only so many answers, so that the system does not run out of ports for clients.
PER_SITE = 2_000
TIMEOUT_S = 20


class Said(NamedTuple):
    """What an engine says of an answer, without times and details."""

    failure: str
    reason: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    truncated: bool
    notes: tuple[str, ...]


class Compared(NamedTuple):
    """An answer, and what each engine says of it, by name."""

    answer: Answer
    said: dict[str, Said]

    @property
    def differs(self) -> bool:
        return len(set(self.said.values())) > 1

    @property
    def is_excused(self) -> bool:
        """Whether engines differ where the rules say so."""
        return self.differs and any(rule.otherwise for rule in self.answer.rules)

    @property
    def is_told_apart(self) -> bool:
        return self.differs and not self.is_excused

    @property
    def is_misread(self) -> bool:
        return not all(_is_right(self.answer, engine, said) for engine, said in self.said.items())


class _Site(socketserver.ThreadingTCPServer):
    """Answers `/SEED` with the bytes of that seed, and ends the connection."""

    request_queue_size = 4 * AT_ONCE
    daemon_threads = True


class _Visit(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            block = self.request.recv(65536)
            if not block:
                return
            head += block
        # The end goes with the last bytes, so that no client takes the connection for an open one.
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        self.request.sendall(answer_of(int(head.split(b" ", 2)[1][1:])).data)


def compared(seeds: Iterable[int], engines: Sequence[str] = tuple(FETCH_ENGINES)) -> Iterator[Compared]:
    """Ask every engine for the answers of seeds, some at once where an engine can."""
    waiting = iter(seeds)
    while chosen := list(islice(waiting, PER_SITE)):
        answers = [answer_of(seed) for seed in chosen]
        with _site() as origin:
            said = {engine: _said(engine, origin, answers) for engine in engines}
        for answer in answers:
            yield Compared(answer, {engine: said[engine][answer.seed] for engine in engines})


@contextmanager
def _site() -> Iterator[str]:
    with _Site(("127.0.0.1", 0), _Visit) as site:
        serving = threading.Thread(target=site.serve_forever, args=(0.01,))
        serving.start()
        yield f"http://127.0.0.1:{site.server_address[1]}"
        site.shutdown()
        serving.join()


def _said(engine: str, origin: str, answers: Sequence[Answer]) -> dict[int, Said]:
    found: dict[int, Said] = {}
    with ExitStack() as stack:
        for keeps_truncated in (False, True):
            spec = local_spec(engine=engine, timeout_s=TIMEOUT_S, max_size_bytes=LIMIT, keep_truncated=keeps_truncated)
            made = engine_for(spec)
            fetcher = stack.enter_context(closing(made.open()))
            mine = [answer for answer in answers if answer.errand.keeps_truncated is keeps_truncated]
            asked = _many(fetcher, origin, mine) if made.many_at_once else _one_by_one(fetcher, origin, mine)
            found |= {seed: _reduced(fetched) for seed, fetched in asked}
    return found


def _one_by_one(fetcher: Any, origin: str, answers: Sequence[Answer]) -> Iterator[tuple[int, Fetched]]:
    for answer in answers:
        yield answer.seed, fetcher.fetch(f"{origin}/{answer.seed}", answer.errand.wanted)


def _many(fetcher: Any, origin: str, answers: Sequence[Answer]) -> Iterator[tuple[int, Fetched]]:
    waiting, running = iter(answers), 0
    while True:
        for answer in islice(waiting, AT_ONCE - running):
            fetcher.start(f"{origin}/{answer.seed}", answer.errand.wanted, answer.seed)
            running += 1
        if not running:
            return
        ended = fetcher.wait(TIMEOUT_S)
        running -= len(ended)
        yield from ended


def _reduced(fetched: Fetched) -> Said:
    return Said(
        fetched.failure.name if fetched.failure is not None else "",
        str(fetched.reason),
        fetched.status,
        fetched.headers.pairs,
        fetched.body,
        fetched.truncated,
        fetched.notes,
    )


def _is_right(answer: Answer, engine: str, said: Said) -> bool:
    reason = said.reason or None
    allowed = answer.verdicts(engine)
    if CUT in answer.rules:
        # Whether the oddities are in what has come depends on where it ends.
        return reason in {Reason.RESET, Reason.HEAD_TRUNCATED, Reason.BODY_TRUNCATED, None, *allowed}
    if Note.BODY_SHORT in said.notes:
        reason = Reason.BODY_TRUNCATED
    if reason not in allowed:
        # What is broken may follow the beginning that is enough.
        return answer.errand is Errand.BEGINNING and said.truncated
    if reason is not None or not answer.is_page:
        return True
    return said.body == answer.body[: answer.errand.wanted.keep_bytes]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the answers of seeds; print the first that differ, and the counts."""
    parser = argparse.ArgumentParser(description="ask every fetch engine for the answers of seeds, and compare")
    parser.add_argument("--seeds", default="0:20000", help="A:B, without B (default: 0:20000)")
    parser.add_argument("--show", type=int, default=2, help="how many of each kind to print (default: 2)")
    args = parser.parse_args(arguments)
    first, _, last = args.seeds.partition(":")
    began_at, counts, kinds = time.monotonic(), Counter[str](), Counter[str]()
    for each in compared(range(int(first), int(last))):
        counts.update(answers=1, apart=each.is_told_apart, excused=each.is_excused, misread=each.is_misread)
        if each.is_told_apart or each.is_misread:
            kind = _kind(each)
            kinds[kind] += 1
            if kinds[kind] <= args.show:
                print(f"{kind}\n{told(each)}")
    for kind, count in kinds.most_common():
        print(f"{count:6} {kind}")
    print(
        f"{counts['answers']:,} answers, {counts['apart']:,} told apart, {counts['excused']:,} as the rules say, "
        f"{counts['misread']:,} misread, {time.monotonic() - began_at:.1f} s"
    )
    return 1 if kinds else 0


def _kind(each: Compared) -> str:
    said = [f"{engine}: {said.reason or said.status}" for engine, said in each.said.items()]
    fields = [name for name in Said._fields if len({getattr(said, name) for said in each.said.values()}) > 1]
    return f"{', '.join(said)}, differ in {', '.join(fields) or 'nothing'}"


def told(each: Compared) -> str:
    """Return an answer, and what engines say of it, in lines."""
    answer = each.answer
    odd = [f"{rule.place.value}: {rule.name}" for rule in answer.rules if rule not in USUAL]
    lines = [f"  seed {answer.seed}, {answer.errand.name}, {'; '.join(odd)}", f"  {answer.data[:400]!r}"]
    lines += [f"    {engine}: {said._replace(body=said.body[:60])!r:.600}" for engine, said in each.said.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
