"""Where a crawl is stored, as a job, the environment and an option say; no password is kept or repeated."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.commands.arguments import add_job_options, command_words, job_source
from crawlfleet.commands.run import add_arguments as add_run_arguments
from crawlfleet.coordinator.frontier.crawl_address import VARIABLE
from crawlfleet.coordinator.frontier.registry import STORES
from crawlfleet.coordinator.job.job import Job, as_data, load_from
from crawlfleet.coordinator.job.source import JobSource, setting, without_secret
from crawlfleet.embedded.messages import Begin
from crawlfleet.embedded.order import options_of
from crawlfleet.shared.errors import JobError
from tests.toys.stores import ENTRY

SECRET = "hunter2"
HEAD = "name: a\nseeds: [https://a.example/]\n"


@pytest.fixture(autouse=True)
def toy_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STORES, ENTRY.name, ENTRY)
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(HEAD)
    return path


def source(path: Path, *words: str) -> JobSource:
    """Return the job that a command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", type=Path)
    add_job_options(parser)
    return job_source(parser.parse_args([str(path), *words]))


def loaded(path: Path, *words: str) -> Job:
    return load_from(source(path, *words))


def problem(path: Path, *words: str) -> str:
    """Return the only problem of a job."""
    with pytest.raises(JobError) as told:
        loaded(path, *words)
    (only,) = told.value.problems
    assert SECRET not in only
    return only


def test_the_later_beats_the_earlier(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(path).frontier is None
    path.write_text(f"{HEAD}frontier: toy://file/db\n")
    assert loaded(path).frontier == "toy://file/db"
    monkeypatch.setenv(VARIABLE, "toy://variable/db")
    assert loaded(path).frontier == "toy://variable/db"
    assert loaded(path, "--frontier", "sqlite").frontier == "sqlite"
    assert loaded(path, "--frontier", "sqlite", "--set", "frontier=toy://set/db").frontier == "toy://set/db"


def test_a_password_in_the_environment_is_not_in_the_job(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"toy://me:{SECRET}@h/db?sslpassword={SECRET}")
    made = source(path)
    assert SECRET not in repr(made)
    job = load_from(made)
    assert job.frontier == as_data(job)["frontier"] == "toy://me@h/db"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (f"toy://me:{SECRET}@h/db", "the address has a password"),
        (f"toy://h:{SECRET}/db", "has a host or port that is none"),
        ("other://h/db", "no store is at such an address: write sqlite"),
        ("memory", "is no store: write sqlite, or an address such as postgresql://host/database"),
        (f"toy://{SECRET}%z@h/db", "has a '%' that begins no escape"),
    ],
)
def test_what_is_no_store_is_told_where_it_stands(value: str, said: str, path: Path) -> None:
    assert problem(path, "--frontier", value).startswith(f"--frontier: frontier: {said}")
    assert problem(path, "--set", f"frontier={value}").startswith("--set frontier=")
    path.write_text(f"{HEAD}frontier: {value}\n")
    assert problem(path).startswith(f"{path}:3:11: frontier: {said}")


def test_what_the_environment_says_is_told_by_its_variable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f"toy://{SECRET}@h:x/db")
    assert problem(path).startswith(f"{VARIABLE}: frontier: has a host or port that is none")


def test_what_is_not_stored_has_no_place(path: Path) -> None:
    path.write_text(f"{HEAD}durability: none\n")
    assert loaded(path).frontier is None
    assert problem(path, "--frontier", "toy://h/db") == (
        f"{path}:3:13: durability: keeps nothing, and `frontier` says where to: choose process or power"
    )


@pytest.mark.parametrize("key", ["frontier", "frontir", "fetch.proxy"])
def test_a_setting_is_shown_without_the_password_of_an_address(key: str) -> None:
    text = f"{key}=postgresql://me:{SECRET}@h/db"
    assert without_secret(text) == f"{key}=..."
    assert setting(text).origin == f"--set {key}=..."


@pytest.mark.parametrize("text", ["frontier=postgresql://me@h/db", "frontier=sqlite"])
def test_an_address_without_a_password_is_shown(text: str) -> None:
    assert without_secret(text) == text


def test_the_option_is_one_of_the_words_by_which_a_crawl_is_begun() -> None:
    parser = argparse.ArgumentParser()
    add_run_arguments(parser)
    args = parser.parse_args(["https://a.example/", "--frontier", "toy://h/db"])
    assert command_words("run", args.what, args) == ("run", "https://a.example/", "--frontier", "toy://h/db")


def embedded(**said: Any) -> Job:
    """Return the job of a call of `crawl()`."""
    begin = Begin(urls=("https://a.example/",), workers=1, caller=1, **said)
    return load_from(options_of(begin, None if begin.folder else Path("crawls")).job)


def test_of_an_embedded_crawl_the_later_beats_the_earlier_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert embedded(folder="crawls/a").frontier is None
    monkeypatch.setenv(VARIABLE, f"toy://me:{SECRET}@variable/db")
    assert embedded(folder="crawls/a").frontier == "toy://me@variable/db"
    assert embedded(folder="crawls/a", frontier="toy://said/db").frontier == "toy://said/db"
    settings = (("frontier", "sqlite"),)
    assert embedded(folder="crawls/a", frontier="toy://said/db", settings=settings).frontier == "sqlite"


def test_a_temporary_crawl_is_in_its_folder_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "toy://variable/db")
    assert embedded().frontier is None
    assert embedded(frontier="sqlite").frontier == "sqlite"


@pytest.mark.parametrize("how", ["parameter", "set"])
def test_a_temporary_crawl_in_a_database_is_refused(how: str) -> None:
    address = f"toy://me:{SECRET}@h/db"
    with pytest.raises(JobError, match=r"^frontier=: .* say that by folder=") as told:
        embedded(**{"frontier": address} if how == "parameter" else {"settings": (("frontier", address),)})
    assert SECRET not in str(told.value)


def test_a_parameter_that_is_no_address_is_told_by_its_name() -> None:
    for value, said in ((f"toy://me:{SECRET}@h/db", "the address has a password"), (7, "")):
        with pytest.raises(JobError, match=f"^frontier=: frontier: {said}") as told:
            embedded(folder="crawls/a", frontier=value)
        assert SECRET not in str(told.value)
