"""Keeps markup from being nested so deep that parsing it takes hours. Pure.

An HTML5 parser walks up its stack of open elements at many tags, so that time grows with tags times depth: measured,
50,000 open `div` take 2 s, ten megabytes of them an hour. Browsers flatten what is deeper than some hundred levels;
here tags beyond `MAX_DEPTH` become comments before the parser sees them, and texts and links stay.
"""

from __future__ import annotations

import re

MAX_DEPTH = 1_000
BLOCK_BYTES = 8 * 1024

# Without its attributes, so that no quoting can hide a tag; possessive, so that no name is searched twice.
_TAG = re.compile(rb"<(/?)([a-zA-Z][^\s/><]*+)")
# Void, or closed by the next of their kind: however many there are, they do not nest by themselves.
_FLAT = frozenset(
    b"a area base br col dd dt embed hr img input li link meta option p param source td th tr track wbr".split()
)


def flattened(body: bytes) -> bytes:
    """Return markup in UTF-8 with no tags deeper than `MAX_DEPTH`: nearly always the body itself."""
    return _without_deep_tags(body) if _may_be_deep(body) else body


def _may_be_deep(body: bytes) -> bool:
    """Bound the depth from above, block by block, by counting alone."""
    if body.count(b"<") <= MAX_DEPTH:
        return False
    depth = 0
    for start in range(0, len(body), BLOCK_BYTES):
        block = body[start : start + BLOCK_BYTES]
        closing = block.count(b"</")
        opening = block.count(b"<") - closing
        if depth + opening > MAX_DEPTH:
            return True
        depth = max(0, depth + opening - closing)
    return False


def _without_deep_tags(body: bytes) -> bytes:
    depth = 0

    def keep(tag: re.Match[bytes]) -> bytes:
        nonlocal depth
        if tag[2].lower() in _FLAT:
            return tag[0]
        if tag[1]:
            deep = depth > MAX_DEPTH
            depth = max(0, depth - 1)
        else:
            depth += 1
            deep = depth > MAX_DEPTH
        # `<!` opens a comment that ends with the tag (HTML, 13.2.5.41: bogus comment).
        return b"<!" + tag[0][1:] if deep else tag[0]

    return _TAG.sub(keep, body)
