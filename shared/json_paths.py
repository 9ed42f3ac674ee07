"""JMESPath: which expressions can be used, and what they find. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

MAX_JMESPATH_CHARS = 1_000


def compiled(expression: str) -> Callable[[Any], Any]:
    """Return a function from plain data to what an expression finds in it, None for nothing.

    Raise `ValueError` with a sentence for an expression that cannot be used.
    """
    # Imported when a job asks for it.
    import jmespath
    from jmespath.exceptions import JMESPathError

    if not expression.strip() or len(expression) > MAX_JMESPATH_CHARS:
        raise ValueError(f"wants 1 to {MAX_JMESPATH_CHARS} characters: write one such as products[].name")
    try:
        found = jmespath.compile(expression)
        # Unknown functions are found when it is used.
        found.search(None)
    except JMESPathError as error:
        if not _is_of_data(error):
            said = " ".join(str(error).split())
            text = f"{expression[:100]!r} is no JMESPath ({said[:200]}): correct it; names with other signs need quotes"
            raise ValueError(text) from error
    except RecursionError as error:
        raise ValueError("is nested too deep: make it shorter") from error

    def search(data: Any) -> Any:
        try:
            return found.search(data)
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError):  # of functions, by odd data
            return None

    return search


def _is_of_data(error: Exception) -> bool:
    """Say whether an error is about what a function was given, which other data may change."""
    from jmespath.exceptions import JMESPathTypeError

    return isinstance(error, JMESPathTypeError)
