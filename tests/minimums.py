"""Whether exactly the oldest libraries are installed that the project allows: `python -m tests.minimums EXTRA ...`."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w,]+\])?>=(?P<version>[\w.]+)")


class Minimum(NamedTuple):
    """A library that the project needs, and its oldest version."""

    name: str
    version: str


def project() -> dict[str, Any]:
    """Return what `pyproject.toml` says of the project."""
    path = Path(__file__).resolve().parents[1] / "pyproject.toml"
    found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    return found


def minimums(requirements: Iterable[str]) -> Iterator[Minimum]:
    """Yield the libraries among requirements; another extra of the project is none."""
    for each in requirements:
        match = _REQUIREMENT.fullmatch(each)
        if match is not None:
            yield Minimum(match["name"].lower(), match["version"])


def same(one: str, other: str) -> bool:
    """Say whether two versions are the same: 2.0 is 2.0.0, and a post release repeats its release."""
    return _parts(one) == _parts(other)


def _parts(text: str) -> list[int]:
    parts = [int(part) for part in text.partition(".post")[0].split(".")]
    while parts and not parts[-1]:
        parts.pop()
    return parts


def main(extras: list[str]) -> int:
    """Print what is not installed in its oldest version; return 1 if there is any."""
    told = project()
    wanted = [*told["dependencies"], *(each for extra in extras for each in told["optional-dependencies"][extra])]
    found = {each: version(each.name) for each in minimums(wanted)}
    others = [f"{each.name} {each.version}: {there}" for each, there in found.items() if not same(each.version, there)]
    print(*others, sep="\n") if others else print(f"all {len(found)} libraries are the oldest ones")
    return int(bool(others))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
