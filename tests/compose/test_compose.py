"""The containers do what docker-compose.yml says: three workers finish the demo crawl; the volume holds it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from crawlfleet.demo import shop as demo_shop
from crawlfleet.shared.wire.join_token import JoinToken

ROOT = Path(__file__).resolve().parents[2]
BASE_IMAGE = "crawlfleet-base:bookworm"
IMAGE = "crawlfleet:test"
SECRET = "ab" * 32
MINUTE_S = 60


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


def _output(*command: str, timeout_s: float = MINUTE_S) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=timeout_s).stdout.strip()


class Fleet:
    """One compose project of its own, on an image made from local parts alone."""

    def __init__(self, folder: Path) -> None:
        secret = folder / "fleet_secret"
        secret.write_text(SECRET)
        settings = {"BASE_IMAGE": BASE_IMAGE, "CRAWLFLEET_IMAGE": IMAGE, "FLEET_SECRET_FILE": str(secret)}
        self._environment = {**os.environ, **settings}
        self._command = [*_compose(), "--project-name", f"crawlfleet-test-{os.getpid()}"]

    def compose(self, *arguments: str, timeout_s: float = MINUTE_S) -> str:
        """Run one compose command and give its output."""
        command = [*self._command, *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def containers(self, service: str) -> list[str]:
        """Name the containers of a service, running or not."""
        return self.compose("ps", "--all", "--quiet", service).split()

    def wait(self, container: str) -> int:
        """Wait for a container's end; give its exit code."""
        return int(_output("docker", "wait", container, timeout_s=3 * MINUTE_S))

    def logs(self) -> str:
        """Give what all containers said."""
        return self.compose("logs", "--no-color")


def _compose() -> list[str]:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Build the image where nothing can be pulled, from a base image and wheels made here; leave nothing behind."""
    subprocess.run([ROOT / "tests/compose/base_image.sh", BASE_IMAGE], check=True, timeout=10 * MINUTE_S)
    subprocess.run(["make", "-C", ROOT, "wheels"], check=True, timeout=5 * MINUTE_S)
    made = Fleet(tmp_path_factory.mktemp("compose"))
    try:
        yield made
    finally:
        made.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", timeout_s=3 * MINUTE_S)
        subprocess.run(["docker", "image", "rm", "--force", IMAGE], capture_output=True, check=False)
        stages = ["docker", "image", "prune", "--force", "--filter", "label=crawlfleet.stage=build"]
        subprocess.run(stages, capture_output=True, check=False)


def _read(container: str, path: str) -> str:
    """Read a file out of a container, even a stopped one."""
    command = ["docker", "cp", f"{container}:{path}", "-"]
    archive = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=MINUTE_S).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        member = tar.extractfile(path.rpartition("/")[2])
        assert member is not None
        return member.read().decode()


def test_three_workers_in_containers_finish_the_demo_crawl(fleet: Fleet) -> None:
    fleet.compose("up", "--build", "--detach", "--scale", "worker=3", timeout_s=10 * MINUTE_S)
    (coordinator,) = fleet.containers("coordinator")
    workers = fleet.containers("worker")
    assert fleet.wait(coordinator) == 0, fleet.logs()
    assert [fleet.wait(worker) for worker in workers] == [0, 0, 0], fleet.logs()
    rows = [json.loads(line) for line in _read(coordinator, "/data/crawls/demo/items.jsonl").splitlines()]
    found = sorted((row["url"], row["title"], row["price"]) for row in rows)
    assert found == sorted((f"http://site:8765{b.path}", b.title, b.price_text) for b in demo_shop.BOOKS)
    assert JoinToken.parse(_read(coordinator, "/join/token").strip()).secret.hex() == SECRET


def test_the_image_runs_as_a_user_without_rights(fleet: Fleet) -> None:
    printed = fleet.compose("run", "--rm", "--no-deps", "--entrypoint", "id", "site", "-u", timeout_s=10 * MINUTE_S)
    assert printed.splitlines()[-1] == "10001"
