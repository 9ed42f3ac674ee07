"""Loading no more than a process needs. For whole processes of ours: a program that uses us loads what it likes."""

from __future__ import annotations

import sys
from importlib import import_module


def load_structlog() -> None:
    """Import structlog without rich, which it looks for to print tracebacks that nobody here has it print.

    That is 8 MB and 30 ms of every process. To be called before anything else imports structlog; rich can be imported
    afterwards as ever.
    """
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    # What is None here cannot be imported.
    sys.modules["rich"] = None  # type: ignore[assignment]  # None in place of a module makes its import fail
    try:
        import_module("structlog")
    finally:
        del sys.modules["rich"]
