"""Secrets of a site while its pages redirect from https to http and back, to other ports and to other hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from crawlfleet.shared.engines import FETCH_ENGINES
from tests.acceptance.crawls import run
from tests.site.authority import Authority
from tests.site.header_site import HeaderSite, header_site

HOST, OTHER = "127.0.0.1", "127.0.0.2"
SECRETS = {"Authorization": "literal", "X-Api-Key": "from a file", "Cookie": "of the seeds"}
JOB = """\
name: redirected
seeds: ["{seed}/"]
scope: {{hosts: ["{host}", "{other}"]}}
politeness: {{delay: 0s, adaptive: false}}
fetch:
  engine: {engine}
  retries: 0
  ca_file: ca.pem
  allow_private: [127.0.0.0/8]
  headers: {{Cookie: of the seeds, X-Harmless: everywhere}}
sites:
  "{host}": {{headers: {{Authorization: literal, X-Api-Key: "file:key.txt"}}}}
"""
# What each of the sites that are no seed is asked for, by redirects alone; and the plain one by that of robots.txt.
LED_TO = {"/robots.txt", "/landed", "/back"}
RULES = "/rules"


class Sites:
    """The seed's site, which speaks https, and others: each has a page, and one that redirects back to the first."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        authority = Authority()
        (folder / "ca.pem").write_text(authority.pem)
        here = authority.sign(folder / "here.pem", address=HOST)
        there = authority.sign(folder / "there.pem", address=OTHER)

        def serve(address: str, certificate: Path | None) -> HeaderSite:
            return opened.enter_context(header_site({}, address, certificate=certificate))

        self.seed = serve(HOST, here)
        self.others = {
            "plain": serve(HOST, None),
            "at another port": serve(HOST, here),
            "of another host": serve(OTHER, there),
            "of another host, plain": serve(OTHER, None),
        }
        for number, site in enumerate(self.others.values()):
            site.pages |= {"/landed": "landed", "/back": f"->{self.seed.base}/home/{number}"}
            self.seed.pages |= {
                f"/away/{number}": f"->{site.base}/landed",
                f"/round/{number}": f"->{site.base}/back",
                f"/home/{number}": "home",
            }
        self.others["plain"].pages[RULES] = "User-agent: *\nAllow: /\n"
        self.seed.pages["/robots.txt"] = f"->{self.others['plain'].base}{RULES}"
        self.seed.pages["/"] = "".join(
            f'<a href="/{way}/{number}">x</a>' for way in ("away", "round") for number in range(len(self.others))
        )


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    with ExitStack() as opened:
        yield Sites(tmp_path, opened)


@pytest.mark.parametrize("engine", sorted(FETCH_ENGINES))
def test_no_redirect_takes_a_secret_to_another_scheme_port_or_host(engine: str, sites: Sites, tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("from a file\n")
    (tmp_path / "job.yaml").write_text(JOB.format(seed=sites.seed.base, host=HOST, other=OTHER, engine=engine))
    done = run(tmp_path, "run", "job.yaml", "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    ways = {f"/{way}/{number}" for way in ("away", "round", "home") for number in range(len(sites.others))}
    assert {path for path, _ in sites.seed.seen} == {"/robots.txt", "/", *ways}
    for path, fields in sites.seed.seen:
        assert {name: fields.get(name) for name in SECRETS} == SECRETS, path
    for name, site in sites.others.items():
        assert {path for path, _ in site.seen} == (LED_TO | {RULES} if name == "plain" else LED_TO)
        for path, fields in site.seen:
            assert fields["X-Harmless"] == "everywhere"
            assert not SECRETS.keys() & fields.keys(), (name, path)
