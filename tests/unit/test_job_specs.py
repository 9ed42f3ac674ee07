"""A job's keys on their way: each reaches the workers' brief or the coordinator's policy, by its name alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from pydantic import Field

from crawlfleet.coordinator.app import policy
from crawlfleet.coordinator.job import job as job_module
from crawlfleet.coordinator.job.job import FetchRules, Job, brief, load
from crawlfleet.coordinator.job.section import Plain, defaults
from crawlfleet.shared.messages import Brief, FetchSpec

ANY = "*"
JOB = load(Path(__file__).parents[2] / "config/reference.yaml")

# Keys that whoever puts a crawl together reads: they are no worker's business, and no rule's.
READ_AT_THE_START = {"sinks.*", "durability", "politeness.ignore_robots.*.reason"}
# What the specs hold beside a job's keys: the text of a file, and limits and numbers that are the same for all jobs.
OF_NO_KEY = {"brief.hook.source", "brief.max_outlinks", "brief.max_report_bytes", "brief.max_rows"}
OF_NO_KEY |= {
    f"policy.{name}"
    for name in (
        *("retry_base_s", "retry_max_s", "hold_max_s", "max_hops", "robots_hops", "robots_fresh_s"),
        *("robots_fresh_least_s", "robots_pause_s", "robots_pause_max_s", "ahead_s", "tasks_per_lease"),
        *("tasks_per_slot", "most_per_slot", "busy_s", "suspect_losses", "poison_deaths", "max_outlinks"),
    )
}


def others(value: Any, kind: Any = None) -> Iterator[tuple[str, Any]]:
    """Yield a value once for each key within it, with something else there; what the rules accept is not asked."""
    if isinstance(value, Plain):
        for name, field in type(value).model_fields.items():
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
        yield "", another(value, kind)


def another(value: Any, kind: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if value is None or value == ():
        return 1 if value is None else ("x",)
    names = [name for each in (kind, *get_args(kind)) for name in get_args(each) if isinstance(name, str)]
    if names or isinstance(value, Path):
        return next((name for name in names if name != value), None) or value / "x"
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
    return re.sub(r"\.\d+", f".{ANY}", place)


CHANGES = [(place.removeprefix("."), differences(job)) for place, job in others(JOB)]


def test_every_key_reaches_the_worker_or_the_rules() -> None:
    assert {place for place, changed in CHANGES if not changed} == READ_AT_THE_START


def test_every_field_of_a_spec_comes_from_a_key() -> None:
    assert set(map(generic, specs(JOB))) - {place for _, changed in CHANGES for place in changed} == OF_NO_KEY


class JitterSpec(FetchSpec, frozen=True, kw_only=True):
    jitter_s: float = 0.5


class JitterBrief(Brief, frozen=True, kw_only=True):
    fetch: JitterSpec = JitterSpec()


class JitterRules(FetchRules):
    jitter_s: float = defaults(JitterSpec).jitter_s


class JitterJob(Job):
    fetch: JitterRules = Field(default_factory=JitterRules)


def test_a_new_key_of_the_worker_is_its_line_in_the_section_and_in_the_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_module, "FetchSpec", JitterSpec)
    monkeypatch.setattr(job_module, "Brief", JitterBrief)
    written = {"name": "new", "seeds": ("http://a.test/",)}
    told = [JitterJob.model_validate({**written, "fetch": fetch}) for fetch in ({}, {"jitter": 2.0})]
    briefs = [brief(job).fetch for job in told]
    assert [spec.jitter_s for spec in briefs if isinstance(spec, JitterSpec)] == [0.5, 2.0]
