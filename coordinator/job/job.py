"""The job: what a person wrote in YAML, validated, as frozen values.

Owns the keys, their limits, and the way from a job to what workers (`brief`) and the coordinator's rules (`policy`)
go by. A default stands in the spec that its key's value goes into, or here if there is none. `load` tells every problem
at once. It must not import the hook, nor reach any network; reading the job file and the files it names is all its I/O.
"""

from __future__ import annotations

import os
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec.structs import replace
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from crawlfleet.coordinator.core.policy import Extent, FetchLimits, Policy, Politeness
from crawlfleet.coordinator.core.seed_line import RESERVED
from crawlfleet.coordinator.job import problems
from crawlfleet.coordinator.job import values as job_values
from crawlfleet.coordinator.job.expect import Expectations, check_names
from crawlfleet.coordinator.job.headers import Headers, harmless
from crawlfleet.coordinator.job.items import Item, check_items, leave_names
from crawlfleet.coordinator.job.limits import LimitRules
from crawlfleet.coordinator.job.named_files import PARSE, hook_named, prepares_sessions, read_ca_file, read_hook
from crawlfleet.coordinator.job.scope import PriorityRule, ScopeRules, TrapRules, UrlRules
from crawlfleet.coordinator.job.section import (
    Section,
    Written,
    defaults,
    duration,
    fault,
    given,
    keys_of,
    one_of,
    repeated,
    section_at,
    size,
    within,
)
from crawlfleet.coordinator.job.seed_ranges import host_name
from crawlfleet.coordinator.job.seeds import (
    Seeds,
    WrittenSeeds,
    columns_of,
    files_of,
    pages_of,
    read_seeds,
    sitemaps_of,
)
from crawlfleet.coordinator.job.sinks import Columns, Sink, TableFiles, check_name_lengths, check_sinks
from crawlfleet.coordinator.job.sites import Sites, origins_of, site_specs
from crawlfleet.coordinator.job.source import JobSource, read
from crawlfleet.coordinator.job.where import Selector
from crawlfleet.coordinator.job.yaml_source import KeyPath
from crawlfleet.coordinator.results.columns import layout_of
from crawlfleet.shared.brief import Brief, FetchSpec, HookSpec, LinkSpec, ParseSpec, ScopeSpec, UrlSpec
from crawlfleet.shared.engines import FETCH_ENGINES, PARSE_ENGINES, names, that_prepare_sessions
from crawlfleet.shared.errors import JobError
from crawlfleet.shared.messages import PAGE_FIELDS, PAGE_ITEM
from crawlfleet.shared.paths import shown
from crawlfleet.shared.web.urls import host_key

_NAME = {"pattern": job_values.JOB_NAME, "maxLength": job_values.MAX_NAME_CHARS}
JobName = Annotated[str, AfterValidator(job_values.job_name), Written(lambda: _NAME)]
Timeout = Annotated[float, duration("100ms", "10m")]
ContentType = Annotated[str, AfterValidator(job_values.content_type)]

# Of lines of seeds files: a scope of more would be a burden to workers, who get all of it.
MAX_JOINING_HOSTS = 1_000

_POLICY = defaults(Policy)
_POLITENESS = defaults(Politeness)
_FETCH = defaults(FetchSpec, FetchLimits)
_LINKS = defaults(LinkSpec)


def default_user_agent() -> str:
    """Return the user agent of a job that names none."""
    try:
        return f"crawlfleet/{version('crawlfleet')}"
    except PackageNotFoundError:
        return "crawlfleet/0+checkout"


def _one_host(value: str) -> str:
    if "*" in value:
        raise ValueError(f"{value[:60]!r} is no single host: write one such as example.org")
    return host_name(value)


class IgnoredRobots(Section):
    """A host whose robots.txt is not asked for, and why."""

    host: Annotated[str, AfterValidator(_one_host)]
    reason: Annotated[str, AfterValidator(job_values.reason)]


def _ignored(entries: tuple[IgnoredRobots, ...]) -> tuple[IgnoredRobots, ...]:
    index = repeated(entry.host for entry in entries)
    if index is not None:
        raise fault((index, "host"), f"{entries[index].host!r} is listed twice: keep one")
    return entries


class PolitenessRules(Section):
    """How hard one host is pressed by the whole fleet, and whose robots.txt counts."""

    delay_s: Annotated[float, duration("0s", "24h")] = _POLITENESS.delay_s
    per_host: Annotated[int, within(1, 1_000)] = _POLITENESS.per_host
    user_agent: Annotated[str, AfterValidator(job_values.user_agent)] = Field(default_factory=default_user_agent)
    max_delay_s: Annotated[float, duration("1s", "24h")] = _POLITENESS.max_delay_s
    adaptive: bool = _POLITENESS.adaptive
    patience: Annotated[int, within(0, 1_000)] = _POLITENESS.patience
    unit: Literal["host", "domain", "address"] = _POLITENESS.unit.value
    robots_wait_s: Annotated[float, duration("0s", "7d")] = _POLITENESS.robots_wait_s
    robots_wait_last_s: Annotated[float, duration("0s", "7d")] = _POLITENESS.robots_wait_last_s
    ignore_robots: Annotated[tuple[IgnoredRobots, ...], AfterValidator(_ignored)] = _POLITENESS.ignore_robots


def _ca_file(value: object, info: ValidationInfo) -> str:
    if not isinstance(value, str):
        raise ValueError("wants the name of a file: write one, or leave the key out")  # noqa: TRY004  pydantic's way
    assert info.context is not None
    return read_ca_file(Path(os.path.realpath(info.context["folder"] / value)))


def _some_types(types: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if types == ():
        raise ValueError("lists none, and no page would be read: write one such as text/html, or leave the key out")
    return types


CaFile = Annotated[str, PlainValidator(_ca_file, json_schema_input_type=str)]


class FetchRules(Section):
    """How pages are fetched. `headers` are pairs of name and value, or `Secret`; `ca_pem` is the text of `ca_file`."""

    engine: Annotated[str, one_of(lambda: names(FETCH_ENGINES.values()))] = _FETCH.engine
    timeout_s: Timeout = _FETCH.timeout_s
    dns_timeout_s: Timeout = _FETCH.dns_timeout_s
    connect_timeout_s: Timeout = _FETCH.connect_timeout_s
    first_byte_timeout_s: Timeout = _FETCH.first_byte_timeout_s
    retries: Annotated[int, within(0, 20)] = _FETCH.retries
    max_size_bytes: Annotated[int, size("1KiB", "1GiB")] = _FETCH.max_size_bytes
    headers: Headers = Field(default=_FETCH.headers, repr=False)
    types: Annotated[tuple[ContentType, ...] | None, AfterValidator(_some_types), BeforeValidator(given)] = _FETCH.types
    ca_pem: CaFile = Field(default=_FETCH.ca_pem, alias="ca_file", repr=False)
    keep_truncated: bool = _FETCH.keep_truncated
    allow_private: tuple[Annotated[str, AfterValidator(job_values.opened_host)], ...] = _FETCH.allow_private


class LinkRules(Section):
    """Which links count, and whether a page may ask otherwise."""

    assets: bool = _LINKS.assets
    nofollow: Literal["obey", "ignore"] = "obey"
    noindex: Literal["obey", "ignore"] = "obey"
    check_external: bool = _LINKS.check_external

    @property
    def obey_nofollow(self) -> bool:
        """Whether a page may ask that its links are not followed."""
        return self.nofollow == "obey"

    @property
    def obey_noindex(self) -> bool:
        """Whether a page may ask that no rows are made of it."""
        return self.noindex == "obey"


class ParseRules(Section):
    """How pages are parsed."""

    engine: Annotated[str, one_of(lambda: names(PARSE_ENGINES.values()))] = defaults(ParseSpec).engine


def _hook(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return given(value)
    assert info.context is not None
    name, function = hook_named(value)
    path = Path(os.path.realpath(info.context["folder"] / name))
    info.context["hook"] = HookSpec(path=shown(path), source=read_hook(path, function), function=function)
    return path


def _enough_seeds(seeds: Seeds, info: ValidationInfo) -> Seeds:
    if not seeds and (info.context is None or info.context["needs_seeds"]):
        text = "holds no seed: write an address such as https://example.org/, or serve programs alone with --wait"
        raise ValueError(text)
    return seeds


class Job(Section):
    """A whole job. `seeds` are canonical URLs and sitemaps, ranges expanded; `hooks` is the hook's resolved path."""

    name: JobName
    seeds: Annotated[
        Seeds, PlainValidator(read_seeds, json_schema_input_type=WrittenSeeds), AfterValidator(_enough_seeds)
    ]
    scope: ScopeRules = ScopeRules()
    traps: TrapRules = TrapRules()
    urls: UrlRules = UrlRules()
    priorities: tuple[PriorityRule, ...] = _POLICY.priorities
    politeness: PolitenessRules = Field(default_factory=PolitenessRules)
    fetch: FetchRules = FetchRules()
    sites: Sites = {}
    items: Annotated[tuple[Item, ...], AfterValidator(check_items)] = ()
    follow: Annotated[tuple[Selector, ...] | None, BeforeValidator(given)] = None
    links: LinkRules = LinkRules()
    parse: ParseRules = ParseRules()
    hooks: Annotated[Path | None, BeforeValidator(_hook, json_schema_input_type=str)] = None
    limits: LimitRules = LimitRules()
    columns: Columns = {}
    expect: Expectations = Expectations()
    sinks: Annotated[tuple[Sink, ...], AfterValidator(check_sinks)] = ("items.jsonl",)
    tables: TableFiles = TableFiles()
    lease_s: Annotated[float, duration("1s", "1h")] = _POLICY.lease_s
    durability: Literal["process", "power", "none"] = "process"
    frontier: Annotated[Annotated[str, AfterValidator(job_values.frontier)] | None, BeforeValidator(given)] = None
    _checked_hook: HookSpec = PrivateAttr(HookSpec(path="", source=""))

    def model_post_init(self, context: Any, /) -> None:
        """Keep the text of the hook that was checked: the file may change."""
        self._checked_hook = (context or {}).get("hook") or self._checked_hook

    @property
    def hook(self) -> HookSpec | None:
        """The hook, with the text that was checked."""
        return None if self.hooks is None else replace(self._checked_hook, path=shown(self.hooks))

    @property
    def follows(self) -> bool:
        """Whether pages lead to others, but by redirects."""
        finds_more = self.scope.sitemaps or self.links.check_external or bool(sitemaps_of(self.seeds))
        return self.follow != () or self.hooks is not None or finds_more

    @model_validator(mode="after")
    def _names_left_to_seeds(self) -> Job:
        if files_of(self.seeds):
            leave_names(RESERVED, self.items, self.columns)
        return self

    @model_validator(mode="after")
    def _seeds_in_scope(self) -> Job:
        if isinstance(self.scope.hosts, tuple):
            for host in dict.fromkeys(map(host_key, pages_of(self.seeds))):
                if host not in self.scope.hosts:
                    raise fault(("scope", "hosts"), f"{host!r} is the host of a seed and not among them: add it")
        return self

    @model_validator(mode="after")
    def _tables_have_files(self) -> Job:
        self.tables.check(self.sinks)
        if self.tables.files and self.durability == "none":
            raise fault(("tables",), "are made from a stored crawl: choose another `durability` than none")
        return self

    @model_validator(mode="after")
    def _frontier_is_kept(self) -> Job:
        if self.frontier is not None and self.durability == "none":
            raise fault(("durability",), "keeps nothing, and `frontier` says where to: choose process or power")
        return self

    @model_validator(mode="after")
    def _names_fit_sinks(self) -> Job:
        check_name_lengths(
            self.sinks, lambda: layout_of(self.model_dump(mode="json", include={"items", "columns", "hooks"}))
        )
        return self

    @model_validator(mode="after")
    def _expects_what_there_is(self) -> Job:
        if self.hooks is None:  # which names items and fields as it likes
            fields = {item.name: tuple(item.fields) for item in self.items} or {PAGE_ITEM: PAGE_FIELDS}
            check_names(self.expect, fields)
        return self

    @model_validator(mode="after")
    def _largest_page_has_room(self) -> Job:
        self.limits.check_bodies(self.fetch.max_size_bytes)
        return self

    @model_validator(mode="after")
    def _hook_fits_engine(self) -> Job:
        fitting = names(that_prepare_sessions())
        if self.fetch.engine not in fitting and self.hook is not None and prepares_sessions(self.hook.source):
            text = f"{self.fetch.engine!r} has no session for the hook's session() to prepare: write "
            raise fault(("fetch", "engine"), text + " or ".join(fitting))
        return self


def load(path: Path, *, needs_seeds: bool = True) -> Job:
    """Read and validate a job file; raise `JobError` with every problem found."""
    return load_from(JobSource(path=path), needs_seeds=needs_seeds)


def load_from(source: JobSource, *, needs_seeds: bool = True) -> Job:
    """Read and validate a job, wherever it comes from; raise `JobError` with every problem found."""
    document = read(source)
    found = list(document.problems)
    if document.complete:
        try:
            context = {"folder": source.base, "hook": None, "needs_seeds": needs_seeds}
            job = Job.model_validate(document.value, context=context)
        except ValidationError as error:
            found += problems.judge(document, error.errors(include_url=False), _advise, _known)
        else:
            if not found:
                return job
    raise JobError(problems.lines(source.name, found))


def as_data(job: Job) -> dict[str, Any]:
    """Return a job as plain data, to be kept and compared.

    `hook_text` is a hash of the hook's text, `seed_columns` are the columns of seeds files, if there are such files.
    """
    text = job.hook.source if job.hook is not None else ""
    data = {**job.model_dump(mode="json", warnings=False), "hook_text": sha256(text.encode()).hexdigest()[:16]}
    columns = columns_of(job.seeds)
    data |= {} if columns is None else {"seed_columns": list(columns)}
    if job.hook is None:
        return data
    function = "" if job.hook.function == PARSE else f":{job.hook.function}"
    return {**data, "hooks": f"{job.hook.path}{function}"}


def listed_origins(job: Job) -> tuple[str, ...]:
    """Return the origins of the seeds that a job lists, without those of seeds files."""
    return origins_of((*pages_of(job.seeds), *sitemaps_of(job.seeds)))


def brief(job: Job) -> Brief:
    """Return what workers need to know of a job: its sections, and what is made of several."""
    seeds = (*pages_of(job.seeds), *sitemaps_of(job.seeds))
    sites = site_specs(job.fetch.headers, job.sites, listed_origins(job))
    hosts = job.scope.hosts if isinstance(job.scope.hosts, tuple) else tuple(dict.fromkeys(map(host_key, seeds)))
    return job.spec(
        Brief,
        job=job.name,
        scope=job.scope.spec(
            ScopeSpec, hosts=hosts, subdomains=job.scope.hosts == "subdomains", any_host=job.scope.hosts == "any"
        ),
        fetch=job.fetch.spec(
            FetchSpec,
            user_agent=job.politeness.user_agent,
            headers=harmless(job.fetch.headers),
            sites=sites,
            head_bytes=job.limits.head_bytes,
        ),
        items=tuple(item.rule() for item in job.items),
        urls=job.urls.spec(UrlSpec, drop_query=job.urls.dropped),
        links=job.links.spec(LinkSpec, listed=job.tables.has_links),
        reserved=RESERVED if files_of(job.seeds) else (),
    )


def policy(job: Job, work: Brief) -> Policy:
    """Return what the coordinator's rules go by: a job's sections, and what the brief has made of some."""
    ignored = tuple(entry.host for entry in job.politeness.ignore_robots)
    lists = bool(files_of(job.seeds)) and job.scope.hosts in ("same", "subdomains")
    joining = MAX_JOINING_HOSTS if lists and job.follows else 0
    return job.spec(
        Policy,
        scope=work.scope,
        urls=work.urls,
        extent=job.scope.spec(Extent, listed_hosts=lists, joining_hosts=joining),
        politeness=job.politeness.spec(Politeness, ignore_robots=ignored),
        keeps_links=job.tables.has_links,
    )


def _advise(path: KeyPath, key: str) -> str:
    sections = {name: section_at(Job, (name,)) for name in keys_of(Job)}
    elsewhere = {f"under {name}": keys_of(section) for name, section in sections.items() if section is not None}
    elsewhere |= {"at the top level, without indentation": keys_of(Job), "in an entry of items": keys_of(Item)}
    return problems.unknown_key(key, _known(path), elsewhere)


def _known(path: KeyPath) -> tuple[str, ...]:
    section = section_at(Job, path)
    assert section is not None
    return keys_of(section)
