"""The kinds of XML that list addresses, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of XML: the element of an entry, its depth below the root, and the names of its fields."""

    item: str
    depth: int = 2
    url: str = "loc"
    changed: str = "lastmod"
    priority: str = "priority"
    guid: str = ""
    is_index: bool = False


FORMS = {
    "urlset": Form("url"),
    "sitemapindex": Form("sitemap", is_index=True),
    "rss": Form("item", depth=3, url="link", changed="pubDate", guid="guid"),
    "RDF": Form("item", url="link", changed="date"),
    "feed": Form("entry", url="link", changed="updated"),
}
