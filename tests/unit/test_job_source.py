"""A job that comes from a file and settings: which value counts, and the place that its errors name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.job import yaml_source
from crawlfleet.coordinator.job.job import load_from
from crawlfleet.coordinator.job.source import JobSource, Setting, read, setting
from crawlfleet.shared.errors import JobError

FILE = """\
name: own
seeds: [http://a.test/]
politeness: {delay: 1s, per_host: 2}
items:
  - name: item
    fields: {title: h1, price: .price}
columns:
  item: {price: text}
"""


def job_file(folder: Path, text: str = FILE) -> Path:
    path = folder / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(source: JobSource) -> tuple[str, ...]:
    with pytest.raises(JobError) as refused:
        load_from(source)
    return refused.value.problems


def value(folder: Path, *settings: str) -> Any:
    return read(JobSource(path=job_file(folder), settings=tuple(map(setting, settings)))).value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("politeness.delay=2s", lambda value: value["politeness"] == {"delay": "2s", "per_host": 2}),
        ("scope.pages=10", lambda value: value["scope"] == {"pages": 10}),
        ("items.0.fields.title=h2::text", lambda value: value["items"][0]["fields"]["title"] == "h2::text"),
        ("sinks=[a.csv, b.csv]", lambda value: value["sinks"] == ("a.csv", "b.csv")),
        ('columns."price.amount"={name: x}', lambda value: value["columns"]["price.amount"] == {"name": "x"}),
        ("scope={depth: 1}", lambda value: value["scope"] == {"depth": 1}),
        ("name=a=b", lambda value: value["name"] == "a=b"),
        ("scope=", lambda value: value["scope"] is None),
        ("scope=null", lambda value: value["scope"] is None),
    ],
)
def test_a_setting_beats_the_file(text: str, found: Any, tmp_path: Path) -> None:
    whole = value(tmp_path, text)
    assert found(whole)
    assert whole["seeds"] == ("http://a.test/",)


def test_a_later_setting_beats_an_earlier_one(tmp_path: Path) -> None:
    assert value(tmp_path, "scope.pages=1", "scope.pages=2")["scope"] == {"pages": 2}


def test_errors_name_the_setting_and_those_of_the_file_its_line(tmp_path: Path) -> None:
    path = job_file(tmp_path, FILE + "links: {assets: 1}\n")
    settings = tuple(map(setting, ("politeness.dely=2s", "scope.pages=many", "items.0.fields.title=h1[")))
    found = problems(JobSource(path=path, settings=settings))
    assert found[0].startswith(f"{path}:9:17: links.assets: ")
    assert "--set politeness.dely=2s: politeness.dely: is not a known key: did you mean 'delay'?" in found[1:]
    assert any(line.startswith("--set scope.pages=many: scope.pages: ") for line in found[1:])
    assert any(line.startswith("--set items.0.fields.title=h1[: items[0].fields.title") for line in found[1:])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("seeds.1=x", "seeds: '1' is no entry of this list of 1, counted from 0: set the list as a whole"),
        ("items.first.name=x", "items: 'first' is no entry of this list of 1"),
        ("name.first=x", "name: has no keys, and so no 'first': set it as a whole"),
    ],
)
def test_a_setting_without_room_is_told(text: str, sentence: str, tmp_path: Path) -> None:
    (found,) = problems(JobSource(path=job_file(tmp_path), settings=(setting(text),)))
    assert found.startswith(f"--set {text}: {sentence}")


def test_a_setting_mends_what_is_wrong_in_the_file(tmp_path: Path) -> None:
    path = job_file(tmp_path, FILE.replace("delay: 1s", "delay: *slow"))
    assert problems(JobSource(path=path))[0].startswith(f"{path}:3:21: politeness.delay: the alias *slow")
    assert load_from(JobSource(path=path, settings=(setting("politeness.delay=2s"),))).politeness.delay_s == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("scope.pages", "'scope.pages': expected KEY=VALUE, such as politeness.delay=2s"),
        ("=1", "'=1': expected KEY=VALUE, such as politeness.delay=2s"),
        ("scope..pages=1", "'scope..pages=1': expected KEY=VALUE"),
        ("scope.pages=[1", "'scope.pages=[1': this is not YAML"),
        ("scope=*x", "'scope=*x': the alias *x is not accepted"),
    ],
)
def test_what_is_no_setting_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        setting(text)


def test_a_long_setting_is_cut_in_errors() -> None:
    assert len(setting("name=" + "x" * 1000).origin) < 100


def test_a_job_needs_no_file(tmp_path: Path) -> None:
    settings = (
        Setting("name", "own", "name="),
        Setting("seeds", ["http://a.test/"], "URL"),
        Setting("items", ({"name": "item", "fields": {"title": "h1"}},), "items="),
        Setting("hooks", "own.py", "parse="),
    )
    (tmp_path / "own.py").write_text("def parse(page): ...\n")
    job = load_from(JobSource(folder=tmp_path, settings=settings))
    assert (job.name, job.seeds, job.hooks) == ("own", ("http://a.test/",), tmp_path / "own.py")


def test_errors_of_a_job_without_a_file_name_what_gave_the_value() -> None:
    settings = (
        Setting("seeds", ["http://a.test/"], "URL"),
        Setting("scope.pages", 0, "pages="),
        Setting("items", [{"name": "item", "fields": {"title": object()}}], "items="),
        Setting("links", {1: True}, "set="),
    )
    found = problems(JobSource(label="crawl()", settings=settings))
    assert len(found) == 4
    for line in (
        "crawl(): name: is missing: add it",
        "pages=: scope.pages: ",
        "items=: items[0].fields.title: is of type object: expected text, a number, true, false, a list or a mapping",
        "set=: links: has the key 1: keys are text",
    ):
        assert any(each.startswith(line) for each in found), line


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            Setting("sites.\udc91.e", None, "--set"),
            "--set: the key 'sites.\\udc91.e' is no Unicode text: write it in the",
        ),
        (Setting("sites", {"\udc91": {"e": None}}, "set="), "set=: sites: has the key '\\udc91': keys are text"),
        (Setting("sites", {"": {"e": None}}, "set="), "set=: sites: has the key '': keys are text"),
    ],
    ids=["the key itself", "a key of a mapping", "no key"],
)
def test_a_key_that_is_no_text_is_told(given: Setting, line: str) -> None:
    found = problems(
        JobSource(settings=(Setting("name", "x", "name="), Setting("seeds", "http://a.test/", "URL"), given))
    )
    assert any(each.startswith(line) for each in found), found


def test_plain_data_that_is_too_deep_is_told() -> None:
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    found = problems(JobSource(settings=(Setting("items", deep, "items="),)))
    assert any("is nested deeper than 32 levels" in line for line in found)


def test_a_job_as_yaml_reads_as_the_same_job(tmp_path: Path) -> None:
    odd = ["no", "12:30", "010", "~", "1e3", "ü", "a: b", "", "=", "0x1F", "1_000", "2001-01-01", ".inf", "x" * 300]
    source = JobSource(path=job_file(tmp_path), settings=(Setting("odd", {"odd": odd, "no": [1.5, None, True]}, ""),))
    text = yaml_source.as_yaml(read(source).value)
    assert yaml_source.parse(text).value == read(source).value
    assert text.startswith("name: own\n")
