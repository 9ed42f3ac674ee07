"""Loading no more than a process needs. Only for crawlfleet's own processes, not for programs that use crawlfleet."""

from __future__ import annotations

import sys
from importlib import import_module


def load_structlog() -> None:
    """Import structlog without rich, which structlog would import to print tracebacks in a way that is not used here.

    This saves 8 MB and 30 ms in every process. Call it before anything else imports structlog; rich can still be
    imported afterwards.
    """
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    # A module that is None here cannot be imported.
    sys.modules["rich"] = None  # type: ignore[assignment]  # None in place of a module makes its import fail
    try:
        import_module("structlog")
    finally:
        del sys.modules["rich"]
