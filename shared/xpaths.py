"""XPath of a job: which expressions can be used. Pure.

They are those of XPath 1.0, as libxml2 knows it: without namespaces, variables, or functions of others.
"""

from __future__ import annotations

from typing import Any

MAX_XPATH_CHARS = 1_000


def compiled(expression: str) -> Any:
    """Return a function from an element of lxml to what an expression selects; raise `ValueError` with a sentence."""
    # Imported when a job asks for it: it takes some MB.
    from lxml import etree

    if not expression.strip() or len(expression) > MAX_XPATH_CHARS:
        raise ValueError(f"wants 1 to {MAX_XPATH_CHARS} characters: write one such as //h1")
    try:
        found = etree.XPath(expression)
        # Unknown functions, prefixes and variables are found when it is used.
        found(etree.Element("html"))
    except (etree.XPathError, ValueError) as error:
        raise ValueError(f"{expression[:100]!r} is no XPath that can be used ({error}): correct it") from error
    return found
