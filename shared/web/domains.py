"""Registrable domains, by the Public Suffix List that comes with tldextract: nothing is ever fetched for them.

The private part of the list counts too: of `a.github.io` and `b.github.io` each is a domain of its own.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from crawlfleet.shared.remembered import remembered

if TYPE_CHECKING:
    import tldextract


@remembered(8192)
def registrable_domain(host: str) -> str:
    """Return the registrable domain of a canonical host name; an address is its own, an unlisted suffix one label."""
    last = host.rpartition(".")[2]
    if last == host or last.isdecimal() or host.startswith("["):
        return host  # one label, or an address: no canonical name ends in a number. Loading the list takes long.
    found = _extractor().extract_str(host)
    if found.suffix:
        return found.top_domain_under_public_suffix or host
    return ".".join(host.rstrip(".").split(".")[-2:])


def is_public_suffix(host: str) -> bool:
    """Say whether names below a canonical host name belong to different owners, as those below `co.uk` do."""
    return _extractor().extract_str(host).suffix == host


@cache
def _extractor() -> tldextract.TLDExtract:
    import tldextract  # it imports an HTTP client, which would take a third of a coordinator's start-up time

    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)
