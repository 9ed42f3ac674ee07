"""The job that addresses and a few options make, without a file or beside one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.job.job import Job, as_data, load_from
from crawlfleet.coordinator.job.source import setting
from crawlfleet.coordinator.job.values import job_name
from crawlfleet.run.quick_job import QuickOptions, address_in, crawl_name, quick_job
from crawlfleet.shared.errors import JobError

URL = "https://www.example.org/"


def job_of(path: Path | None = None, /, **options: Any) -> Job:
    return load_from(quick_job(QuickOptions(**options), "--{}".format, path))


def test_an_address_alone_makes_the_smallest_job(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(f"name: www-example-org\nseeds: ['{URL}']\n")
    assert as_data(job_of(urls=[URL])) == as_data(load_from(quick_job(QuickOptions(), str, path)))


def test_options_set_the_keys_that_they_stand_for() -> None:
    job = job_of(urls=[URL, "https://b.example/"], pages=100, depth=2, delay="2s", name="mine", follow=["a.next"])
    assert (job.name, job.seeds) == ("mine", (URL, "https://b.example/"))
    assert (job.scope.pages, job.scope.depth, job.politeness.delay_s) == (100, 2, 2.0)
    assert job.follow == ("a.next",)


def test_fields_alone_are_those_of_one_rule_and_rules_stay_as_they_are() -> None:
    (rule,) = job_of(urls=[URL], items={"title": "title", "price": {"css": ".price", "type": "price"}}).items
    assert (rule.name, list(rule.fields)) == ("item", ["title", "price"])
    (rule,) = job_of(urls=[URL], items=[{"name": "book", "each": "li", "fields": {"title": "h2"}}]).items
    assert (rule.name, rule.rule().each) == ("book", "li")


def test_outputs_are_relative_to_the_working_directory_and_may_be_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jobs" / "job.yaml"
    path.parent.mkdir()
    path.write_text(f"name: shop\nseeds: ['{URL}']\nscope: {{pages: 5, depth: 1}}\n")
    monkeypatch.chdir(tmp_path)
    for job in (job_of(urls=[URL], outputs=["rows.csv"]), job_of(path, outputs=["rows.csv"])):
        assert as_data(job)["sinks"][0]["file"] == str(tmp_path / "rows.csv")
    (sink,) = as_data(job_of(urls=[URL], outputs=["https://hooks.example.org/rows"]))["sinks"]
    assert sink["to"] == "https://hooks.example.org/rows"


def test_a_setting_beats_an_option_which_beats_the_file(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(f"name: shop\nseeds: ['{URL}']\nscope: {{pages: 5, depth: 1}}\npoliteness: {{per_host: 3}}\n")
    job = job_of(path, pages=6, depth=2, settings=[setting("scope.pages=7")])
    assert (job.name, job.scope.pages, job.scope.depth, job.politeness.per_host) == ("shop", 7, 2, 3)


def test_a_hook_is_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.py").write_text("def parse(page):\n    return []\n")
    monkeypatch.chdir(tmp_path)
    assert job_of(urls=[URL], parse="rows.py").hooks == tmp_path / "rows.py"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"urls": ["htp://a/"]}, "--urls: seeds[0]: 'htp://a/' is no http or https address"),
        ({"urls": [URL], "pages": "ten"}, "--pages: scope.pages: wants a whole number, not 'ten'"),
        ({"urls": [URL], "depth": -1}, "--depth: scope.depth: -1 is out of range"),
        ({"urls": [URL], "delay": "soon"}, "--delay: politeness.delay: 'soon' has no number with a unit"),
        ({"urls": [URL], "name": "A b"}, "--name: name: wants 1 to 64 of a-z"),
        ({"urls": [URL], "outputs": ["rows.xls"]}, "--outputs: sinks[0].file: "),
        ({"urls": [URL], "settings": [setting("politeness.dely=2s")]}, "did you mean 'delay'?"),
    ],
)
def test_an_error_names_the_option(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(JobError) as refused:
        job_of(**options)
    (line,) = refused.value.problems
    assert problem in line


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (URL, "www-example-org"),
        ("http://127.0.0.1:8765/list?page=2", "127-0-0-1"),
        ("http://[2001:db8::1]:8080/", "2001-db8-1"),
        ("http://[::]/", "crawl"),
        ("https://Bücher.example/", "xn--bcher-kva-example"),
        ("https://my_host.example./", "my_host-example"),
        ("https://example.org/list/{1..50}", "example-org"),
        ("https://shop{01..12}.example.org/", "shop01-example-org"),
        ("no address", "crawl"),
    ],
)
def test_a_crawl_is_named_after_its_host(url: str, name: str) -> None:
    assert crawl_name(url) == job_name(name) == name


def test_long_hosts_have_names_of_their_own() -> None:
    one, other = (crawl_name(f"https://{'a' * 60}.{'b' * 60}.{end}/") for end in ("example", "test"))
    assert job_name(one) != job_name(other)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://example.org/", "https://example.org/"),
        ("ftp://example.org/", "ftp://example.org/"),  # which is no address that can be fetched, and no file
        ("example.org", "https://example.org"),
        ("example.org:8443/a?b=c", "https://example.org:8443/a?b=c"),
        ("bücher.example", "https://bücher.example"),
        ("localhost:8000", "http://localhost:8000"),
        ("app.localhost/x", "http://app.localhost/x"),
        ("127.0.0.1:8000/a", "http://127.0.0.1:8000/a"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("job.yaml", None),
        ("jobs/shop.YML", None),
        ("jobs/shop", None),
        ("./example.org", None),
        (".hidden", None),
        ("me@example.org", None),
        ("two words.org", None),
        ("", None),
    ],
)
def test_a_text_is_an_address_or_the_name_of_a_file(text: str, address: str | None) -> None:
    assert address_in(text) == address


def test_a_file_that_is_there_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop.job").touch()
    monkeypatch.chdir(tmp_path)
    assert address_in("shop.job") is None
