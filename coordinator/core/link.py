"""A discovered URL, before it is admitted."""

from __future__ import annotations

import msgspec

from crawlfleet.shared.messages import Kind
from crawlfleet.shared.web.urls import fingerprint, page_fingerprint


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A discovered URL, canonical according to its sender, and where it was found.

    `always` requests a row even if the scope refuses the URL: seeds and redirect targets must be explainable.
    `ref` is the fingerprint of the task, for a check that of the page; it is computed unless given. `asked`: a program
    asked for the page. `has_own_priority`: the job's rules do not change its priority. `seed_line` is that of its task.
    """

    url: str
    depth: int
    found_on: bytes = b""
    hops: tuple[str, ...] = ()
    seed: bool = False
    always: bool = False
    kind: Kind = Kind.PAGE
    serves: str = ""
    priority: int = 0
    lastmod: int = 0
    ref: bytes = b""
    asked: bool = False
    has_own_priority: bool = False
    seed_line: int = 0

    def __post_init__(self) -> None:
        if not self.ref:
            is_page = self.kind is Kind.CHECK
            ref = page_fingerprint(self.url) if is_page else fingerprint(self.kind, self.serves, self.url)
            msgspec.structs.force_setattr(self, "ref", ref)
