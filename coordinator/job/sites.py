"""The section of a job that gives header fields to some hosts alone, and where header fields that are secrets go. Pure
but for where the values are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from crawlfleet.coordinator.job.headers import SiteHeaders, secret
from crawlfleet.coordinator.job.section import Section, fault, repeated
from crawlfleet.shared.brief import SiteSpec
from crawlfleet.shared.web.domains import is_public_suffix
from crawlfleet.shared.web.origins import fits
from crawlfleet.shared.web.urls import canonicalize, origin, parts

_PATTERN = re.compile(r"(?P<scheme>https?://)?(?P<below>\*\.)?(?P<authority>[^\s/?#@\\*]+)/?", re.IGNORECASE)
_SHOWN_CHARS = 60


def _site(text: str) -> str:
    """Check a pattern of hosts; return its canonical form."""
    match = _PATTERN.fullmatch(text)
    url = canonicalize(f"{match['scheme'] or 'https://'}{match['authority']}/") if match is not None else None
    if match is None or url is None:
        known = "example.org, *.example.org or http://localhost:8000"
        raise ValueError(f"{text[:_SHOWN_CHARS]!r} is no host that header fields are for: write one such as {known}")
    scheme, _, authority = origin(url).partition("://")
    host = parts(url).host
    if match["below"] and (host.startswith("[") or host.rpartition(".")[2].isdecimal() or is_public_suffix(host)):
        raise ValueError(f"{text[:_SHOWN_CHARS]!r} has hosts of different owners, or none: name a domain or a host")
    return f"{f'{scheme}://' if match['scheme'] else ''}{match['below'] or ''}{authority}"


def _rules(value: object) -> object:
    if not isinstance(value, dict | SiteRules):
        raise ValueError("wants a mapping: write headers: {NAME: value} below the host")  # noqa: TRY004  pydantic's way
    return value


def _patterns(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError("wants a mapping: write a host, and below it headers: {NAME: value}")  # noqa: TRY004  as above
    index = repeated(str(pattern).lower() for pattern in value)
    if index is not None:
        raise fault((list(value)[index], "[key]"), "is written twice, with other capitals: keep one")
    return value


class SiteRules(Section):
    """What is sent to the hosts of one pattern alone."""

    headers: SiteHeaders = Field(default=(), repr=False)


Sites: TypeAlias = Annotated[
    dict[Annotated[str, AfterValidator(_site)], Annotated[SiteRules, BeforeValidator(_rules)]],
    BeforeValidator(_patterns),
]


def origins_of(seeds: Iterable[str]) -> tuple[str, ...]:
    """Return the origins of canonical URLs. One that is http, at its own port, is meant as https, too: sites move."""
    # There may be many: `urls.origin` would take them to pieces.
    found = dict.fromkeys(url[: url.index("/", 8)] for url in seeds)
    plain = (each.removeprefix("http://") for each in found if each.startswith("http://"))
    secured = (f"https://{host}" for host in plain if not re.search(r":[0-9]+\Z", host))
    return tuple(dict.fromkeys((*found, *secured)))


def site_specs(
    common: Iterable[tuple[str, str]], sites: Mapping[str, SiteRules], listed: tuple[str, ...]
) -> tuple[SiteSpec, ...]:
    """Return what goes to which origins: the secrets of `common` to those of listed seeds, those of `sites` to theirs.

    What names a host exactly comes last, so that it counts.
    """
    ordered = sorted(sites, key=lambda pattern: ("*" not in pattern, len(pattern)))
    found = [(listed, secret(common)), *((_meant(each, listed), secret(sites[each].headers)) for each in ordered)]
    return tuple(SiteSpec(origins=origins, headers=headers) for origins, headers in found if origins and headers)


def _meant(pattern: str, listed: Iterable[str]) -> tuple[str, ...]:
    """Return the origins that a pattern means. Without a scheme that is https, and what the job's own seeds say."""
    if "://" in pattern:
        return (pattern,)
    seeds = (each for each in listed if fits(each, _beside(each, pattern)) or fits(_host(each), _beside(each, pattern)))
    return tuple(dict.fromkeys((f"https://{pattern}", *seeds)))


def _beside(origin: str, pattern: str) -> str:
    return f"{origin.partition('://')[0]}://{pattern}"


def _host(origin: str) -> str:
    """Return an origin without its port."""
    return re.sub(r":[0-9]+\Z", "", origin)
