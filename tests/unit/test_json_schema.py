"""The JSON Schema of jobs: it accepts every job that loads, and whatever it refuses is refused by `load`, too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from crawlfleet.__main__ import main
from crawlfleet.coordinator.job.job import Job
from crawlfleet.coordinator.job.json_schema import job_schema
from crawlfleet.coordinator.job.reference import place_of
from crawlfleet.coordinator.job.yaml_source import KeyPath, parse

ROOT = Path(__file__).parents[2]
CONFIG = sorted((ROOT / "config").glob("*.yaml"))
SHIPPED = ROOT / "config" / "job.schema.json"
MODELINE = "# yaml-language-server: $schema=job.schema.json"
SCHEMA = Draft202012Validator(job_schema())
BLOCK = re.compile(r"^```yaml([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PART = "name: part\nseeds: [https://example.org/]\n"
REFERENCE = (ROOT / "config/reference.yaml").read_text(encoding="utf-8")

# One value of each kind that YAML has, and such as validators read: most are wrong in most places.
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 10**13, 1.5),
    *("", "x", "5s", "10MiB", "95%", "text", "a.csv", "/a", "https://example.org/", "postgresql://db.example.org/x"),
    *((), ("x",), ("x", "y"), (1,), (None,), ({},), ("https://example.org/",)),
    *({}, {"x": "y"}, {"x": 1}, {"css": "a"}, {"css": "a", "xpath": "//a"}, {"each": "a", "fields": {"x": "b"}}),
    *({"file": "a.csv"}, {"to": "https://example.org/"}, {"host": "example.org", "reason": "ours"}),
)

MISTAKES = {
    "a key that is none": "polite: {}",
    "a nested key that is none": "politeness: {dely: 1s}",
    "a number without a unit": "politeness: {delay: 2}",
    "a unit that is none": "politeness: {delay: 2 seconds}",
    "a size for a duration": "fetch: {timeout: 10MiB}",
    "a number for a size": "fetch: {max_size: 1000}",
    "a number beyond its bounds": "politeness: {per_host: 0}",
    "a text for a number": 'politeness: {per_host: "4"}',
    "a word for true": "links: {assets: yes}",
    "a key without a value": "politeness: {delay: }",
    "a section without a value": "scope:",
    "a text for a list": "follow: a.next",
    "an unknown engine": "fetch: {engine: wget}",
    "an unknown word": "scope: {hosts: some}",
    "a share without its sign": "expect: {failed: 5}",
    "a name with blanks": "items: [{name: two words, fields: {a: b}}]",
    "an item without a name": "items: [{fields: {a: b}}]",
    "an item without fields": "items: [{name: a}]",
    "two selectors in brackets": "items: [{name: a, fields: {b: [c, d]}}]",
    "an unknown type": "items: [{name: a, fields: {b: {css: c, type: number}}}]",
    "an unknown key of a field": "items: [{name: a, fields: {b: {css: c, kind: int}}}]",
    "a nested field without fields": "items: [{name: a, fields: {b: {each: c}}}]",
    "a field that is a number": "items: [{name: a, fields: {b: 1}}]",
    "two ways to find the same": "items: [{name: a, each: {css: b, xpath: //c}, fields: {d: e}}]",
    "a list that is no answer": "items: [{name: a, fields: {b: {css: c, list: }}}]",
    "a default without a value": "items: [{name: a, fields: {b: {css: c, default: }}}]",
    "a sink with an unknown key": "sinks: [{file: a.csv, rows: 5}]",
    "a sink that is a file and an address": "sinks: [{file: a.csv, to: https://example.org/}]",
    "a column of an unknown type": "columns: {a: {b: number}}",
    "a header that is a number": "fetch: {headers: {A: 1}}",
    "a sitemap that is a number": "follow: [1]",
}


def plain(value: Any) -> Any:
    """Return a value of YAML as JSON has it."""
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return {key: plain(each) for key, each in value.items()} if isinstance(value, dict) else value


def whole_jobs() -> Iterator[tuple[str, str]]:
    yield from ((path.name, path.read_text(encoding="utf-8")) for path in CONFIG)
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            yield page.name, text if kind.startswith(" job") else PART + text


def loads(value: Any) -> bool:
    try:
        Job.model_validate(value, context={"folder": ROOT / "config", "hook": "", "needs_seeds": False})
    except ValidationError:
        return False
    return True


def with_value(value: Any, path: KeyPath, other: Any) -> Any:
    """Return plain data with another value at a path."""
    if not path:
        return other
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        return (*value[:step], with_value(value[step], rest, other), *value[step + 1 :])
    return {**value, step: with_value(value[step], rest, other)}


def places() -> list[KeyPath]:
    """Return the paths of values of the reference, a job in which each key is there: one of each kind."""
    paths = {place_of(Job, path): path for path in parse(REFERENCE).values if path}
    return list(paths.values())


def smallest(whole: dict[str, Any], path: KeyPath) -> tuple[Any, KeyPath]:
    """Return a job with nothing but what is needed and what a path leads to, for speed; and the path there."""
    job = {key: whole[key] for key in ("name", "seeds", str(path[0]))}
    if len(path) == 1 or not isinstance(path[1], int):
        return job, path
    return {**job, str(path[0]): (job[str(path[0])][path[1]],)}, (path[0], 0, *path[2:])


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(job_schema())


def test_the_shipped_schema_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == SHIPPED.read_text(encoding="utf-8"), "make schema writes it anew"


@pytest.mark.parametrize("path", CONFIG, ids=lambda path: path.name)
def test_every_job_of_the_project_tells_editors_its_schema(path: Path) -> None:
    assert path.read_text(encoding="utf-8").splitlines()[0] == MODELINE


@pytest.mark.parametrize("job", list(whole_jobs()), ids=itemgetter(0))
def test_a_job_that_loads_is_valid(job: tuple[str, str]) -> None:
    assert not [error.message for error in SCHEMA.iter_errors(plain(parse(job[1]).value))]


@pytest.mark.parametrize("text", MISTAKES.values(), ids=MISTAKES)
def test_a_common_mistake_is_refused_by_both(text: str) -> None:
    value = parse(PART + text).value
    assert not loads(value)
    assert not SCHEMA.is_valid(plain(value))


@pytest.mark.parametrize("path", places(), ids=str)
def test_what_the_schema_refuses_the_job_refuses(path: KeyPath) -> None:
    """In the place of a value of the reference, one of each kind; an empty one is always refused."""
    whole = parse(REFERENCE).value
    assert isinstance(whole, dict)
    job, place = smallest(whole, path)
    refused = [other for other in ODD if not SCHEMA.is_valid(plain(with_value(job, place, other)))]
    assert None in refused
    assert [other for other in refused if loads(with_value(job, place, other))] == []


def test_every_key_says_what_it_is() -> None:
    """In the words of the reference; but for two that are told where they stand first."""
    schema = job_schema()
    silent: set[tuple[str, str]] = set()
    for name, section in {"Job": schema, **schema["$defs"]}.items():
        for form in (section, *section.get("anyOf", ())):
            keys = form.get("properties", {}).items()
            silent.update((name, key) for key, said in keys if len(said.get("description", "")) < len("one line"))
    assert silent == {("AddressSink", "formulas"), ("AddressSink", "rotate")}
