"""Which templates are declarative shadow roots: their content is part of the page, that of others is not. Pure.

An engine puts the content in the place of its template, so that it is read and selected like what is around it.
"""

from __future__ import annotations

import re

ATTRIBUTE = "shadowrootmode"
SELECTOR = f"template[{ATTRIBUTE}]"

# What may have a shadow root (DOM, 4.8: "attach a shadow root").
_HOST_NAMES = "article aside blockquote body div footer h1 h2 h3 h4 h5 h6 header main nav p section span"
_HOSTS = frozenset(_HOST_NAMES.split())
_CUSTOM = re.compile(r"[a-z][^\s/>\0]*-[^\s/>\0]*")
_TAKEN_NAMES = """
annotation-xml color-profile font-face font-face-src font-face-uri font-face-format font-face-name missing-glyph
"""
_NOT_CUSTOM = frozenset(_TAKEN_NAMES.split())
_MODES = frozenset({"open", "closed"})


def may_stand_in(markup: bytes) -> bool:
    """Say whether markup may have a declarative shadow root; few pages have."""
    return ATTRIBUTE.encode() in markup.lower()


def is_shadow_root(mode: str | None, host: str | None) -> bool:
    """Say whether a template with this `shadowrootmode` is the shadow root of a host with this name, its first one."""
    if host is None or (mode or "").lower() not in _MODES:
        return False
    return host in _HOSTS or (_CUSTOM.fullmatch(host) is not None and host not in _NOT_CUSTOM)
