"""Where a function that `crawl()` got as `parse=` is defined: it travels to the workers by its file and its name.

A worker executes that file as a hook. If it is the script that calls `crawl()`, that call is where the execution ends:
what stands above it is there, and nothing below it happens twice.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.hook_loading import HookCalledCrawl, is_loading_hook

_WRITE = (
    "write it at the top level of a file, such as hooks.py (%%writefile does that in a notebook), and say "
    "parse='hooks.py:{name}', or import it from there"
)


def where_defined(parse: Callable[[Any], object] | str | os.PathLike[str]) -> str:
    """Return the hook of a function, or of a path, as a job names it: `FILE.py:NAME` or `FILE.py`.

    Raise `UsageError` for a function that workers cannot get from a file: of a notebook, a lambda, a closure, a method.
    """
    if isinstance(parse, str | os.PathLike):
        return os.fspath(parse)
    name = getattr(parse, "__name__", "")
    module = sys.modules.get(getattr(parse, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    if not isinstance(name, str) or not name.isidentifier() or not callable(parse):
        raise UsageError(f"parse={parse!r:.80} is no function with a name: {_WRITE.format(name='parse')}")
    if file is None or not Path(file).is_file():
        raise UsageError(f"parse={name}: workers get it by its file, and it has none: {_WRITE.format(name=name)}")
    if getattr(module, name, None) is not parse:
        where = getattr(parse, "__qualname__", name)
        raise UsageError(f"parse={where}: it is not at the top level of {file}: {_WRITE.format(name=name)}")
    return f"{Path(file).resolve()}:{name}"


def refuse_while_imported() -> None:
    """End the execution of a hook here if a worker is executing it: the crawl is the caller's, not the worker's."""
    if is_loading_hook():
        raise HookCalledCrawl
