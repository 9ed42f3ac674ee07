"""Patterns over path and query of canonical URLs: globs, and regular expressions after `re:`. Pure.

In a glob `*` matches any characters, `?` matches itself, a leading `/` anchors it at the path's start, and
otherwise it may match anywhere. If a part of a glob matches at several places, the first one is sufficient, so every
part is an atomic group, is searched for once, and no path takes long. Regular expressions run on RE2, whose time is
linear.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import re2

REGEX = "re:"
MAX_PATTERN_BYTES = 1024 * 1024
MAX_PATTERNS_BYTES = 64 * 1024 * 1024


class Patterns:
    """Compiled patterns, to be matched with many URLs. Raise `ValueError` for an invalid regular expression."""

    def __init__(self, patterns: Iterable[str]) -> None:
        patterns = tuple(patterns)
        globs = [pattern for pattern in patterns if not pattern.startswith(REGEX)]
        regexes = [pattern.removeprefix(REGEX) for pattern in patterns if pattern.startswith(REGEX)]
        self._globs = re.compile("|".join(map(_translate, globs)), re.DOTALL) if globs else None
        self._regexes = _compile(regexes) if regexes else None

    def __bool__(self) -> bool:
        """Whether there is any pattern."""
        return self._globs is not None or self._regexes is not None

    def match(self, path: str) -> bool:
        """Say whether any of the patterns matches a path with its query."""
        if self._globs is not None and self._globs.match(path) is not None:
            return True
        return self._regexes is not None and bool(self._regexes.Match(path))


def check_regex(text: str) -> None:
    """Raise a `ValueError` that says what is wrong, unless RE2 can run a regular expression in little memory."""
    _compiled(text)


def finder(regex: str) -> Callable[[str], str | None]:
    """Return a function from a text to what a regular expression finds first in it: its first group, if it has groups.

    None stands for nothing. Raise `ValueError` as `check_regex` does.
    """
    compiled = _compiled(regex)
    group = min(compiled.groups, 1)

    def find(text: str) -> str | None:
        try:
            match = compiled.search(text)
        except UnicodeEncodeError:  # half a surrogate pair, as JSON may have
            return None
        found: str | None = None if match is None else match.group(group)
        return found

    return find


def _compiled(text: str) -> Any:
    try:
        return re2.compile(text, options=_options(MAX_PATTERN_BYTES))
    except re2.error as error:
        (said,) = error.args
        raise ValueError(said.decode(errors="replace") if isinstance(said, bytes) else str(said)) from error


def _compile(regexes: Iterable[str]) -> re2.Set:
    found = re2.Set.SearchSet(_options(MAX_PATTERNS_BYTES))
    for regex in regexes:
        check_regex(regex)
        found.Add(regex)
    try:
        found.Compile()
    except re2.error as error:
        raise ValueError("the regular expressions are too large together") from error
    return found


def _options(max_bytes: int) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = max_bytes
    return options


def _translate(glob: str) -> str:
    parts = [re.escape(part) for part in glob.split("*")]
    head = parts.pop(0) if glob.startswith("/") else ""
    return head + "".join(rf"(?>.*?{part})" for part in parts if part)
