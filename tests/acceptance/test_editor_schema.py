"""The schema of jobs under a program of others: what it says of the project's jobs, and of one with a mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CONFIG = Path(__file__).parents[2] / "config"
CHECK = Path(sys.executable).with_name("check-jsonschema")


def judged(schema: Path, *jobs: Path) -> tuple[int, dict[str, Any]]:
    command = [*map(str, (CHECK, "--output-format", "json", "--schemafile", schema, *jobs))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, json.loads(done.stdout)


def test_the_jobs_of_the_project_are_valid_under_the_schema_that_each_names() -> None:
    for job in sorted(CONFIG.glob("*.yaml")):
        named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", job.read_text(encoding="utf-8"))
        assert named, job
        code, said = judged(job.parent / named[1], job)
        assert (code, said["errors"]) == (0, []), job


@pytest.mark.parametrize(
    ("written", "instead", "place"),
    [("delay: 1s", "delay: 1", "$.politeness.delay"), ("per_host: 1}", "per_hosts: 1}", "$.politeness")],
)
def test_a_mistake_is_found_at_its_place(tmp_path: Path, written: str, instead: str, place: str) -> None:
    job = tmp_path / "job.yaml"
    job.write_text((CONFIG / "quotes.yaml").read_text(encoding="utf-8").replace(written, instead), encoding="utf-8")
    code, said = judged(CONFIG / "job.schema.json", job)
    assert code == 1
    assert [error["path"] for error in said["errors"]] == [place]


def test_the_schema_that_the_command_prints_is_whole_wherever_it_is_put(tmp_path: Path) -> None:
    schema = tmp_path / "job.schema.json"
    with schema.open("wb") as file:
        subprocess.run([sys.executable, "-m", "crawlfleet", "schema"], stdout=file, check=True, timeout=60)
    code, said = judged(schema, CONFIG / "quotes.yaml")
    assert (code, said["errors"]) == (0, [])
