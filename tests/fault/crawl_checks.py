"""Holds what a crawl left behind against its site: the site's graph is the truth, its access log the witness."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from crawlfleet.coordinator.core.rows import FINAL, TaskRow
from crawlfleet.coordinator.frontier.registry import open_reader
from tests.fault.fleet_processes import python
from tests.site.generated_site import GeneratedSite, Hit

LINKS = "links.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was wrong, by kind: empty everywhere if all is right. `refetched` is no fault: it counts the requests that
    were made once more because somebody died; `worst_recovery_s` is the longest time from such a death to it."""

    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    pressed: tuple[str, ...]
    quarantined: tuple[str, ...]
    unproved: str
    refetched: int = 0
    worst_recovery_s: float = 0.0
    problems: tuple[str, ...] = field(default=())

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        faults = (self.lost, self.doubled, self.pressed, self.quarantined, self.unproved, self.problems)
        return not any(faults)


def check(
    crawl: Path, site: GeneratedSite, kills_at: Sequence[float] = (), poison: frozenset[str] = frozenset()
) -> Findings:
    """Hold a crawl's folder against its site; `poison` are the pages that must end quarantined."""
    rows = read_items(crawl / "items.jsonl")
    recorded = Counter(urlsplit(row["url"]).path for row in rows)
    tasks = read_tasks(crawl)
    expected = site.graph.pages - poison
    asked = Counter(hit.path for hit in site.hits)
    grants = _grants(tasks)
    again = _asked_again(site)
    return Findings(
        lost=tuple(sorted(path for path in expected if not recorded[path] or not asked[path])),
        doubled=tuple(sorted(path for path, count in recorded.items() if count > 1)),
        pressed=tuple(f"{path}: {n} > {grants[path]}" for path, n in asked.items() if n > grants[path]),
        quarantined=tuple(sorted(_poisoned(tasks) ^ poison)),
        unproved=_verify(crawl),
        refetched=len(again),
        worst_recovery_s=max((_recovery_s(before, after, kills_at) for before, after in again), default=0.0),
        problems=(
            *_wrong_rows(rows, expected),
            *_wrong_links(crawl / LINKS, site, poison),
            *_unfinished(tasks),
            *_strangers(site),
        ),
    )


def read_items(path: Path) -> list[dict[str, str]]:
    """Read a crawl's rows."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_tasks(crawl: Path) -> list[TaskRow]:
    """Read all tasks of a crawl."""
    with closing(open_reader(crawl)) as reader:
        return [task for _, _, task in reader.tasks()]


def _grants(tasks: Sequence[TaskRow]) -> Counter[str]:
    """How often each path may have been asked for: once, once for each retry, once for each loss."""
    return Counter({urlsplit(task.url).path: 1 + task.attempt + task.refusals + task.losses for task in tasks})


def _poisoned(tasks: Sequence[TaskRow]) -> frozenset[str]:
    return frozenset(urlsplit(task.url).path for task in tasks if task.reason == "poison")


def _unfinished(tasks: Sequence[TaskRow]) -> list[str]:
    return [f"{task.url} ended {task.state}" for task in tasks if task.state not in FINAL]


def _wrong_rows(rows: Sequence[dict[str, str]], expected: frozenset[str]) -> list[str]:
    wrong = [row["url"] for row in rows if urlsplit(row["url"]).path != row["title"]]
    strange = [row["url"] for row in rows if urlsplit(row["url"]).path not in expected]
    return [f"{url} has a row that is not its own" for url in (*wrong, *strange)]


def _wrong_links(table: Path, site: GeneratedSite, poison: frozenset[str]) -> list[str]:
    """Compare the table of links, if the crawl has one, with the links of each page."""
    if not table.exists():
        return []
    found = Counter((urlsplit(row["source"]).path, urlsplit(row["target"]).path) for row in read_items(table))
    links = site.graph.links.items()
    wanted = Counter((page, link) for page, some in links if page not in poison for link in some)
    wrong = [pair for pair in found.keys() | wanted.keys() if found[pair] != wanted[pair]]
    return [f"{page} has {found[page, link]} links to {link}, not {wanted[page, link]}" for page, link in sorted(wrong)]


def _strangers(site: GeneratedSite) -> list[str]:
    """Paths that were asked for and are none of the site's."""
    known = site.graph.pages | site.graph.missing | site.graph.redirects.keys() | {"/robots.txt"}
    return [f"{hit.path} was asked for" for hit in site.hits if hit.path not in known]


def _asked_again(site: GeneratedSite) -> list[tuple[Hit, Hit]]:
    """Pairs of requests for the same path, of which the second is no retry after a refusal."""
    last: dict[str, Hit] = {}
    pairs = []
    for hit in site.hits:
        before = last.get(hit.path)
        if before is not None and before.status != 503:
            pairs.append((before, hit))
        last[hit.path] = hit
    return pairs


def _recovery_s(before: Hit, after: Hit, kills_at: Sequence[float]) -> float:
    """From the first kill after a request to its repetition."""
    kills = [at for at in kills_at if before.at <= at <= after.at]
    return after.at - min(kills) if kills else 0.0


def _verify(crawl: Path) -> str:
    """Let the crawl prove itself; return what it says if it cannot."""
    command = (*python("crawlfleet"), "verify", str(crawl))
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "" if said.returncode == 0 else f"exit {said.returncode}: {said.stdout}{said.stderr}"
