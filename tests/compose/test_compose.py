"""The containers do what docker-compose.yml says: workers finish the demo crawl, whichever of them are killed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.demo import shop as demo_shop
from crawlfleet.shared.wire.join_token import JoinToken
from tests.compose.containers import (
    BASE_IMAGE,
    DATABASE_IMAGE,
    IMAGE,
    MINUTE_S,
    ROOT,
    Project,
    await_said,
    docker,
    end_of,
    read,
    rows_in,
)

SECRET = "ab" * 32
PASSWORD = "correct horse"
# The crawl takes twenty seconds: longer than its owner is killed and replaced.
SLOW = ("delay: 0s", "delay: 60ms")
COORDINATORS = ("coordinator-a", "coordinator-b")
OWNED_BY_OTHER = "owns the crawl since"
SERVING = "start workers on this machine with:"
JOINED = "joined"
AGAIN = "opens the crawl again when it can"


def _engine_answers() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.compose,
    pytest.mark.timeout(12 * MINUTE_S),
    pytest.mark.skipif(not _engine_answers(), reason="no Docker engine answers"),
    pytest.mark.skipif(not shutil.which("debootstrap"), reason="debootstrap is not installed"),
]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "fleet_secret").write_text(SECRET)
    (folder / "database_password").write_text(f"{PASSWORD}\n")
    return folder


@pytest.fixture(scope="module")
def fleet(secrets: Path) -> Iterator[Project]:
    """Build the image where nothing can be pulled, from a base image and wheels made here; leave nothing behind."""
    subprocess.run([ROOT / "tests/compose/base_image.sh", BASE_IMAGE], check=True, timeout=10 * MINUTE_S)
    subprocess.run(["make", "-C", ROOT, "wheels"], check=True, timeout=5 * MINUTE_S)
    made = Project("test", secrets)
    try:
        made.compose("build", "site", timeout_s=10 * MINUTE_S)
        yield made
    finally:
        made.down()
        subprocess.run(["docker", "image", "rm", "--force", IMAGE], capture_output=True, check=False)
        stages = ["docker", "image", "prune", "--force", "--filter", "label=crawlfleet.stage=build"]
        subprocess.run(stages, capture_output=True, check=False)


@pytest.fixture
def in_postgresql(fleet: Project, secrets: Path, tmp_path: Path) -> Iterator[Project]:
    """Return the project that has the profile `postgres`, with a job that takes a while."""
    assert fleet  # it has built the image
    folder = str(ROOT / "tests/compose/database")
    docker("build", "--tag", DATABASE_IMAGE, "--build-arg", f"BASE_IMAGE={BASE_IMAGE}", folder, timeout_s=5 * MINUTE_S)
    job = (ROOT / "config/compose.yaml").read_text()
    assert SLOW[0] in job
    (tmp_path / "slow.yaml").write_text(job.replace(*SLOW))
    changed = {name: {"volumes": [f"{tmp_path}/slow.yaml:/data/config/compose.yaml:ro"]} for name in COORDINATORS}
    (tmp_path / "slow.json").write_text(json.dumps({"services": changed}))
    files = ("--file", str(ROOT / "docker-compose.yml"), "--file", str(tmp_path / "slow.json"))
    made = Project("test-postgres", secrets, *files, "--profile", "postgres")
    try:
        yield made
    finally:
        made.down()
        subprocess.run(["docker", "image", "rm", "--force", DATABASE_IMAGE], capture_output=True, check=False)


def books_of(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return sorted((row["url"], row["title"], row["price"]) for row in rows)


BOOKS = sorted((f"http://site:8765{book.path}", book.title, book.price_text) for book in demo_shop.BOOKS)


def test_three_workers_in_containers_finish_the_demo_crawl(fleet: Project) -> None:
    fleet.compose("up", "--detach", "--scale", "worker=3", timeout_s=3 * MINUTE_S)
    (coordinator,) = fleet.containers("coordinator")
    workers = fleet.containers("worker")
    assert end_of(coordinator) == 0, fleet.logs()
    assert [end_of(worker) for worker in workers] == [0, 0, 0], fleet.logs()
    assert books_of(rows_in(coordinator)) == BOOKS
    assert JoinToken.parse(read(coordinator, "/join/token").strip()).secret.hex() == SECRET


def test_the_image_runs_as_a_user_without_rights(fleet: Project) -> None:
    printed = fleet.compose("run", "--rm", "--no-deps", "--entrypoint", "id", "site", "-u", timeout_s=10 * MINUTE_S)
    assert printed.splitlines()[-1] == "10001"


def test_a_crawl_in_postgresql_outlives_the_containers_of_its_owner_and_of_its_database(in_postgresql: Project) -> None:
    fleet = in_postgresql
    fleet.compose("up", "--detach", *COORDINATORS, timeout_s=3 * MINUTE_S)
    (one,), (other,) = map(fleet.containers, COORDINATORS)
    await_said(other, OWNED_BY_OTHER)
    fleet.compose("up", "--detach", "--no-recreate", "--scale", "worker-ab=2", "worker-ab", timeout_s=3 * MINUTE_S)
    workers = fleet.containers("worker-ab")
    await_said(one, JOINED)
    docker("kill", one)
    await_said(other, SERVING)
    docker("pause", *workers)  # so that the crawl is not over before the rest has happened
    docker("start", one)
    await_said(one, OWNED_BY_OTHER)
    (database,) = fleet.containers("database")
    docker("kill", database)
    await_said(other, AGAIN)
    docker("start", database)
    docker("unpause", *workers)
    assert [end_of(each) for each in (one, other, *workers)] == [0, 0, 0, 0], fleet.logs()
    for coordinator, service in zip((one, other), COORDINATORS, strict=True):
        assert books_of(rows_in(coordinator)) == BOOKS
        fleet.compose("run", "--rm", "--no-deps", service, "verify", "crawls/demo")
    assert PASSWORD not in docker("inspect", one, other, database) + fleet.logs()
