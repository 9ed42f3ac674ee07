"""Turns the values of a hook's `parse(page)` into rows; errors name file and line.

No exception of the user's code may escape, and no value that cannot be sent may pass.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from types import TracebackType
from typing import Any

from crawlfleet.shared.errors import CrawlfleetError
from crawlfleet.shared.plain_values import refuse_odd_parts
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.plain import plain
from crawlfleet.worker.extract.port import ParseFault
from crawlfleet.worker.extract.shortage import shortage_of
from crawlfleet.worker.hook_waited import HookWaited

Parse = Callable[[Page], object]
# Takes the kind and the fields of a row; says whether more are wanted.
Put = Callable[[str, dict[str, Any]], bool]

MAX_NESTING = 32


class HookFault(CrawlfleetError):
    """A hook raised, or returned an invalid row. The text is one sentence with file and line.

    `reason` says that one of its calls waited too long, so that another attempt may succeed, or what was lacking.
    """

    def __init__(self, text: str, reason: Reason = Reason.EXTRACT_ERROR) -> None:
        super().__init__(text)
        self.reason = reason


def harvest(parse: Parse, page: Page, put: Put, reserved: Collection[str] = ()) -> None:
    """Put the rows of the hook, one by one, until no more are wanted. None may have a `reserved` field,
    or another `url` than the page.

    Raise `HookFault`, its page's `ParseFault`, or `MemoryError` if the hook, or the parser in it, ran out of memory.
    """
    try:
        given = parse(page)
        for value in _values(parse, given):
            if not put(*_row(parse, value, page.url, reserved)):
                return
    except (HookFault, ParseFault):
        raise
    except HookWaited as waited:
        place = where_raised(parse, waited.__traceback__)
        raise HookFault(f"the hook {waited} at {place}", Reason.HOOK_WAITED) from waited
    except BaseException as error:  # the user's code may raise anything: the page fails, the worker does not
        text = f"the hook raised {describe(error)} at {where_raised(parse, error.__traceback__)}"
        reason = shortage_of(error) or Reason.EXTRACT_ERROR
        if reason is Reason.OUT_OF_MEMORY:
            raise MemoryError(text) from error
        raise HookFault(text, reason) from error


def describe(error: BaseException) -> str:
    """Return an exception's type and text on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def where_raised(parse: Parse, trace: TracebackType | None) -> str:
    """Return `file:line` of the innermost line of a traceback in the hook's own file."""
    file, line = _definition(parse)
    for frame in traceback.extract_tb(trace):
        if frame.filename == file and frame.lineno is not None:
            line = frame.lineno
    return f"{file}:{line}"


def _definition(parse: Parse) -> tuple[str, int]:
    code = getattr(parse, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code is not None else (repr(parse), 0)


def _fault(parse: Parse, what: str) -> HookFault:
    file, line = _definition(parse)
    return HookFault(f"the hook's parse(page) at {file}:{line} {what}")


def _values(parse: Parse, given: object) -> Iterator[object]:
    if given is None:
        return iter(())
    if isinstance(given, dict):
        return iter((given,))
    if isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
        return iter(given)
    raise _fault(parse, f"returned {type(given).__name__}: return None, a dict, or an iterable of dicts")


def _row(parse: Parse, value: object, url: str, reserved: Collection[str]) -> tuple[str, dict[str, Any]]:
    if not isinstance(value, dict):
        raise _fault(parse, f"gave {type(value).__name__} for a row: give a dict")
    try:
        fields: dict[str, Any] = plain(value)
        refuse_odd_parts(fields, "the row", MAX_NESTING)
    except (TypeError, ValueError) as odd:
        raise _fault(parse, f"gave a row that cannot be kept: {odd}") from odd
    for name in reserved:
        if name in fields:
            raise _fault(parse, f"gave a row with {name!r}, which rows have of their line of a seeds file: rename it")
    if fields.get("url", url) != url:
        said = repr(fields["url"])[:200]
        raise _fault(parse, f"gave a row whose 'url' is {said}: a row has the address of its page; rename it")
    item = fields.pop("item", "item")
    if not isinstance(item, str):
        raise _fault(parse, f"gave a row whose 'item' is {type(item).__name__}: it names the kind of row, a str")
    return item, fields
