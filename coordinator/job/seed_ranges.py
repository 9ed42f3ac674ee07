"""Turns seeds as people write them, an address perhaps with ranges such as `{1..50}`, into canonical URLs.

Pure; every refusal is a `ValueError` with one sentence that never repeats a password.
"""

from __future__ import annotations

import re
from itertools import product
from math import prod

from crawlfleet.shared.web.urls import LONGEST_URL_CHARS, canonicalize, is_canonical, parts

MAX_SEEDS = 100_000

_BRACES = re.compile(r"\{([^{}]*\.\.[^{}]*)\}")
_RANGE = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})\Z")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?![0-9])")
_USER = re.compile(r"(https?://)[^/?#\\]*@", re.IGNORECASE)
_NOT_HOST = re.compile(r"[\s/?#@\\]|\A[^\[]*:|\]:")
_PASSWORD = re.compile(r":[^/?#\\:@]*@")
_SHOWN_CHARS = 100
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")


def expand(text: str) -> tuple[str, ...]:
    """Return the canonical URLs that a seed stands for, in order; several ranges multiply."""
    _check_form(text)
    if _BRACES.search(text.partition("#")[2]):
        raise ValueError(f"the range of {_show(text)} follows '#', which no server is sent: put it before")
    fixed_and_ranges = _BRACES.split(text)
    for inside in fixed_and_ranges[1::2]:
        _check_range(text, inside)
    if count(text) > MAX_SEEDS:
        raise ValueError(f"the ranges of {_show(text)} make too many seeds: {MAX_SEEDS} at most are accepted")
    ranges = [_numbers(inside) for inside in fixed_and_ranges[1::2]]
    return tuple(_canonical(fixed_and_ranges[::2], chosen) for chosen in product(*ranges))


def address(text: str) -> str:
    """Return the canonical URL of an address that is one: braces in it mean nothing."""
    if len(text) <= LONGEST_URL_CHARS and is_canonical(text):
        return text
    _check_form(text)
    return _canonical([text], ())


def count(text: str) -> int:
    """Count the URLs that a seed stands for without making them; invalid ranges count as 1."""
    matches = map(_RANGE.match, _BRACES.findall(text))
    return prod(max(1, int(match[2]) - int(match[1]) + 1) for match in matches if match is not None)


def host_name(text: str) -> str:
    """Return the canonical form of a host name; raise `ValueError` if it is anything else."""
    if text.startswith("*."):
        raise ValueError(f"{_show(text)} is no host name: list {_show(text[2:])}, or write hosts: subdomains")
    url = canonicalize(text if "://" in text else f"http://{text}/")
    if url is None or not text:
        raise ValueError(f"{_show(text)} is no host name: write one such as example.org")
    host = parts(url).host
    if _NOT_HOST.search(text) or "://" in text:
        raise ValueError(f"{_show(text)} is no host name alone: write {_show(host)}")
    return host


def _check_form(text: str) -> None:
    if not text:
        raise ValueError("the seed is empty: write an address such as https://example.org/")
    if _USER.match(text):
        bare = _USER.sub(r"\1", text)
        raise ValueError(
            f"the seed holds a user name or password: write {_show(bare)}, and log in by headers below sites"
        )
    if _BLANK.search(text):
        raise ValueError(f"{_show(text)} holds a space or a line end: write %20, or one address in each line")
    if not text.lower().startswith(("http://", "https://")):
        raise ValueError(_scheme_fault(text))


def _scheme_fault(text: str) -> str:
    scheme = _SCHEME.match(text)
    if scheme is None:
        rest = text.lstrip("/")
        return f"{_show(text)} has no scheme: write {_show('https://' + rest)}"
    rest = text[scheme.end() :].lstrip("/\\")
    if scheme[1].lower() in ("http", "https"):
        return f"{_show(text)} is no address: write {_show(scheme[1].lower() + '://' + rest)}"
    return f"{_show(text)} is no http or https address, and nothing else is fetched: take it out"


def _check_range(seed: str, inside: str) -> None:
    match = _RANGE.match(inside)
    if match is None:
        raise ValueError(f"{_show('{' + inside + '}')} in {_show(seed)} is no range: write such as {{1..50}}")
    first, last = match.groups()
    if int(first) > int(last):
        raise ValueError(f"the range {{{inside}}} in {_show(seed)} counts down: write {{{last}..{first}}}")


def _numbers(inside: str) -> list[str]:
    first, _, last = inside.partition("..")
    width = len(first) if first.startswith("0") else 0
    return [str(number).zfill(width) for number in range(int(first), int(last) + 1)]


def _canonical(fixed: list[str], chosen: tuple[str, ...]) -> str:
    text = fixed[0] + "".join(number + rest for number, rest in zip(chosen, fixed[1:], strict=True))
    url = canonicalize(text)
    if url is None:
        raise ValueError(f"{_show(text)} is no address that can be fetched: check its host name and port")
    if len(url) > LONGEST_URL_CHARS:
        raise ValueError(f"the address {_show(text)} is longer than {LONGEST_URL_CHARS:,} characters: shorten it")
    return url


def _show(text: str) -> str:
    text = _PASSWORD.sub(":***@", text)
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "...")
