"""`--set KEY=VALUE` beside a job file, in each command that reads one."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.demo.server import DemoSite
from tests.acceptance.crawls import assert_refused, lines, run, whole_site_job


def test_a_crawl_goes_by_its_settings(site: DemoSite, tmp_path: Path) -> None:
    whole_site_job(tmp_path, "set", site.base)
    settings = ("--set", "scope.pages=5", "--set", "sinks=[rows.jsonl]", "--set", "items.0.fields.h=h1")
    done = run(tmp_path, "run", "set.yaml", *settings)
    assert done.returncode == 0, done.stderr
    rows = lines(tmp_path / "crawls/set/rows.jsonl")
    assert len(rows) == 5
    assert set(rows[0]) == {"url", "item", "title", "h"}
    assert not (tmp_path / "crawls/set/items.jsonl").exists()


@pytest.mark.parametrize("command", ["run", "check", "coordinator"])
def test_a_wrong_setting_is_refused(command: str, tmp_path: Path) -> None:
    whole_site_job(tmp_path, "set", "http://127.0.0.1/")
    sentence = "--set politeness.dely=2s: politeness.dely: is not a known key: did you mean 'delay'?"
    assert_refused(run(tmp_path, command, "set.yaml", "--set", "politeness.dely=2s"), 2, sentence)
    assert_refused(run(tmp_path, command, "set.yaml", "--set", "politeness"), 2, "expected KEY=VALUE")
