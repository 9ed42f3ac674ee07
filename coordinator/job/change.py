"""What changed between the job that a crawl was begun with and the one it goes on with.

Seeds, scope, traps and what is taken for one URL say which URLs belong to the crawl: a change there must be wanted.
Everything else is accepted. A key that an earlier version did not know has not changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec
import structlog

from crawlfleet.coordinator.frontier.port import Keeping
from crawlfleet.shared.errors import UsageError

#: The key under which a store keeps the job of its crawl.
JOB = "job"
MAX_LINE_CHARS = 500
MAX_LINES = 20
# The key at the beginning of a line of `difference`, and the names of keys that stand in no job.
_KEY = re.compile(r"[-+] (\w+).*", re.DOTALL)
_NAMES = {"hook_text": "the text of the hook", "seed_columns": "the columns of seeds files"}
# What is kept, under this key, while known URLs are being judged by a new job.
_BEGUN = "job is changing"
# The end of a key of pairs of name and value; an earlier version has kept values that are passwords.
_HEADERS = "headers"
SERIOUS = ("seeds", "scope", "traps", "urls")
# What a crawl is, is the same wherever it is stored: a database may get another address.
_PLACE = "frontier"


def difference(old: dict[str, Any], new: dict[str, Any], at: str = "") -> Iterator[str]:
    """Yield a line for each key that differs: `- key: old` and `+ key: new`; lists by their members."""
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        name = f"{at}{key}"
        if isinstance(before, dict) and isinstance(after, dict):
            yield from difference(before, after, f"{name}.")
        elif isinstance(before, list) and isinstance(after, list):
            yield from (f"- {name}: {_member(name, value)}" for value in before if value not in after)
            yield from (f"+ {name}: {_member(name, value)}" for value in after if value not in before)
        else:
            yield f"- {name}: {_shown(before)}"
            yield f"+ {name}: {_shown(after)}"


def check_change(old: dict[str, Any], new: dict[str, Any], *, accept: bool) -> tuple[str, ...]:
    """Return the lines in which a job changed; raise `UsageError` with those of `SERIOUS` unless accepted."""
    serious = tuple(difference(_only(old, SERIOUS), _only(_known_to(old, new), SERIOUS)))
    if serious and not accept:
        shown = "\n  ".join(_some(serious))
        raise UsageError(
            f"the job's seeds, scope, traps or urls have changed since this crawl began:\n  {shown}\n"
            "go on with the new ones by --accept-changes, or start again by --fresh"
        )
    return tuple(difference(old, _known_to(old, new)))


def change_lines(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the lines in which a job differs from an older one, some of them if they are many."""
    lines = tuple(difference(dict(old), _known_to(dict(old), dict(new))))
    return _some(lines)


def _some(lines: tuple[str, ...]) -> tuple[str, ...]:
    more = len(lines) - MAX_LINES
    return lines if more <= 0 else (*lines[:MAX_LINES], f"and {more} more")


class ChangedJob(NamedTuple):
    """A job that has changed: the keys at its top that have; what is to be called before and after all is judged by it.

    The new job is kept at the end. Until then the change is still to be made, whichever job comes next.
    """

    keys: tuple[str, ...]
    begin: Callable[[], None]
    keep: Callable[[], None]


def take_job(store: Keeping, job: dict[str, Any], *, accept: bool) -> ChangedJob | None:
    """Compare a job with the one that is kept with its crawl. If none is kept yet, keep this one.

    Where the crawl is stored is neither compared nor kept. Raise `UsageError` as `check_change` does.
    """
    job = {key: value for key, value in job.items() if key != _PLACE}
    kept, new = store.kept(JOB), msgspec.json.encode(job)
    if kept is None:
        store.keep(JOB, new)
        return None
    old = msgspec.json.decode(kept)
    changed = check_change(old, job, accept=accept)
    for line in changed:
        structlog.get_logger().info("job changed", detail=line[:MAX_LINE_CHARS])
    if changed or store.kept(_BEGUN):
        keys = {_KEY.sub(r"\1", line) for line in changed}
        named = tuple(sorted(_NAMES.get(key, key) for key in keys))
        return ChangedJob(named, partial(store.keep, _BEGUN, b"1"), partial(_end, store, new))
    if old.keys() != job.keys():
        store.keep(JOB, new)
    return None


def _end(store: Keeping, job: bytes) -> None:
    store.keep(JOB, job)
    store.keep(_BEGUN, b"")


def _only(job: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in job.items() if key in keys}


def _known_to(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return a job without the keys that an older one did not have."""
    return {
        key: _known_to(old[key], value) if isinstance(old[key], dict) and isinstance(value, dict) else value
        for key, value in new.items()
        if key in old
    }


def _member(name: str, value: Any) -> Any:
    if name.endswith(_HEADERS):
        return f"{value[0]} (its value is not shown)"
    if isinstance(value, dict) and value.get("headers"):
        return {**value, "headers": f"{', '.join(each[0] for each in value['headers'])} (values are not shown)"}
    return value


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()
