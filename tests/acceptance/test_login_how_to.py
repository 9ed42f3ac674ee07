"""The page about keys, passwords and sessions, run from its own text, on sites that want them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.crawls import CRAWLFLEET, lines
from tests.site.header_site import header_site

PAGE = (Path(__file__).parents[2] / "docs/how-to/crawl-with-a-login.md").read_text("utf-8")
BLOCKS: dict[str, str] = dict(re.findall(r"^```yaml job=(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
COMMANDS: list[str] = [
    line for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) for line in block.splitlines()
]
PRODUCTS = '{"products": [{"name": "lamp"}, {"name": "chair"}]}'
# Of each job: the host in it, what its site wants, a page, and its rows.
SITES = {
    "api": ("api.example.org", ("X-Api-Key", "key-1"), ("/products?page=1", PRODUCTS), ["lamp", "chair"]),
    "intranet": (
        "intranet.example.org",
        ("Authorization", "Basic bWU6cGFzc3dvcmQ="),
        ("/", "<title>in</title>"),
        ["in"],
    ),
    "members": ("www.example.org", ("Cookie", "id=1; x=2"), ("/members/", "<title>hi</title>"), ["hi"]),
}


@pytest.mark.parametrize("name", SITES)
def test_a_job_of_the_page_gets_in(name: str, tmp_path: Path) -> None:
    host, wanted, (path, page), titles = SITES[name]
    read, check, run, encode = COMMANDS
    subprocess.run(["bash", "-c", encode], cwd=tmp_path, check=True)
    assert (tmp_path / "intranet.auth").stat().st_mode & 0o077 == 0
    (tmp_path / "session.txt").write_text("id=1; x=2\n")
    with header_site({path: page}, wanted=wanted) as site:
        job = BLOCKS[name].replace(f"https://{host}", site.base).replace(host, "127.0.0.1")
        (tmp_path / f"{name}.yaml").write_text(job)
        for command in (check, run):
            words = [*CRAWLFLEET, *command.replace("api", name).split()[1:]]
            script = f"{read} && exec {' '.join(words)}"
            done = subprocess.run(
                ["bash", "-c", script], cwd=tmp_path, input="key-1\n", capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert wanted[1] not in done.stdout + done.stderr
    assert [row["title"] for row in lines(tmp_path / f"crawls/{name}/items.jsonl")] == titles
    assert "API_TOKEN" not in os.environ
