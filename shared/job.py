"""The job: what a person wrote in YAML, validated, as frozen values.

Owns the keys, their limits and defaults, and the way from a job to a worker's brief. `load` tells every problem at
once. It must not import the hook, nor reach any network; reading the job file and the hook file is all its I/O.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    PrivateAttr,
    Tag,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from shared import job_values, problems, yaml_source
from shared.css import parse_selector
from shared.errors import JobError
from shared.hook_file import read_hook
from shared.messages import Brief, FetchSpec, FieldRule, HookSpec, ItemRule, ScopeSpec
from shared.quantities import seconds, size_bytes
from shared.seeds import MAX_SEEDS, count, expand, host_name
from shared.urls import host_key
from shared.yaml_source import KeyPath


class _Section(BaseModel):
    """Base of all sections: frozen, nothing unknown, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _given(value: object) -> object:
    """Refuse a key that is there without a value, which the type alone would take for `no limit`."""
    if value is None:
        raise ValueError("is empty")
    return value


def _within(low: int, high: int) -> AfterValidator:
    def check(value: int) -> int:
        if not low <= value <= high:
            raise ValueError(f"{value} is out of range: write a whole number from {low} to {high}")
        return value

    return AfterValidator(check)


def _duration(low: str, high: str) -> BeforeValidator:
    return BeforeValidator(partial(seconds, low=low, high=high))


def _size(low: str, high: str) -> BeforeValidator:
    return BeforeValidator(partial(size_bytes, low=low, high=high))


def _fault(loc: KeyPath, text: str) -> ValidationError:
    """Make an error that belongs to another place than the value under validation."""
    kind = PydanticCustomError("value_error", "{text}", {"text": text})
    return ValidationError.from_exception_data("job", [InitErrorDetails(type=kind, loc=loc, input=text)])


Selector = Annotated[str, AfterValidator(job_values.plain_selector)]
Glob = Annotated[str, AfterValidator(job_values.glob)]
HeaderName = Annotated[str, AfterValidator(job_values.header_name)]
HeaderValue = Annotated[str, AfterValidator(job_values.header_value)]
_STRICT = ConfigDict(strict=True)


def _hosts(value: object) -> object:
    if isinstance(value, str) and value not in ("same", "subdomains"):
        raise ValueError(f"{value!r} is not known: write same, subdomains, or a list such as [example.org]")
    return value if isinstance(value, str) else _HOST_NAMES.validate_python(value)


_HOST_NAMES: TypeAdapter[tuple[str, ...]] = TypeAdapter(
    tuple[Annotated[str, AfterValidator(host_name)], ...], config=_STRICT
)


class ScopeRules(_Section):
    """Which addresses belong to the crawl. None means no limit."""

    hosts: Annotated[Literal["same", "subdomains"] | tuple[str, ...], BeforeValidator(_hosts)] = "same"
    include: tuple[Glob, ...] = ()
    exclude: tuple[Glob, ...] = ()
    depth: Annotated[Annotated[int, _within(0, 10_000)] | None, BeforeValidator(_given)] = None
    pages: Annotated[Annotated[int, _within(1, 10**12)] | None, BeforeValidator(_given)] = None


def default_user_agent() -> str:
    """Return what the crawl calls itself unless the job says otherwise."""
    try:
        return f"crawlfleet/{version('crawlfleet')}"
    except PackageNotFoundError:
        return "crawlfleet/0+checkout"


class Politeness(_Section):
    """How hard one host is pressed by the whole fleet."""

    delay_s: Annotated[float, _duration("0s", "24h")] = Field(default=1.0, alias="delay")
    per_host: Annotated[int, _within(1, 1_000)] = 1
    user_agent: Annotated[str, AfterValidator(job_values.user_agent)] = Field(default_factory=default_user_agent)


_HEADERS: TypeAdapter[dict[str, str]] = TypeAdapter(
    dict[HeaderName, HeaderValue],
    config=_STRICT,
)


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    headers = _HEADERS.validate_python(value)
    index = _repeated(name.lower() for name in headers)
    if index is not None:
        raise _fault((list(headers)[index], "[key]"), "is written twice, with other capitals: keep one")
    return tuple(headers.items())


class FetchRules(_Section):
    """How pages are fetched. `headers` are pairs of name and value."""

    engine: Literal["auto", "requests"] = "auto"
    timeout_s: Annotated[float, _duration("100ms", "10m")] = Field(default=20.0, alias="timeout")
    retries: Annotated[int, _within(0, 20)] = 3
    max_size_bytes: Annotated[int, _size("1KiB", "1GiB")] = Field(default=10 * 1024 * 1024, alias="max_size")
    headers: Annotated[tuple[tuple[str, str], ...], PlainValidator(_headers)] = Field(default=(), repr=False)


class Pick(_Section):
    """A field that takes text or an attribute, of the first match or of all (`many`). It has no keys in YAML."""

    css: str
    take: str
    attr: str
    many: bool

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: object) -> dict[str, object]:
        many = isinstance(value, tuple)
        text = value[0] if isinstance(value, tuple) and len(value) == 1 else value
        if isinstance(text, str):
            return {**parse_selector(text)._asdict(), "many": many}
        raise ValueError("is no field: write a selector, [selector] for a list, or a mapping of each and fields")

    def rule(self, name: str) -> FieldRule:
        """Return the same for a worker."""
        return FieldRule(name=name, selector=self.css, take=self.take, attr=self.attr, many=self.many)


class Nest(_Section):
    """A field that is a list of objects, one for each match of `each`."""

    each: Selector
    fields: Annotated[dict[FieldName, Spec], AfterValidator(_some_fields)]

    def rule(self, name: str) -> FieldRule:
        """Return the same for a worker."""
        return FieldRule(name=name, selector=self.each, many=True, fields=_field_rules(self.fields))


def _form(value: object) -> str:
    return "(nest)" if isinstance(value, dict | Nest) else "(pick)"


def _some_fields(fields: dict[str, Spec]) -> dict[str, Spec]:
    if not fields:
        raise ValueError("has no field: write one such as title: h1::text")
    return fields


def _field_rules(fields: Mapping[str, Spec]) -> tuple[FieldRule, ...]:
    return tuple(spec.rule(name) for name, spec in fields.items())


FieldName: TypeAlias = Annotated[str, AfterValidator(job_values.field_name)]
ItemFieldName: TypeAlias = Annotated[str, AfterValidator(job_values.item_field_name)]
# The tags show up in the paths of complaints and are left out of them by `problems`.
Spec: TypeAlias = Annotated[Annotated[Pick, Tag("(pick)")] | Annotated[Nest, Tag("(nest)")], Discriminator(_form)]


class Item(_Section):
    """One kind of item: one for each match of `each`, or one of the whole page without it."""

    name: Annotated[str, AfterValidator(job_values.item_name)]
    each: Annotated[Selector | None, BeforeValidator(_given)] = None
    fields: Annotated[dict[ItemFieldName, Spec], AfterValidator(_some_fields)]

    def rule(self) -> ItemRule:
        """Return the same for a worker."""
        return ItemRule(name=self.name, each=self.each or "", fields=_field_rules(self.fields))


def _items(items: tuple[Item, ...]) -> tuple[Item, ...]:
    index = _repeated([item.name for item in items])
    if index is not None:
        raise _fault((index, "name"), f"{items[index].name!r} is the name of an earlier rule: give each its own")
    return items


def _repeated(names: Iterable[str]) -> int | None:
    """Return the index of the first name that is there twice."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            return index
        seen.add(name)
    return None


# A seed's validator turns one text into several, which its type cannot say.
_EXPANDED: TypeAdapter[Any] = TypeAdapter(tuple[Annotated[str, AfterValidator(expand)], ...], config=_STRICT)


def _seeds(value: object) -> tuple[str, ...]:
    wanted = sum(map(_count_alone, value)) if isinstance(value, tuple) else 0
    if wanted > MAX_SEEDS:
        raise ValueError(f"make {wanted} addresses: {MAX_SEEDS} at most are accepted")
    expanded = _EXPANDED.validate_python(value)
    seeds = tuple(dict.fromkeys(url for urls in expanded for url in urls))
    if not seeds:
        raise ValueError("holds no seed: write an address such as https://example.org/")
    return seeds


def _count_alone(seed: object) -> int:
    """Count what a seed adds to all seeds; one that is wrong by itself is told by itself."""
    number = count(seed) if isinstance(seed, str) else 1
    return number if number <= MAX_SEEDS else 1


def _hook(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return _given(value)
    assert info.context is not None
    path = Path(os.path.realpath(info.context["folder"] / value))
    info.context["hook"] = read_hook(path)
    return path


def _sinks(names: tuple[str, ...]) -> tuple[str, ...]:
    # By folded case, since some file systems take the two for one file.
    index = _repeated(name.casefold() for name in names)
    if index is not None:
        raise _fault((index,), f"{names[index]!r} is listed twice: keep one")
    return names


class Job(_Section):
    """A whole job. `seeds` are canonical URLs, ranges expanded; `hooks` is the resolved path of the hook."""

    name: Annotated[str, AfterValidator(job_values.job_name)]
    seeds: Annotated[tuple[str, ...], PlainValidator(_seeds)]
    scope: ScopeRules = ScopeRules()
    politeness: Politeness = Field(default_factory=Politeness)
    fetch: FetchRules = FetchRules()
    items: Annotated[tuple[Item, ...], AfterValidator(_items)] = ()
    follow: Annotated[tuple[Selector, ...] | None, BeforeValidator(_given)] = None
    hooks: Annotated[Path | None, BeforeValidator(_hook)] = None
    sinks: Annotated[tuple[Annotated[str, AfterValidator(job_values.sink)], ...], AfterValidator(_sinks)] = (
        "items.jsonl",
    )
    lease_s: Annotated[float, _duration("1s", "1h")] = Field(default=15.0, alias="lease")
    durability: Literal["process", "power", "none"] = "process"
    _hook_source: str = PrivateAttr("")

    def model_post_init(self, context: Any, /) -> None:
        """Keep the text of the hook as it was when it was checked."""
        self._hook_source = (context or {}).get("hook", "")

    @model_validator(mode="after")
    def _seeds_in_scope(self) -> Job:
        if isinstance(self.scope.hosts, tuple):
            for host in dict.fromkeys(map(host_key, self.seeds)):
                if host not in self.scope.hosts:
                    raise _fault(("scope", "hosts"), f"{host!r} is the host of a seed and not among them: add it")
        return self


def load(path: Path) -> Job:
    """Read and validate a job file; raise `JobError` with every problem found."""
    document = yaml_source.read(path)
    found = list(document.problems)
    if document.complete:
        try:
            job = Job.model_validate(document.value, context={"folder": path.parent, "hook": ""})
        except ValidationError as error:
            found += problems.judge(document, error.errors(include_url=False), _advise)
        else:
            if not found:
                return job
    raise JobError(problems.told(str(path), found))


def as_data(job: Job) -> dict[str, Any]:
    """Return a job as plain data, to be kept and compared."""
    return job.model_dump(mode="json", warnings=False)


def brief(job: Job) -> Brief:
    """Return what workers need to know of a job."""
    return Brief(
        job=job.name,
        scope=_scope_spec(job),
        fetch=FetchSpec(
            engine=job.fetch.engine,
            timeout_s=job.fetch.timeout_s,
            max_size_bytes=job.fetch.max_size_bytes,
            user_agent=job.politeness.user_agent,
            headers=job.fetch.headers,
        ),
        items=tuple(item.rule() for item in job.items),
        follow=job.follow,
        hook=HookSpec(path=str(job.hooks), source=job._hook_source) if job.hooks is not None else None,
    )


def _scope_spec(job: Job) -> ScopeSpec:
    scope = job.scope
    hosts = scope.hosts if isinstance(scope.hosts, tuple) else dict.fromkeys(map(host_key, job.seeds))
    return ScopeSpec(
        hosts=tuple(hosts),
        subdomains=scope.hosts == "subdomains",
        include=scope.include,
        exclude=scope.exclude,
    )


def keys_of(section: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys of a section as they are written in YAML."""
    return tuple(field.alias or name for name, field in section.model_fields.items())


SECTIONS: dict[str, type[BaseModel]] = {"scope": ScopeRules, "politeness": Politeness, "fetch": FetchRules}


def _advise(path: KeyPath, key: str) -> str:
    elsewhere = {name: keys_of(section) for name, section in SECTIONS.items()}
    return problems.unknown_key(key, keys_of(_section_at(path)), elsewhere)


def _section_at(path: KeyPath) -> type[BaseModel]:
    if not path:
        return Job
    if path[0] == "items":
        return Item if len(path) == 2 else Nest
    return SECTIONS[str(path[0])]
