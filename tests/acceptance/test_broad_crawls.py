"""Crawls that go wherever links lead: over several hosts of loopback, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.crawls import assert_refused, lines, run
from tests.site.linked_hosts import LinkedHost, linked_hosts


def write(folder: Path, seed: str, scope: str) -> Path:
    path = folder / "broad.yaml"
    path.write_text(
        f"name: broad\nseeds: ['{seed}']\nscope: {{{scope}}}\npoliteness: {{delay: 0s, adaptive: false}}\n"
        "fetch: {retries: 0, allow_private: [127.0.0.0/8]}\n"
    )
    return path


def link_all(hosts: list[LinkedHost]) -> None:
    """Let each host lead to the next: by a link, but for the last, to which a redirect leads."""
    for host, after in zip(hosts, [*hosts[1:], hosts[0]], strict=True):
        host.has("/", "/a", "/secret", f"{after.base}/", f"{after.base}/b")
        host.has("/a")
        host.has("/b")
        host.has("/secret")
    hosts[-2].has("/", "/away")
    hosts[-2].moves("/away", f"{hosts[-1].base}/")


def test_a_broad_crawl_goes_to_every_host_that_links_and_redirects_lead_to(tmp_path: Path) -> None:
    with linked_hosts(5) as hosts:
        link_all(hosts)
        job = write(tmp_path, f"{hosts[0].base}/", "hosts: any, pages: 1000, exclude: [/secret]")
        done = run(tmp_path, "run", job, "--workers", "2")
        assert done.returncode == 0, done.stdout + done.stderr
        got = {row["url"] for row in lines(tmp_path / "crawls" / "broad" / "items.jsonl")}
        ends = [f"{host.base}{path}" for host in hosts for path in ("/", "/a", "/b")]
        unlinked = {f"{hosts[-2].base}/a", f"{hosts[-1].base}/b"}
        assert got == set(ends) - unlinked
        assert not any("GET /secret" in host.asked for host in hosts)
        assert [host.asked.count("GET /robots.txt") for host in hosts] == [1] * len(hosts)
    assert run(tmp_path, "verify", tmp_path / "crawls" / "broad").returncode == 0


def test_a_broad_crawl_ends_with_its_budget(tmp_path: Path) -> None:
    with linked_hosts(4) as hosts:
        link_all(hosts)
        job = write(tmp_path, f"{hosts[0].base}/", "hosts: any, pages: 4, per_host: {pages: 2}")
        done = run(tmp_path, "run", job)
        assert done.returncode == 0, done.stdout + done.stderr
        by_host = [sum(asked != "GET /robots.txt" for asked in host.asked) for host in hosts]
    summary = json.loads((tmp_path / "crawls" / "broad" / "summary.json").read_text())
    assert summary["fetched"] == 4
    assert max(by_host) <= 2
    assert summary["reasons"]["budget_host_pages"] + summary["reasons"]["budget_pages"] == summary["dropped"] > 0


def test_a_broad_crawl_without_a_budget_is_refused_in_one_sentence(tmp_path: Path) -> None:
    job = write(tmp_path, "http://127.0.0.1:9/", "hosts: any")
    done = run(tmp_path, "check", job)
    assert_refused(done, 2, "broad.yaml:3:16: scope.hosts: 'any' has no end without a budget", "pages: 100000")
    assert done.stdout.count("\n") + done.stderr.count("\n") == 1
