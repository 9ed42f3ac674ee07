"""The messages between `crawlfleet try` and the process that fetches and reads its page."""

from __future__ import annotations

from typing import Any

import msgspec

from crawlfleet.coordinator.core.policy import Policy
from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.shared.brief import Brief
from crawlfleet.shared.pipe import PipeMessage
from crawlfleet.tried import Tried
from crawlfleet.worker.fetch.port import Fetched, Headers


class Errand(msgspec.Struct, frozen=True, kw_only=True):
    """One page to try, by what worker and coordinator go by.

    `asked` is its address as it was given, `url` the job's form of it, which is a seed or not, maybe by the `line`
    of a seeds file; `file` is the file that stands in for it, if one does. `named` are origins that the job names
    by its seeds, or whoever tries the page by its address.
    """

    brief: Brief
    policy: Policy
    asked: str
    url: str
    is_seed: bool
    line: SeedLine | None = None
    file: str = ""
    named: tuple[str, ...] = ()


class Asking(PipeMessage, frozen=True, kw_only=True):
    """An address is asked for now."""

    url: str


class Answered(PipeMessage, frozen=True, kw_only=True):
    """An answer to the address `asked` that another run may use: a `Fetched`, as plain data.

    Unless it `is_read`, its body was not wanted.
    """

    asked: str
    answer: dict[str, Any]
    is_read: bool = True

    @classmethod
    def of(cls, asked: str, fetched: Fetched, *, is_read: bool = True) -> Answered:
        """Return the message of an answer."""
        plain = msgspec.to_builtins(fetched, builtin_types=(bytes,), enc_hook=lambda headers: headers.pairs)
        return cls(asked=asked, answer=plain, is_read=is_read)

    def fetched(self) -> Fetched:
        """Return the answer."""
        return msgspec.convert(self.answer, Fetched, dec_hook=lambda _, pairs: Headers(map(tuple, pairs)))


class Reading(PipeMessage, frozen=True, kw_only=True):
    """The page is read now; `so_far` is what is known of it."""

    so_far: Tried


class Judging(PipeMessage, frozen=True, kw_only=True):
    """The page is read; its links, and its empty fields, are looked at."""


class Gave(PipeMessage, frozen=True, kw_only=True):
    """What the page gives: the last message."""

    tried: Tried


class Ended(PipeMessage, frozen=True, kw_only=True):
    """Reading the page has reached a limit, and its process ends."""

    reason: str
    detail: str
    cpu_s: float = 0.0


class Refused(PipeMessage, frozen=True, kw_only=True):
    """The job cannot be tried: a sentence for its user. The process ends."""

    text: str
    exit_code: int


class Try(PipeMessage, frozen=True, kw_only=True):
    """The page to try. `kept` are answers that are used in the place of requests."""

    errand: Errand
    kept: tuple[Answered, ...] = ()


class Where(PipeMessage, frozen=True, kw_only=True):
    """A question: at which line of the hook is the process?"""


class Place(PipeMessage, frozen=True, kw_only=True):
    """The answer: the line of the hook; 0 if it is not in there."""

    line: int


FromTrial = Asking | Answered | Reading | Judging | Gave | Ended | Refused | Place
FROM_TRIAL: msgspec.msgpack.Decoder[FromTrial] = msgspec.msgpack.Decoder(FromTrial)
TO_TRIAL: msgspec.msgpack.Decoder[Try | Where] = msgspec.msgpack.Decoder(Try | Where)
