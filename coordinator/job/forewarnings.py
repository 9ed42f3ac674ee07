"""What can be known of a valid job before it runs, and is probably not meant; and the line by which it means it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from crawlfleet.coordinator.job.headers import is_secret_name, names_source, secret
from crawlfleet.coordinator.job.job import Job, brief, listed_origins
from crawlfleet.coordinator.job.seeds import pages_of, sitemaps_of
from crawlfleet.coordinator.job.source import Setting, steps_of
from crawlfleet.shared.reasons import Reason
from crawlfleet.shared.web.addresses import Nets, Reach, literal_of, reach_of
from crawlfleet.shared.web.scope import Scope
from crawlfleet.shared.web.url_policy import policy_of
from crawlfleet.shared.web.urls import host_key
from crawlfleet.shared.web.user_agent import odd_name, product_token

NAMED = 3
# Any private address: that of a name is not known here.
_PRIVATE = "127.0.0.1"

_WHY = {
    Reason.HOST: "its host is none of scope.hosts",
    Reason.INCLUDE: "scope.include does not match it",
    Reason.EXCLUDE: "scope.exclude matches it",
}


def forewarnings(job: Job) -> tuple[str, ...]:
    """Return sentences: on a user agent that robots.txt files cannot name, on seeds out of the job's own scope, and on
    addresses that the job names and does not open, and on secrets that go to few hosts."""
    return (*_of_user_agent(job.politeness.user_agent), *_of_seeds(job), *to_open(job, closed(job)), *_of_secrets(job))


def exposed(settings: Iterable[Setting]) -> tuple[str, ...]:
    """Return a sentence for each secret that stands on the command line."""
    names = (
        name
        for each in settings
        if each.origin.startswith("--set ")
        for name in _secrets_in(each.value, tuple(steps_of(each.key)))
    )
    how = "stands on the command line, which other users of this machine can read: write env:NAME or file:PATH there"
    return tuple(f"{name} {how}" for name in names)


def _secrets_in(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    """Yield the keys of secrets that are written in a value of a job."""
    if isinstance(value, dict | list | tuple):
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for key, below in members:
            yield from _secrets_in(below, (*path, str(key)))
    elif isinstance(value, str) and not names_source(value) and _holds_secret(path):
        yield ".".join(path)


def _holds_secret(path: tuple[str, ...]) -> bool:
    return "headers" in path[:-1] and (path[0] in ("sites", "sinks") or is_secret_name(path[-1]))


def closed(job: Job) -> tuple[str, ...]:
    """Return the hosts of a job's scope that are addresses which the crawl must not reach."""
    literals = {host: address for host in brief(job).scope.hosts if (address := literal_of(host)) is not None}
    if not literals:
        return ()
    nets = Nets(job.fetch.allow_private)
    open_ones = {Reach.PUBLIC: literals.keys(), Reach.PRIVATE: _hosts_of_seeds(job)}
    shut = (host for host, address in literals.items() if host not in open_ones.get(reach_of(address), ()))
    return tuple(host for host in shut if not nets.covers(host, literals[host]))


def still_closed(job: Job, hosts: Sequence[str]) -> tuple[str, ...]:
    """Return those of some hosts that were not asked which a job does not open now, and does not name itself."""
    if not hosts:
        return ()
    nets, named = Nets(job.fetch.allow_private), closed(job)
    return tuple(host for host in hosts if host not in named and not nets.covers(host, literal_of(host) or _PRIVATE))


def to_open(job: Job, hosts: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence that says how a job opens hosts which are not public; none if there are no hosts."""
    if not hosts:
        return ()
    seeds = _hosts_of_seeds(job)
    partly = tuple(host for host in hosts if host in seeds and _is_private(host))
    never = tuple(host for host in hosts if host not in partly)
    said = [f"{_all(never)} not asked"] if never else []
    said += [f"{_all(partly)} asked at the ports of seeds alone"] if partly else []
    listed = ", ".join(f'"{host}"' if host.startswith("[") else host for host in hosts)
    return (
        f"{', and '.join(said)}: not public. If the crawl is to go there, "
        f"add to the job: fetch: {{allow_private: [{listed}]}}",
    )


def _all(hosts: Sequence[str]) -> str:
    return f"{hosts[0]} is" if len(hosts) == 1 else f"{', '.join(hosts[:-1])} and {hosts[-1]} are"


def _is_private(host: str) -> bool:
    address = literal_of(host)
    return address is not None and reach_of(address) is Reach.PRIVATE


def _hosts_of_seeds(job: Job) -> frozenset[str]:
    return frozenset(map(host_key, (*pages_of(job.seeds), *sitemaps_of(job.seeds))))


def _of_user_agent(user_agent: str) -> Iterator[str]:
    name = odd_name(user_agent)
    if name:
        token = product_token(user_agent)
        read = repr(token) if token else "anyone (*)"
        yield (
            f"no robots.txt can name {name!r}, as politeness.user_agent says, so the rules for {read} are obeyed: "
            "use letters, '_' and '-' alone (RFC 9309)"
        )


def _of_seeds(job: Job) -> tuple[str, ...]:
    """Return one sentence for each of some seeds that the scope refuses, and how many there are more."""
    work = brief(job)
    scope = Scope(work.scope)
    if scope.is_of_hosts_alone:  # the job is not valid unless the hosts of its seeds belong to it
        return ()
    urls = policy_of(work.urls)
    refused = ((url, scope.refuses(urls.apply(url))) for url in pages_of(job.seeds))
    outside = ((url, reason) for url, reason in refused if reason)
    said = [f"the seed {url} is not fetched: {_WHY.get(Reason(why), why)}" for url, why in islice(outside, NAMED)]
    more = sum(1 for _ in outside)
    return (*said, *([f"and {more:,} seeds more are not fetched"] if more else ()))


def _of_secrets(job: Job) -> Iterator[str]:
    """Yield a sentence for each secret in `fetch.headers`, which are else for all hosts, and for some origins to which
    secrets go as plain text."""
    listed = listed_origins(job)
    some = f"{', '.join(listed[:NAMED])}{', ...' if len(listed) > NAMED else ''}" or "nobody"
    for name, _ in secret(job.fetch.headers):
        yield (
            f"fetch.headers.{name} is taken for a secret, and sent to the job's own seeds alone ({some}): "
            "for other hosts write it below sites"
        )
    origins = dict.fromkeys(each for site in brief(job).fetch.sites for each in site.origins)
    for each in islice((each for each in origins if each.startswith("http://") and _is_afar(f"{each}/")), NAMED):
        yield f"secrets are sent to {each} as plain text, which others on the way can read: use https there"


def _is_afar(url: str) -> bool:
    """Say whether the host of a URL may be outside of the network in which the crawl runs."""
    host = host_key(url)
    address = literal_of(host)
    return reach_of(address) is Reach.PUBLIC if address is not None else host.rpartition(".")[2] != "localhost"
