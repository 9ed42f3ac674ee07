"""Makes a job of addresses and a few options: what `crawlfleet run URL` and `crawl()` have in common.

Owns which key of a job each option sets, what an address without a scheme means, and the name of a crawl that got none.
It checks nothing: that is done when the job is loaded, and an error then names the option.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec

from crawlfleet.coordinator.job.source import JobSource, Setting
from crawlfleet.coordinator.sinks.registry import scheme_of
from crawlfleet.shared.web.urls import canonicalize, host_key

#: The name of the rule whose fields are given without one.
ITEM = "item"
#: A host whose name is longer is cut, and told from others by a digest.
MAX_NAME_CHARS = 60

_RANGE = re.compile(r"\{([0-9]+)\.\.[0-9]+\}")
_NO_NAME = re.compile(r"[^a-z0-9_-]+")
_BARE = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s/?#:@\\\[\]]+)(?P<port>:[0-9]{1,5})?(?:[/?#]\S*)?")
_FILE_ENDINGS = (".yaml", ".yml")


class QuickOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says of a job; None and nothing leave a key alone.

    `urls` are where the crawl begins. `pages` and `depth` are the keys of `scope`, `delay` that of `politeness`.
    `items` are rules as in YAML, or the fields of one rule; `parse` is the path of a hook. `outputs` are addresses, or
    files, relative to the working directory. `settings` beat all of them.
    """

    urls: Sequence[str] = ()
    pages: Any = None
    depth: Any = None
    delay: Any = None
    items: Any = None
    follow: Any = None
    parse: Any = None
    outputs: Sequence[str] = ()
    name: str | None = None
    settings: Sequence[Setting] = ()


def quick_job(options: QuickOptions, label: Callable[[str], str], path: Path | None = None) -> JobSource:
    """Return the job that options make: of the file at `path`, which they beat, or of their `urls` alone.

    `label(option)` is what errors call an option, such as `--pages 5` or `pages=`.
    """
    made = tuple(_settings(options, label, has_file=path is not None))
    return JobSource(path=path, label=label("urls"), settings=(*made, *options.settings))


def _settings(options: QuickOptions, label: Callable[[str], str], *, has_file: bool) -> Iterator[Setting]:
    if options.urls or options.name:
        yield Setting("name", options.name or crawl_name(options.urls[0]), label("name" if options.name else "urls"))
    if options.urls:
        yield Setting("seeds", list(options.urls), label("urls"))
    items = options.items
    if isinstance(items, Mapping):
        items = [{"name": ITEM, "fields": items}]
    keys = {"pages": "scope.pages", "depth": "scope.depth", "delay": "politeness.delay", "parse": "hooks"}
    values = {"pages": options.pages, "depth": options.depth, "delay": options.delay, "parse": options.parse}
    for option, value in {**values, "items": items, "follow": options.follow}.items():
        if value is not None:
            yield Setting(keys.get(option, option), value, label(option))
    if options.outputs:
        yield Setting("sinks", [_sink(output, has_file=has_file) for output in options.outputs], label("outputs"))


def _sink(output: str, *, has_file: bool) -> dict[str, str]:
    """Return the sink that an output is. A file is relative to the working directory, a job may be elsewhere."""
    if scheme_of(output):
        return {"to": output}
    return {"file": str(Path.cwd() / output) if has_file else output}


def crawl_name(url: str) -> str:
    """Return the name of a crawl that begins at an address: its host, with `-` for what a name may not have."""
    canonical = canonicalize(_RANGE.sub(r"\1", url))
    host = host_key(canonical) if canonical is not None else ""
    name = _NO_NAME.sub("-", host).strip("-_") or "crawl"
    if len(name) <= MAX_NAME_CHARS:
        return name
    digest = blake2b(host.encode(), digest_size=4).hexdigest()
    return f"{name[: MAX_NAME_CHARS - len(digest) - 1]}-{digest}"


def address_in(text: str) -> str | None:
    """Return the address that a person means by a text; None if that is the name of a file.

    One without a scheme, such as `example.org/docs`, is an https address. `localhost` and numbers, where mostly servers
    under development answer, are http ones.
    """
    if "://" in text:
        return text
    bare = _BARE.fullmatch(text)
    if bare is None or text.lower().endswith(_FILE_ENDINGS) or Path(text).exists():
        return None
    host = bare["host"].lower()
    if host == "localhost" or host.endswith(".localhost") or _is_number(host):
        return f"http://{text}"
    is_domain = "." in host.strip(".") and not host.startswith(".")
    return f"https://{text}" if is_domain else None


def _is_number(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
