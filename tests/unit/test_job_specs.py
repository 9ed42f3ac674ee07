"""A job's keys on their way: each reaches the workers' brief or the coordinator's policy, by its name alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from pydantic import Field as Key
from pydantic.fields import FieldInfo

from crawlfleet.coordinator.core.policy import Policy, Politeness, Tuning
from crawlfleet.coordinator.job import job as job_module
from crawlfleet.coordinator.job.fields import Field
from crawlfleet.coordinator.job.job import FetchRules, Job, PolitenessRules, brief, load, policy
from crawlfleet.coordinator.job.section import Plain, defaults
from crawlfleet.coordinator.job.where import Where
from crawlfleet.shared.brief import Brief, FetchSpec

ANY = "*"
JOB = load(Path(__file__).parents[2] / "config/reference.yaml")

# Keys that whoever puts a crawl together reads: they are no worker's business, and no rule's.
READ_AT_THE_START = {"expect.rows", "expect.rows.*", "expect.filled", "expect.filled.*", "expect.failed"}
READ_AT_THE_START |= {
    "durability",
    "frontier",
    "politeness.ignore_robots.*.reason",
    "columns",
    "columns.*",
    "columns.*.*",
}
READ_AT_THE_START |= {"sinks.*", "sinks.*.file", "sinks.*.formulas", "sinks.*.rotate"}
READ_AT_THE_START |= {"sinks.*.to", "sinks.*.schema", "sinks.*.prefix", "sinks.*.headers", "sinks.*.headers.*.*"}
READ_AT_THE_START |= {"seeds.*.file", "seeds.*.column"}
READ_AT_THE_START |= {"tables.urls", "tables.links", "tables.broken"}  # but for whether one of the last two is there
# What the specs hold beside a job's keys: the text of a file, the function that its name may end in, and limits and
# numbers that are the same for all jobs.
OF_NO_KEY = {"brief.hook.source", "brief.hook.function"}
# Which of several keys is written.
OF_NO_KEY |= {"brief.items.*.by", "brief.items.*.when_by", "brief.items.*.fields.*.by"}
OF_NO_KEY |= {f"policy.tuning.{name}" for name in Tuning.__struct_fields__} | {"policy.max_outlinks"}
OF_NO_KEY |= {"brief.links.listed", "policy.keeps_links", "brief.reserved.*"}
# When the crawl was opened.
OF_NO_KEY |= {"policy.taken_over_at"}


def others(value: Any, kind: Any = None) -> Iterator[tuple[str, Any]]:
    """Yield a value once for each key within it, with something else there; what the rules accept is not asked."""
    if isinstance(value, Plain):
        for name, field in written(value):
            for place, other in others(getattr(value, name), field.annotation):
                yield f".{field.alias}{place}", value.model_copy(update={name: other})
    elif isinstance(value, tuple) and value:
        for index, member in enumerate(value):
            for place, other in others(member):
                yield f".{ANY}{place}", (*value[:index], other, *value[index + 1 :])
    elif isinstance(value, dict):
        yield "", {f"{name}_": each for name, each in value.items()}
        for name, each in value.items():
            for place, other in others(each):
                yield f".{ANY}{place}", {**value, name: other}
    else:
        yield from (("", other) for other in words(kind, value) or [another(value, kind)])


def words(kind: Any, value: Any) -> list[str]:
    """Return the words that a `Literal` allows in the place of a value."""
    names = [name for each in (kind, *get_args(kind)) for name in get_args(each) if isinstance(name, str)]
    return [name for name in names if name != value]


def written(section: Plain) -> list[tuple[str, FieldInfo]]:
    """Return the keys of a section; of one in which keys exclude each other, those that are written."""
    fields = type(section).model_fields.items()
    is_choice = isinstance(section, Field | Where)
    return [(name, field) for name, field in fields if not is_choice or getattr(section, name) not in (None, ())]


def another(value: Any, kind: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if value is None or value == ():
        other = "x" if "str" in str(kind) else 1
        return other if value is None else (other,)
    if isinstance(value, Path):
        return value / "x"
    return f"x{value}".replace("xhttps://", "https://x")


def specs(job: Job) -> dict[str, Any]:
    """Return what workers and rules go by, one value for each field at its place."""
    work = brief(job)
    both = {"brief": msgspec.to_builtins(work), "policy": msgspec.to_builtins(policy(job, work))}
    return dict(flat(both))


def flat(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict | list | tuple):
        yield at.removeprefix("."), value
    else:
        for step, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from flat(each, f"{at}.{step}")


def differences(job: Job) -> set[str]:
    """Return the places of the fields in which a job's specs differ from those of `JOB`."""
    before, after = specs(JOB), specs(job)
    return {generic(place) for place in before.keys() | after.keys() if before.get(place, ANY) != after.get(place, ANY)}


def generic(place: str) -> str:
    """Return a place with `ANY` in the place of numbers; fields within fields have the keys of fields."""
    return re.sub(r"(\.fields\.\*)+", ".fields.*", re.sub(r"\.\d+", f".{ANY}", place))


CHANGES = [(place.removeprefix("."), differences(job)) for place, job in others(JOB)]


def test_every_key_reaches_the_worker_or_the_rules() -> None:
    assert {place for place, changed in CHANGES if not changed} == READ_AT_THE_START


def test_every_field_of_a_spec_comes_from_a_key() -> None:
    assert set(map(generic, specs(JOB))) - {place for _, changed in CHANGES for place in changed} == OF_NO_KEY


@pytest.mark.parametrize(
    ("tables", "has_links"),
    [({}, False), ({"urls": "a.jsonl"}, False), ({"links": "a.jsonl"}, True), ({"broken": "a.jsonl"}, True)],
)
def test_links_are_recorded_if_a_table_of_them_is_wanted(tables: dict[str, str], has_links: bool) -> None:
    job = Job.model_validate({"name": "new", "seeds": ("http://a.test/",), "tables": tables})
    work = brief(job)
    assert (work.links.listed, policy(job, work).keeps_links) == (has_links, has_links)


class JitterSpec(FetchSpec, frozen=True, kw_only=True):
    jitter_s: float = 0.5


class JitterBrief(Brief, frozen=True, kw_only=True):
    fetch: JitterSpec = JitterSpec()


class JitterRules(FetchRules):
    jitter_s: float = defaults(JitterSpec).jitter_s


class NightPoliteness(Politeness, frozen=True, kw_only=True):
    night_s: float = 60.0


class NightPolicy(Policy, frozen=True, kw_only=True):
    politeness: NightPoliteness


class NightRules(PolitenessRules):
    night_s: float = defaults(NightPoliteness).night_s


class NewJob(Job):
    politeness: NightRules = Key(default_factory=NightRules)
    fetch: JitterRules = Key(default_factory=JitterRules)


def jobs(section: str, **keys: object) -> tuple[NewJob, NewJob]:
    """Return a job without keys in a section, and one with some."""
    written = {"name": "new", "seeds": ("http://a.test/",)}
    return NewJob.model_validate(written), NewJob.model_validate({**written, section: keys})


def test_a_new_key_of_the_worker_is_its_line_in_the_section_and_in_the_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "FetchSpec", JitterSpec)
    monkeypatch.setattr(job_module, "Brief", JitterBrief)
    found = [brief(job).fetch for job in jobs("fetch", jitter=2.0)]
    assert [spec.jitter_s for spec in found if isinstance(spec, JitterSpec)] == [0.5, 2.0]


def test_a_new_key_of_the_rules_is_its_line_in_the_section_and_in_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "Politeness", NightPoliteness)
    monkeypatch.setattr(job_module, "Policy", NightPolicy)
    found = [policy(job, brief(job)).politeness for job in jobs("politeness", night=5.0)]
    assert [section.night_s for section in found if isinstance(section, NightPoliteness)] == [60.0, 5.0]
