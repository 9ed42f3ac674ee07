"""What `config/reference.yaml` says about each key of a job: the comment beside it. A copy of the file is installed.

Pure but for reading that file. It must not judge: a test does, of every key.
"""

from __future__ import annotations

from pathlib import Path

from crawlfleet.coordinator.job.section import Section, section_at
from crawlfleet.coordinator.job.yaml_source import KeyPath, Place

#: In the place of a member of a list, or of a name of the user's own.
ANY = "*"


def reference_text() -> str:
    """Return the reference, a whole job in which every key has its comment."""
    return Path(__file__).with_name("reference.yaml").read_text(encoding="utf-8")


def place_of(root: type[Section], path: KeyPath) -> KeyPath:
    """Return the place that a path in a document is an example of."""
    return tuple(step if section_at(root, path[:index]) else ANY for index, step in enumerate(path))


def comment_at(lines: list[str], place: Place) -> str:
    """Return what stands beside the key at a place, and in the lines below it that hold nothing else."""
    said = [lines[place.line - 1].partition(" # ")[2]]
    for line in lines[place.line :]:
        if not line.lstrip().startswith("#"):
            break
        said.append(line.lstrip(" #"))
    return " ".join(said)
