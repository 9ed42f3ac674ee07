"""Secrets that are given beside a job file: no message repeats them, and they are told to be visible."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.coordinator.job.forewarnings import exposed
from crawlfleet.coordinator.job.job import load_from
from crawlfleet.coordinator.job.source import JobSource, Setting, setting, without_secret
from crawlfleet.embedded.messages import Begin
from crawlfleet.embedded.order import options_of
from crawlfleet.shared.errors import JobError


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("fetch.headers.Cookie=hunter2", "fetch.headers.Cookie=..."),
        ('sites."a.example".headers.X=hunter2', 'sites."a.example".headers.X=...'),
        ("sites={a.example: {headers: {X: hunter2}}}", "sites=..."),
        ("fetch={headers: {X: hunter2}}", "fetch=..."),
        ("fetch.header.Cookie=hunter2", "fetch.header.Cookie=..."),
        ("fetch.headers.Cookie: hunter2", "fetch.headers.Cookie=..."),
        ("cookie hunter2", "cookie=..."),
        ("scope.pages=5", "scope.pages=5"),
        ("scope.sitemaps=true", "scope.sitemaps=true"),
    ],
)
def test_a_setting_is_shown_without_what_may_be_a_secret(text: str, shown: str) -> None:
    assert without_secret(text) == shown
    try:
        assert setting(text).origin == f"--set {shown}"
    except ValueError as error:
        assert str(error).startswith(repr(shown))  # noqa: PT017  not every text is a setting


@pytest.mark.parametrize("text", ["fetch.headers.Cookie=*hunter2", "fetch.headers.Cookie=[hunter2"])
def test_an_error_of_a_setting_has_nothing_of_its_secret(text: str) -> None:
    with pytest.raises(ValueError, match="its value is no YAML: put it into quotes") as refused:
        setting(text)
    assert "hunter2" not in str(refused.value)


def test_secrets_on_the_command_line_are_told(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("name: a\nseeds: [https://a.example/]\n")
    settings = tuple(
        map(
            setting,
            (
                "fetch.headers={Accept: x, Cookie: hunter2, X-Key: env:HOME}",
                'sites."a.example".headers.X=hunter2',
                'sinks=[{to: "https://e.example/", headers: {X-Any: hunter2}}]',
                "items=[{name: b, fields: {headers: h1, x: {css: h2}}}]",
            ),
        )
    )
    assert load_from(JobSource(path=path, settings=settings)).name == "a"
    said = exposed((*settings, Setting("fetch.headers.Cookie", "hunter2", "set={...}")))
    assert [line.partition(" ")[0] for line in said] == [
        "fetch.headers.Cookie",
        "sites.a.example.headers.X",
        "sinks.0.headers.X-Any",
    ]
    assert "which other users of this machine can read: write env:NAME or file:PATH" in said[0]
    assert "hunter2" not in "".join(said)


def test_an_error_of_a_program_has_nothing_of_its_secret(tmp_path: Path) -> None:
    settings = (("fetch.headers", {"Cookie": ["hunter2"]}), ("sites", {"a.example": {"headers": {"X": 777222}}}))
    begin = Begin(urls=("https://a.example/",), settings=settings, folder=str(tmp_path / "a"), workers=1, caller=1)
    with pytest.raises(JobError) as refused:
        load_from(options_of(begin, None).job)
    assert list(refused.value.problems) == [
        "set={'fetch.headers': ...}: fetch.headers.Cookie: wants text: put the value in quotes",
        "set={'sites': ...}: sites.a.example.headers.X: wants text: put the value in quotes",
    ]
