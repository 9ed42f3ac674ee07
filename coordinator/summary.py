"""The numbers at the end of a crawl, as a value and as JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec

from crawlfleet.shared.inert import inert_json
from crawlfleet.shared.status import Numbers

ALREADY_FINISHED = (
    "Nothing was done: this crawl had finished before. To crawl again, start with --fresh, which keeps this run aside."
)


class Summary(Numbers, frozen=True, kw_only=True):
    """How a crawl ended. `ended` is `finished`, `interrupted` or `failed`; `detail` says why it failed.

    `fetched_before` of the `fetched` pages were fetched by earlier runs. `warnings` say why there are no rows, or which
    rules and fields gave nothing. `fresh` says that the run was started with `--fresh`. `tables` are the files with the
    job's tables, and `unmet` is a sentence for each expectation of the job that does not hold.
    """

    ended: str
    detail: str = ""
    started_at: str
    fetched_before: int
    sinks: tuple[str, ...]
    resumable: bool
    exit_code: int
    notices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unmet: tuple[str, ...] = ()
    fresh: bool = False
    tables: tuple[str, ...] = ()

    @property
    def pages_per_s(self) -> float:
        """The rate of this run only."""
        return (self.fetched - self.fetched_before) / self.elapsed_s if self.elapsed_s > 0 else 0.0


def is_left(summary: Summary, path: Path) -> bool:
    """Say whether a file has the summary of a run after which the crawl was as far as it is by this one."""
    try:
        left = msgspec.json.decode(path.read_bytes(), type=Summary)
    except (OSError, msgspec.DecodeError):
        return False
    return _state(left) == _state(summary)


def _state(summary: Summary) -> tuple[object, ...]:
    checks = summary.external_checked, summary.external_broken, summary.external_unchecked
    return summary.ended, summary.discovered, summary.fetched, summary.failed, summary.dropped, *checks


def write(summary: Summary, path: Path) -> None:
    """Write a summary as JSON, whole or not at all; raise `OSError` if it cannot be written."""
    draft = path.with_suffix(".tmp")
    text = msgspec.json.format(msgspec.json.encode(summary), indent=2).decode()
    draft.write_text(f"{inert_json(text)}\n", encoding="utf-8")
    draft.replace(path)
