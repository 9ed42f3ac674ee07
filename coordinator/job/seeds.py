"""A job's seeds: addresses, with ranges, of pages and of sitemaps. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, Discriminator, Tag, TypeAdapter

from crawlfleet.coordinator.job.section import STRICT, Section
from crawlfleet.coordinator.job.seed_ranges import MAX_SEEDS, count, expand
from crawlfleet.coordinator.job.yaml_source import RANGE


class SitemapSeed(Section):
    """A sitemap to begin with: its canonical URL."""

    sitemap: str


class _Sitemaps(Section):
    """A seed as it is written, `sitemap: ADDRESS`, with ranges."""

    sitemap: Annotated[str, AfterValidator(expand)]


Seeds: TypeAlias = tuple[str | SitemapSeed, ...]


def pages_of(seeds: Iterable[str | SitemapSeed]) -> tuple[str, ...]:
    """Return the seeds that are pages."""
    return tuple(seed for seed in seeds if isinstance(seed, str))


def sitemaps_of(seeds: Iterable[str | SitemapSeed]) -> tuple[str, ...]:
    """Return the addresses of the seeds that are sitemaps."""
    return tuple(seed.sitemap for seed in seeds if isinstance(seed, SitemapSeed))


def read_seeds(value: object) -> Seeds:
    """Check a job's seeds; return them with their ranges expanded."""
    wanted = sum(map(_count_alone, value)) if isinstance(value, tuple) else 0
    if wanted > MAX_SEEDS:
        raise ValueError(f"make {wanted} addresses: {MAX_SEEDS} at most are accepted")
    expanded = _WRITTEN.validate_python(value)
    return tuple(dict.fromkeys(seed for written in expanded for seed in _each(written)))


def _form(value: object) -> str:
    # A range without its quotes is a mapping, too: its error says what it was meant to be.
    is_range = isinstance(value, dict) and len(value) == 1 and RANGE.fullmatch("{" + str(next(iter(value))) + "}")
    return "(sitemap)" if isinstance(value, dict) and not is_range else "(page)"


# A seed's validator turns one text into several, which its type cannot say. The tags show up in the paths of complaints
# and are left out of them by `problems`.
_Seed = Annotated[
    Annotated[str, AfterValidator(expand), Tag("(page)")] | Annotated[_Sitemaps, Tag("(sitemap)")], Discriminator(_form)
]
_WRITTEN: TypeAdapter[Any] = TypeAdapter(tuple[_Seed, ...], config=STRICT)


def _each(written: Any) -> Iterable[str | SitemapSeed]:
    if isinstance(written, _Sitemaps):
        return [SitemapSeed(sitemap=url) for url in written.sitemap]
    urls: tuple[str, ...] = written
    return urls


def _count_alone(seed: object) -> int:
    """Count the addresses of a seed, 1 if it is invalid: that has its own error."""
    text = seed.get("sitemap") if isinstance(seed, dict) else seed
    number = count(text) if isinstance(text, str) else 1
    return number if number <= MAX_SEEDS else 1
