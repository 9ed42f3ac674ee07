"""Files that a trial depends on."""

from __future__ import annotations

import os
from pathlib import Path

from crawlfleet.trial.watched_files import WatchedFiles, with_neighbours


def test_a_file_that_is_written_replaced_or_removed_has_changed(tmp_path: Path) -> None:
    written, replaced, removed, same, new = (tmp_path / name for name in "abcde")
    for file in (written, replaced, removed, same):
        file.write_text("x")
        os.utime(file, ns=(0, 0))
    files = WatchedFiles([written, replaced, removed, same, new])
    assert files.changed() == []
    written.write_text("xy")
    other = tmp_path / "other"
    other.write_text("x")
    os.utime(other, ns=(0, 0))
    other.replace(replaced)
    removed.unlink()
    new.write_text("")
    assert files.changed() == [written, replaced, removed, new]


def test_a_hook_is_watched_with_the_modules_beside_it(tmp_path: Path) -> None:
    hook = tmp_path / "hook.py"
    for name in ("hook.py", "beside.py", "notes.txt"):
        (tmp_path / name).write_text("")
    assert with_neighbours(hook) == [hook, tmp_path / "beside.py", hook]
