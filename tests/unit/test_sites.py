"""Which hosts a job's header fields are for: patterns of hosts, and the origins that they mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.coordinator.job.job import brief, load
from crawlfleet.coordinator.job.sites import origins_of
from crawlfleet.shared.errors import JobError
from crawlfleet.shared.web.domains import is_public_suffix


def meant(folder: Path, pattern: str, seeds: str = "https://seed.example/") -> tuple[str, ...]:
    """Return the origins that a pattern means in a job with these seeds."""
    path = folder / "job.yaml"
    path.write_text(f"name: a\nseeds: [{seeds}]\nsites: {{{pattern!r}: {{headers: {{X: y}}}}}}\n")
    (site,) = brief(load(path)).fetch.sites
    return site.origins


@pytest.mark.parametrize(
    ("pattern", "origins"),
    [
        ("a.example", ("https://a.example",)),
        ("A.Example/", ("https://a.example",)),
        ("\u4f8b\u3048.jp", ("https://xn--r8jz45g.jp",)),
        ("*.a.example", ("https://*.a.example",)),
        ("a.example:8443", ("https://a.example:8443",)),
        ("a.example:443", ("https://a.example",)),
        ("http://a.example", ("http://a.example",)),
        ("HTTP://*.a.example:8000", ("http://*.a.example:8000",)),
        ("[::1]:8443", ("https://[::1]:8443",)),
        ("*.localhost", ("https://*.localhost",)),
    ],
)
def test_a_pattern_means_https_unless_it_says_otherwise(pattern: str, origins: tuple[str, ...], tmp_path: Path) -> None:
    assert meant(tmp_path, pattern) == origins


@pytest.mark.parametrize(
    ("pattern", "seeds", "more"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/x", ("http://127.0.0.1:8000",)),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/x", ("http://127.0.0.1:8000",)),
        ("127.0.0.1:8001", "http://127.0.0.1:8000/x", ()),
        ("a.example", "http://a.example/, http://a.example:81/", ("http://a.example", "http://a.example:81")),
        ("*.a.example", "http://b.a.example/, http://a.example/, http://ba.example/", ("http://b.a.example",)),
        ("a.example", "'http://a.example.org/', http://b.a.example/", ()),
        ("[::1]", "'http://[::1]:80/'", ("http://[::1]",)),
        ("a.example", "{sitemap: 'http://a.example/s.xml'}", ("http://a.example",)),
    ],
)
def test_a_pattern_without_a_scheme_means_the_seeds_of_its_hosts_too(
    pattern: str, seeds: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    found = [each for each in meant(tmp_path, pattern, seeds)[1:] if not each.startswith("https://b.a.")]
    assert tuple(found) == more


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("*", "'*' is no host that header fields are for: write one such as example.org, *.example.org or"),
        ("", "a key is missing"),
        ("a b", "is no host"),
        ("a.example/path", "is no host"),
        ("ftp://a.example", "is no host"),
        ("me:hunter2@a.example", "is no host"),
        ("a.*.example", "is no host"),
        ("*.com", "'*.com' has hosts of different owners, or none: name a domain or a host"),
        ("*.co.uk", "has hosts of different owners"),
        ("*.github.io", "has hosts of different owners"),
        ("*.127.0.0.1", "has hosts of different owners, or none"),
        ("*.[::1]", "has hosts of different owners, or none"),
    ],
)
def test_a_pattern_of_no_host_or_of_everybodys_is_refused(pattern: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(JobError) as refused:
        meant(tmp_path, pattern)
    assert said in str(refused.value)


def test_a_pattern_that_is_written_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("name: a\nseeds: [https://a.example/]\nsites: {b.example: {headers: {X: y}}, B.example: {}}\n")
    with pytest.raises(JobError, match=r"sites\.B\.example: is written twice, with other capitals: keep one"):
        load(path)


def test_the_narrowest_pattern_comes_last(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    patterns = ("c.b.a.example", "*.b.a.example", "*.a.example")
    sites = "".join(f"  '{pattern}': {{headers: {{Cookie: '{pattern}'}}}}\n" for pattern in patterns)
    path.write_text(f"name: a\nseeds: [https://c.b.a.example/]\nfetch: {{headers: {{Cookie: first}}}}\nsites:\n{sites}")
    found = [dict(site.headers)["Cookie"] for site in brief(load(path)).fetch.sites]
    assert found == ["first", "*.a.example", "*.b.a.example", "c.b.a.example"]


def test_a_seed_of_http_is_meant_as_https_too_and_one_of_https_not_as_http() -> None:
    seeds = ["http://a.example/1", "http://a.example/2", "http://a.example:81/", "https://b.example/"]
    assert origins_of(seeds) == ("http://a.example", "http://a.example:81", "https://b.example", "https://a.example")


@pytest.mark.parametrize(
    ("host", "is_one"),
    [("com", True), ("co.uk", True), ("github.io", True), ("example.org", False), ("localhost", False)],
)
def test_a_public_suffix_is_what_different_owners_are_below(host: str, is_one: bool) -> None:
    assert is_public_suffix(host) is is_one
