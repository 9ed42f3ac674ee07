"""Compose projects of the tests: images made of local parts alone, and what containers do, say and leave behind."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import time
from io import BytesIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BASE_IMAGE = "crawlfleet-base:bookworm-postgresql-15"
IMAGE = "crawlfleet:test"
DATABASE_IMAGE = "crawlfleet-database:test"
MINUTE_S = 60
LOOK_EVERY_S = 0.1


class Project:
    """One compose project, with options of compose that hold for each of its commands."""

    def __init__(self, name: str, secrets: Path, *options: str) -> None:
        settings = {
            "BASE_IMAGE": BASE_IMAGE,
            "CRAWLFLEET_IMAGE": IMAGE,
            "DATABASE_IMAGE": DATABASE_IMAGE,
            "FLEET_SECRET_FILE": str(secrets / "fleet_secret"),
            "DATABASE_PASSWORD_FILE": str(secrets / "database_password"),
        }
        self._environment = {**os.environ, **settings}
        self._command = [*_compose(), "--project-name", f"crawlfleet-{name}-{os.getpid()}", *options]

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

    def logs(self) -> str:
        """Give what all containers said."""
        return self.compose("logs", "--no-color")

    def down(self) -> None:
        """Remove the containers, their network and their volumes."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "5", timeout_s=3 * MINUTE_S)


def docker(*arguments: str, timeout_s: float = MINUTE_S) -> str:
    """Run a command of docker and give all that it printed."""
    command = ["docker", *arguments]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout_s
    )
    return done.stdout.strip()


def end_of(container: str) -> int:
    """Wait for a container's end; give its exit code."""
    return int(docker("wait", container, timeout_s=3 * MINUTE_S))


def await_said(container: str, words: str) -> None:
    """Wait until a container has said some words."""
    until = time.monotonic() + MINUTE_S
    while words not in (said := docker("logs", container)):
        assert time.monotonic() < until, f"no {words!r} of {container}: {said}"
        time.sleep(LOOK_EVERY_S)


def read(container: str, path: str) -> str:
    """Read a file out of a container, even a stopped one."""
    command = ["docker", "cp", f"{container}:{path}", "-"]
    archive = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=MINUTE_S).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        member = tar.extractfile(path.rpartition("/")[2])
        assert member is not None
        return member.read().decode()


def rows_in(container: str) -> list[dict[str, Any]]:
    """Read the rows that a coordinator has left."""
    return [json.loads(line) for line in read(container, "/data/crawls/demo/items.jsonl").splitlines()]


def _compose() -> list[str]:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]
