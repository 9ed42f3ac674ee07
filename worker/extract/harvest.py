"""Turns the values of a hook's `parse(page)` into rows; errors name file and line.

No exception of the user's code may escape, and no value that cannot be sent may pass.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from types import TracebackType
from typing import Any

from crawlfleet.shared.errors import CrawlfleetError
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.plain import plain
from crawlfleet.worker.extract.port import ParseFault
from crawlfleet.worker.extract.shortage import shortage_of
from crawlfleet.worker.hook_waited import HookWaited

Parse = Callable[[Page], object]

MAX_NESTING = 32
_SCALARS = (int, float, bytes, type(None))
_INT_RANGE = range(-(2**63), 2**64)


class HookFault(CrawlfleetError):
    """A hook raised, or returned an invalid row. The text is one sentence with file and line.

    `reason` says that one of its calls waited too long, so that another attempt may succeed, or what was lacking.
    """

    def __init__(self, text: str, reason: Reason = Reason.EXTRACT_ERROR) -> None:
        super().__init__(text)
        self.reason = reason


def harvest(parse: Parse, page: Page, limit: int) -> list[tuple[str, dict[str, Any]]]:
    """Return (item, fields) of up to `limit` rows of the hook.

    Raise `HookFault`, its page's `ParseFault`, or `MemoryError` if the hook, or the parser in it, ran out of memory.
    """
    try:
        given = parse(page)
        return [_row(parse, value) for value in islice(_values(parse, given), limit)]
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


def _row(parse: Parse, value: object) -> tuple[str, dict[str, Any]]:
    if not isinstance(value, dict):
        raise _fault(parse, f"gave {type(value).__name__} for a row: give a dict")
    problem = _why_refused(value, "the row", MAX_NESTING)
    if problem:
        raise _fault(parse, f"gave a row that cannot be sent: {problem}")
    fields: dict[str, Any] = plain(value)
    item = fields.pop("item", "item")
    if not isinstance(item, str):
        raise _fault(parse, f"gave a row whose 'item' is {type(item).__name__}: it names the kind of row, a str")
    return item, fields


def _why_refused(value: object, where: str, depth: int) -> str:
    """Return why a plain value cannot be sent; empty for scalars, and lists, tuples and dicts of them."""
    if isinstance(value, str):
        return "" if value.isascii() or _is_unicode(value) else f"{where} holds half a surrogate pair"
    if isinstance(value, int) and not _INT_RANGE.start <= value < _INT_RANGE.stop:
        return f"{where} is an int of more than 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{where} is {float.__float__(value)}: a number must be finite"
    if isinstance(value, _SCALARS):
        return ""
    if depth == 0:
        return f"{where} is nested too deep"
    if isinstance(value, dict):
        return _why_dict_is_refused(value, where, depth)
    if isinstance(value, (list, tuple)):
        parts = ((f"{where}[{index}]", part) for index, part in enumerate(value))
        return next(filter(None, (_why_refused(part, name, depth - 1) for name, part in parts)), "")
    return f"{where} is {type(value).__name__}"


def _why_dict_is_refused(value: dict[object, object], where: str, depth: int) -> str:
    for key, part in value.items():
        if not isinstance(key, str) or not _is_unicode(key):
            return f"{where} has the key {key!r}, which is no str of Unicode"
        problem = _why_refused(part, f"{where}[{key!r}]", depth - 1)
        if problem:
            return problem
    return ""


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
