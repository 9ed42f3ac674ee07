"""Which canonical URLs belong to a crawl.

A URL is in scope if its host is one of `hosts` (or below one, with `subdomains`), its address matches one of the
`include` patterns (if there are any) and none of the `exclude` patterns. A pattern is a glob over path and query:
`*` is any run of characters, `?` stands for itself, a leading `/` anchors it at the path's start, and otherwise it
may match anywhere. The first place where a part of a glob matches is as good as any later one, so every part is an
atomic group and no pattern can backtrack for long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from shared.messages import ScopeSpec
from shared.urls import MAX_URL_CHARS, parts


class Scope:
    """A scope, ready to judge many URLs."""

    def __init__(self, spec: ScopeSpec) -> None:
        self.spec = spec
        self._hosts = frozenset(spec.hosts)
        self._include = _compile(spec.include)
        self._exclude = _compile(spec.exclude)

    def refuses(self, url: str) -> str:
        """Name the rule by which a canonical URL is out of scope: `host`, `include`, `exclude`, `length`, or ``."""
        if len(url) > MAX_URL_CHARS:
            return "length"
        _, host, path = parts(url)
        if host not in self._hosts and not (self.spec.subdomains and self._is_below(host)):
            return "host"
        if self._include is not None and self._include.search(path) is None:
            return "include"
        if self._exclude is not None and self._exclude.search(path) is not None:
            return "exclude"
        return ""

    def _is_below(self, host: str) -> bool:
        labels = host.split(".")
        return any(".".join(labels[start:]) in self._hosts for start in range(1, len(labels)))


def _compile(globs: Iterable[str]) -> re.Pattern[str] | None:
    alternatives = [_translate(glob) for glob in globs]
    return re.compile("|".join(alternatives), re.DOTALL) if alternatives else None


def _translate(glob: str) -> str:
    head, *rest = (re.escape(part) for part in glob.split("*"))
    body = head + "".join(rf"(?>.*?{part})" for part in rest)
    return rf"\A{body}" if glob.startswith("/") else body
