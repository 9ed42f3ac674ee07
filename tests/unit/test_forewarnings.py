"""What `check` says of a job that is valid and probably not meant so."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.__main__ import main
from crawlfleet.coordinator.job.forewarnings import forewarnings
from crawlfleet.coordinator.job.job import load


def written(folder: Path, text: str) -> Path:
    path = folder / "job.yaml"
    path.write_text(f"name: job\n{text}")
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "seeds: [http://a.test/b, http://a.test/c]\nscope: {include: [/b*]}\n",
            ["http://a.test/c is not fetched: scope.include"],
        ),
        (
            "seeds: [http://a.test/b]\nscope: {exclude: [/b*]}\n",
            ["http://a.test/b is not fetched: scope.exclude matches it"],
        ),
        ("seeds: [http://a.test/x?s=1]\nurls: {drop_query: [s]}\nscope: {exclude: ['*s=*']}\n", []),
        ("seeds: ['http://a.test/{1..9}']\nscope: {include: [/b]}\n", ["/1 is", "/2 is", "/3 is", "and 6 seeds more"]),
        ("seeds: [http://a.test/b]\nscope: {hosts: [a.test]}\n", []),
        ("seeds: [{sitemap: http://a.test/map.xml}]\nscope: {include: [/b]}\n", []),
    ],
    ids=["include", "exclude", "as it is asked for", "many", "hosts alone", "a sitemap"],
)
def test_seeds_that_the_scope_of_the_job_refuses_are_named(tmp_path: Path, text: str, said: list[str]) -> None:
    found = forewarnings(load(written(tmp_path, text)))
    assert len(found) == len(said)
    for sentence, part in zip(found, said, strict=True):
        assert part in sentence


def test_check_tells_them_and_the_job_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "seeds: [http://a.test/c]\nscope: {include: [/b*]}\n")
    assert main(["check", str(path)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "is fine" in first
    assert second == f"{path}: warning: the seed http://a.test/c is not fetched: scope.include does not match it"
