"""Which page is tried, and what it is in its job."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.coordinator.job.job import Job, load
from crawlfleet.shared.errors import UsageError
from crawlfleet.trial import errand
from crawlfleet.trial.errand import errand_of


def job(folder: Path, seeds: str, more: str = "") -> Job:
    path = folder / "job.yaml"
    path.write_text(f"name: n\nseeds: {seeds}\n{more}")
    return load(path)


def test_without_an_address_it_is_the_first_seed(tmp_path: Path) -> None:
    found = errand_of(job(tmp_path, "[{sitemap: 'http://a.test/map.xml'}, 'http://a.test/{1..3}']"))
    assert (found.url, found.is_seed, found.line) == ("http://a.test/1", True, None)
    (tmp_path / "urls.txt").write_text("# none\n\nnothing\nhttp://a.test/x\n")
    found = errand_of(job(tmp_path, "[{file: urls.txt}]"))
    assert (found.url, found.is_seed, found.line) == ("http://a.test/x", False, SeedLine("http://a.test/x"))


def test_without_a_seed_that_is_a_page_an_address_is_needed(tmp_path: Path) -> None:
    made = job(tmp_path, "[{sitemap: 'http://a.test/map.xml'}]")
    with pytest.raises(UsageError, match=r"as in try JOB\.yaml URL"):
        errand_of(made)
    with pytest.raises(UsageError, match="with --url"):
        errand_of(made, file=tmp_path / "job.yaml")
    assert errand_of(made, "http://a.test/").is_seed is False


def test_a_page_is_known_by_the_form_that_the_job_gives_it(tmp_path: Path) -> None:
    made = job(tmp_path, "['http://a.test/?a=1']", "urls: {drop_query: [utm_*]}\n")
    found = errand_of(made, "HTTP://A.test/?utm_x=1&a=1#top")
    assert (found.asked, found.url, found.is_seed) == ("HTTP://A.test/?utm_x=1&a=1#top", "http://a.test/?a=1", True)


def test_a_line_far_below_is_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "urls.csv").write_text("url,id\n" + "".join(f"http://a.test/{n},{n}\n" for n in range(5)))
    made = job(tmp_path, "[{file: urls.csv, column: url}]")
    assert errand_of(made, "http://a.test/4").line == SeedLine("http://a.test/4", {"id": "4"})
    assert errand_of(made, "http://a.test/9").line is None
    monkeypatch.setattr(errand, "MOST_LINES", 3)
    assert errand_of(made, "http://a.test/4").line == SeedLine("http://a.test/4")


def test_what_is_of_a_crawl_does_not_count_for_a_page(tmp_path: Path) -> None:
    more = "scope: {pages: 1, bytes: 1KiB, time: 1s, sitemaps: true, per_host: {pages: 1}, depth: 2}\n"
    found = errand_of(job(tmp_path, "['http://a.test/']", more))
    extent = found.policy.extent
    assert (extent.pages, extent.size_bytes, extent.time_s, extent.per_host.pages) == (None, None, None, None)
    assert (extent.sitemaps, extent.depth) == (False, 2)
    assert found.policy.politeness.ignore_robots == ()
    assert errand_of(job(tmp_path, "['http://a.test/']"), file=Path("x")).policy.politeness.ignore_robots == ("a.test",)


def test_the_job_s_own_seeds_and_what_is_typed_are_named_and_no_lines_of_a_seeds_file(tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("http://d.test/x\n")
    made = job(tmp_path, "[{file: urls.txt}, {sitemap: 'http://a.test/map.xml'}, 'http://b.test:81/{1..3}']")
    assert set(errand_of(made).named) == {"http://a.test/", "http://b.test:81/"}
    assert set(errand_of(made, "https://c.test/y").named) == {"http://a.test/", "http://b.test:81/", "https://c.test/"}
    assert errand_of(job(tmp_path, "[{file: urls.txt}]")).named == ()
