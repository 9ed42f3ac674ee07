"""A network, process and mount namespace for tests: its addresses, and its name servers, are the tests' own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Nothing that runs there outlives a test that is given up.
UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
INSIDE = """
set -e
ip link set lo up
{addresses}
mount --bind {folder}/resolv.conf /etc/resolv.conf
mount --bind {folder}/hosts /etc/hosts
exec {python} -m pytest -q -p no:cacheprovider {file} -k "{chosen}"
"""


def what_is_missing() -> str:
    """Say why there is no network of our own; nothing if there can be one."""
    if missing := [program for program in ("unshare", "ip") if not shutil.which(program)]:
        return f"{missing[0]} is not installed"
    done = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False)
    return f"namespaces cannot be made: {done.stderr.strip()}" if done.returncode else ""


def assert_passes_inside(file: str, chosen: str, folder: Path, addresses: Iterable[str], patience_s: float) -> None:
    """Run the chosen tests of a file in a network of their own; `addresses` are arguments of `ip` that make it."""
    (folder / "resolv.conf").write_text("nameserver 127.0.0.53\n")
    (folder / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    made = "\n".join(f"ip {each}" for each in addresses)
    script = INSIDE.format(addresses=made, folder=folder, python=sys.executable, file=file, chosen=chosen)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
