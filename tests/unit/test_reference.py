"""The job's keys in `config/reference.yaml` and `docs/reference/jobs.md`: each is there with its default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from crawlfleet.coordinator.job import reference
from crawlfleet.coordinator.job.job import Job
from crawlfleet.coordinator.job.reference import ANY
from crawlfleet.coordinator.job.section import STRICT, Section, keys_of, section_at, sections_at
from crawlfleet.coordinator.job.yaml_source import Document, KeyPath, Place, parse

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "config/reference.yaml").read_text(encoding="utf-8")
DOCS = (ROOT / "docs/reference/jobs.md").read_text(encoding="utf-8")

OF_NOTHING = ("no", "all", "every")  # how a default begins that is no value: none, no limit, nothing, everything, ...


def places(section: type[Section], at: KeyPath = (), walked: set[type[Section]] | None = None) -> Iterator[KeyPath]:
    """Yield the place of each key, `ANY` for what has no name of its own; a section is walked where it stands first."""
    walked = set() if walked is None else walked
    for key in keys_of(section):
        yield (*at, key)
        for steps in ((), (0,), ("x",)):
            below = [each for each in sections_at(section, (key, *steps)) if each not in walked]
            walked.update(below)
            for each in below:
                yield from places(each, (*at, key, *(ANY for _ in steps)), walked)


PLACES = tuple(dict.fromkeys(places(Job)))


def test_the_walk_finds_keys_of_nested_sections_of_lists_and_of_mappings() -> None:
    assert len(PLACES) == len(set(PLACES))
    wanted: set[KeyPath] = {
        ("name",),
        ("seeds", ANY, "sitemap"),
        ("scope", "per_host", "bytes"),
        ("politeness", "ignore_robots", ANY, "reason"),
        ("items", ANY, "fields", ANY, "each"),
    }
    assert wanted <= set(PLACES)


# The reference


place_of = partial(reference.place_of, Job)


@cache
def where_written(text: str) -> dict[KeyPath, Place]:
    """Return the lines and columns of the keys, by their first example."""
    found: dict[KeyPath, Place] = {}
    for path, at in document(text).keys.items():
        found.setdefault(place_of(path), at)
    return found


def document(text: str) -> Document:
    read = parse(text)
    assert not read.problems
    return read


def missing_in_reference(text: str) -> set[KeyPath]:
    return set(PLACES) - where_written(text).keys()


def comment(text: str, place: KeyPath) -> str:
    """Return what the reference says about a key, where it stands first."""
    return reference.comment_at(text.splitlines(), where_written(text)[place])


def states_its_default(place: KeyPath, said: str) -> bool:
    """Tell whether a comment names the default, in YAML as it would be written, or says that the key is needed."""
    stated = re.search(r"\(default: ([^)]*)\)", said)
    field = field_of(place)
    if field.is_required():
        return "(needed)" in said and stated is None
    if "(needed)" in said or stated is None:
        return False
    if field.default_factory is not None or field.default in (None, (), "", {}):
        return stated[1].startswith(("crawlfleet/",) if field.default_factory else OF_NOTHING)
    written: Any = document(f"key: {stated[1]}").value
    kind: Any = Annotated[field.annotation, *field.metadata, None]
    try:
        return bool(TypeAdapter(kind, config=STRICT).validate_python(written["key"]) == field.default)
    except ValidationError:
        return False


def field_of(place: KeyPath) -> FieldInfo:
    sections = sections_at(Job, example(place[:-1]))
    section = next(each for each in sections if place[-1] in keys_of(each))
    return dict(zip(keys_of(section), section.model_fields.values(), strict=True))[str(place[-1])]


def example(place: KeyPath) -> KeyPath:
    return next(path[: len(place)] for path in document(REFERENCE).values if place_of(path)[: len(place)] == place)


def values() -> list[KeyPath]:
    """Return the places of keys that are no sections, whose keys have defaults of their own."""
    return [place for place in PLACES if section_at(Job, place) is None]


def test_reference_has_every_key_and_no_other() -> None:
    assert missing_in_reference(REFERENCE) == set()


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_key_that_is_taken_out_of_the_reference_is_missed(place: KeyPath) -> None:
    lines = REFERENCE.splitlines()
    for path, at in document(REFERENCE).keys.items():
        if place_of(path) == place:
            line = lines[at.line - 1]
            assert line[at.column - 1 :].startswith(f"{place[-1]}:")
            lines[at.line - 1] = f"{line[: at.column - 1]}other_{line[at.column - 1 :]}"
    assert place in missing_in_reference("\n".join(lines))


@pytest.mark.parametrize("place", values(), ids=str)
def test_reference_states_the_default_of_every_key(place: KeyPath) -> None:
    said = comment(REFERENCE, place)
    assert states_its_default(place, said), said
    assert not states_its_default(place, re.sub(r"\((default|needed)[^)]*\)", "", said))
    assert not states_its_default(place, re.sub(r"\((default|needed)[^)]*\)", "(default: 4711)", said))


# The page that says more


def mentioned(text: str) -> set[KeyPath]:
    """Return the places of the keys that the page speaks of: in a block of YAML, or each in the part of its section as
    `key`, `section.key` or `key: value`."""
    found: set[KeyPath] = set()
    for block in re.findall(r"```yaml.*?\n(.*?)```", text, re.DOTALL):
        found |= {place_of(path) for path in document(block).keys}
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for section, part in re.findall(r"^## `(\w+)`$(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE):
        documented = {section, *re.findall(r"`([\w.]+)[^`]*`", part)}
        found |= {place for place in PLACES if place[0] == section and forms(place) & documented}
    return found


def forms(place: KeyPath) -> set[str]:
    """Return how a key may be written in the part of its section: from the section, or from the top."""
    steps = [str(step) for step in place if step != ANY]
    return {".".join(steps), ".".join(steps[1:] or steps)}


def test_the_page_speaks_of_every_key() -> None:
    assert set(PLACES) - mentioned(DOCS) == set()


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_key_that_is_taken_out_of_the_page_is_missed(place: KeyPath) -> None:
    assert place not in mentioned(re.sub(rf"\b{place[-1]}\b", "other", DOCS))
