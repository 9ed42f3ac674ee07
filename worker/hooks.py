"""Loads a job's Python hook from its file. Only this module runs the user's code at load time."""

from __future__ import annotations

import inspect
import linecache
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from crawlfleet.shared.brief import HookSpec
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.hook_loading import loading_hook
from crawlfleet.worker.extract.harvest import Parse, describe
from crawlfleet.worker.fetch.port import Prepare

MODULE_NAME = "crawlfleet_hook"


def load_hook(spec: HookSpec) -> Parse:
    """Return the hook's function; raise `UsageError`, with file and line, if the hook does not import or has none.

    If the same file is at the same place here, its folder is appended to `sys.path`: last, so that it can import its
    neighbours but hide nothing. Otherwise the text that was sent is used, under its path at the coordinator.
    """
    if _lies_here(spec):
        folder = str(Path(spec.path).resolve().parent)
        if folder not in sys.path:
            sys.path.append(folder)
    else:
        # For tracebacks. Without a modification time it is never checked against a file.
        linecache.cache[spec.path] = (len(spec.source), None, spec.source.splitlines(True), spec.path)
    module = _execute(spec)
    parse = getattr(module, spec.function, None)
    if not callable(parse):
        raise UsageError(
            f"{spec.path}: the hook has no function {spec.function}(page); define it"
            + (" above the first call of crawl()" if spec.function in spec.source else "")
        )
    found: Parse = parse
    return found


def load_session(spec: HookSpec) -> Prepare | None:
    """Return the hook's `session`, None if it has no such function; `load_hook` has run the hook before."""
    found = vars(sys.modules[MODULE_NAME]).get("session") if MODULE_NAME in sys.modules else None
    if not inspect.isfunction(found):
        return None

    def prepare(session: Any) -> None:
        try:
            found(session)
        except Exception as error:
            place = f"{spec.path}:{_line(spec, error)}"
            raise UsageError(f"{place}: the hook's session() failed: {describe(error)}; correct it") from error

    return prepare


def _lies_here(spec: HookSpec) -> bool:
    try:
        return Path(spec.path).read_text(encoding="utf-8") == spec.source
    except (OSError, ValueError):
        return False


def _execute(spec: HookSpec) -> ModuleType:
    module = ModuleType(MODULE_NAME)
    module.__file__ = spec.path
    # Dataclasses, for example, look up their module by name.
    sys.modules[MODULE_NAME] = module
    try:
        with loading_hook():
            exec(compile(spec.source, spec.path, "exec", dont_inherit=True), module.__dict__)
    except SyntaxError as error:
        place = f"{error.filename or spec.path}:{error.lineno or 1}"
        raise UsageError(f"{place}: the hook is not Python: {error.msg}; correct it") from error
    except (Exception, SystemExit) as error:  # the file's own code may raise anything
        place = f"{spec.path}:{_line(spec, error)}"
        raise UsageError(f"{place}: the hook does not import: {describe(error)}; correct it") from error
    return module


def _line(spec: HookSpec, error: BaseException) -> int:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.path]
    return (lines[-1] if lines else None) or 1
