"""A job's seeds: addresses, with ranges, of pages and of sitemaps; and files of addresses, whose beginning is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    PrivateAttr,
    Tag,
    TypeAdapter,
    ValidationInfo,
    model_validator,
)

from crawlfleet.coordinator.job.section import STRICT, Section, fault, given, tag_of
from crawlfleet.coordinator.job.seed_ranges import MAX_SEEDS, count, expand
from crawlfleet.coordinator.job.seed_reader import SeedReader, look
from crawlfleet.coordinator.job.yaml_source import RANGE


class SitemapSeed(Section):
    """A sitemap to begin with: its canonical URL."""

    sitemap: str


class _Sitemaps(Section):
    """A seed as it is written, `sitemap: ADDRESS`, with ranges."""

    sitemap: Annotated[str, AfterValidator(expand)]


def _file_name(value: str) -> str:
    if not value.isprintable() or not value:
        raise ValueError(f"{value[:60]!r} is no file name: write printable characters")
    return value


class SeedFile(Section):
    """A file of addresses: its name as it is written, and the column that has them if it is a CSV file."""

    file: Annotated[str, AfterValidator(_file_name)]
    column: Annotated[str | None, BeforeValidator(given)] = None
    _path: Path = PrivateAttr(Path())
    _columns: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _look(self, info: ValidationInfo) -> SeedFile:
        assert info.context is not None
        self._path = Path(os.path.realpath(info.context["folder"] / self.file))
        try:
            self._columns = look(self._path, self.column, self.file)
        except ValueError as why:
            raise fault(("file",), str(why)) from why
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the other columns that are kept."""
        return self._columns

    def reader(self, columns: Sequence[str]) -> SeedReader:
        """Return a reader of the file, which keeps these columns."""
        return SeedReader(self._path, self.file, self.column, columns)


Seed: TypeAlias = str | SitemapSeed | SeedFile
Seeds: TypeAlias = tuple[Seed, ...]


def pages_of(seeds: Iterable[Seed]) -> tuple[str, ...]:
    """Return the seeds that are pages."""
    return tuple(seed for seed in seeds if isinstance(seed, str))


def sitemaps_of(seeds: Iterable[Seed]) -> tuple[str, ...]:
    """Return the addresses of the seeds that are sitemaps."""
    return tuple(seed.sitemap for seed in seeds if isinstance(seed, SitemapSeed))


def files_of(seeds: Iterable[Seed]) -> tuple[SeedFile, ...]:
    """Return the seeds that are files."""
    return tuple(seed for seed in seeds if isinstance(seed, SeedFile))


def columns_of(seeds: Iterable[Seed]) -> tuple[str, ...] | None:
    """Return the names of all columns of seeds files, of those with one name the first; None if there is no file."""
    files = files_of(seeds)
    names = {name.casefold(): name for seed in reversed(files) for name in reversed(seed.columns)}
    return tuple(reversed(names.values())) if files else None


def read_seeds(value: object, info: ValidationInfo) -> Seeds:
    """Check a job's seeds; return them with their ranges expanded, and files after looking at their beginning."""
    wanted = sum(map(_count_alone, value)) if isinstance(value, tuple) else 0
    if wanted > MAX_SEEDS:
        raise ValueError(
            f"make {wanted} addresses: {MAX_SEEDS} at most are accepted; put more into a file, {{file: urls.txt}}"
        )
    expanded = _WRITTEN.validate_python(value, context=info.context)
    return tuple(dict.fromkeys(seed for written in expanded for seed in _each(written)))


def _form(value: object) -> str:
    # A range without its quotes is a mapping, too: its error says what it was meant to be.
    is_range = isinstance(value, dict) and len(value) == 1 and RANGE.fullmatch("{" + str(next(iter(value))) + "}")
    if not isinstance(value, dict) or is_range:
        return "(page)"
    is_file = any(get_close_matches(key, ("file", "column"), 1) for key in value)
    return tag_of(SeedFile if is_file and "sitemap" not in value else SitemapSeed)


# A seed's validator turns one text into several, which its type cannot say. The tags show up in the paths of complaints
# and are left out of them by `problems`.
_Seed = Annotated[
    Annotated[str, AfterValidator(expand), Tag("(page)")]
    | Annotated[_Sitemaps, Tag(tag_of(SitemapSeed))]
    | Annotated[SeedFile, Tag(tag_of(SeedFile))],
    Discriminator(_form),
]
#: What is written in a job, before ranges are expanded.
WrittenSeeds = tuple[_Seed, ...]
_WRITTEN: TypeAdapter[Any] = TypeAdapter(WrittenSeeds, config=STRICT)


def _each(written: Any) -> Iterable[Seed]:
    if isinstance(written, SeedFile):
        return [written]
    if isinstance(written, _Sitemaps):
        return [SitemapSeed(sitemap=url) for url in written.sitemap]
    urls: tuple[str, ...] = written
    return urls


def _count_alone(seed: object) -> int:
    """Count the addresses of a seed, 1 if it is invalid: that has its own error."""
    text = seed.get("sitemap") if isinstance(seed, dict) else seed
    number = count(text) if isinstance(text, str) else 1
    return number if number <= MAX_SEEDS else 1
