"""Embedded crawls: `crawl()` runs a crawl below the calling process, and yields its rows there."""
