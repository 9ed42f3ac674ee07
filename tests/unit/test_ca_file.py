"""A file of trusted authorities is read as it is, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.coordinator.job import job
from crawlfleet.shared.errors import JobError
from crawlfleet.worker.fetch.authorities import AuthoritiesFile, usual_file
from tests.site.authority import Authority

JOB = "name: a\nseeds: [http://a.example/]\nfetch: {{ca_file: {name}}}\n"


def load(folder: Path, name: str = "ca.pem") -> job.Job:
    path = folder / "job.yaml"
    path.write_text(JOB.format(name=name))
    return job.load(path)


def test_its_text_travels_to_the_workers(tmp_path: Path) -> None:
    pem = Authority().pem
    (tmp_path / "ca.pem").write_text(pem)
    assert job.brief(load(tmp_path)).fetch.ca_pem == pem


def test_without_it_nothing_travels(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("name: a\nseeds: [http://a.example/]\n")
    assert job.brief(job.load(path)).fetch.ca_pem == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no file"),
        ("hello", "holds no certificates in PEM"),
        ("caf\u00e9", "is no PEM"),
        ("-----BEGIN PRIVATE KEY-----", "holds a private key"),
        ("x" * (1024 * 1024 + 1), "is larger than 1024 KiB"),
    ],
)
def test_what_is_none_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "ca.pem").write_text(text, encoding="utf-8")
    with pytest.raises(JobError) as refused:
        load(tmp_path)
    (problem,) = refused.value.problems
    assert problem.startswith("job.yaml:3:") or ":3:" in problem
    assert said in problem


def test_a_list_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="wants the name of a file"):
        load(tmp_path, "[a]")


def test_the_file_with_all_authorities_has_no_name_that_a_killed_worker_could_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = AuthoritiesFile("OWN\n")
    try:
        text = Path(file.path).read_text(encoding="utf-8")
    finally:
        file.close()
    assert text == Path(usual_file()).read_text(encoding="utf-8") + "\nOWN\n"
    assert list(tmp_path.iterdir()) == []
