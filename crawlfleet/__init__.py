"""crawlfleet: a distributed crawler. The only package that users import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crawlfleet.fleet import Fleet, JobFinished, connect
    from worker.extract.page import Page

__all__ = ["Fleet", "JobFinished", "Page", "__version__", "connect"]

_HOMES = {
    "Fleet": "crawlfleet.fleet",
    "JobFinished": "crawlfleet.fleet",
    "connect": "crawlfleet.fleet",
    "Page": "worker.extract.page",
}


def __getattr__(name: str) -> Any:
    """Load the public names when they are asked for: the command line must not pay for them."""
    if name == "__version__":
        from importlib import metadata

        return metadata.version("crawlfleet")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
