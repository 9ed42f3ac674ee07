"""Which addresses count as the same in a job, in addition to the standard: parameters removed, queries sorted.

Worker and coordinator apply the same policy, on top of `shared.web.urls`. The result is the job's canonical URL, which
identifies the task and is requested. Applying the policy again changes nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote_plus

from crawlfleet.shared.brief import UrlSpec
from crawlfleet.shared.web.urls import canonicalize, is_canonical

# Parameters that say where a click came from and change nothing about the page.
TRACKING = (
    *("utm_*", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "_ga", "_gl", "fbclid", "igshid", "msclkid", "yclid"),
    *("_openstat", "twclid", "ttclid", "li_fat_id", "mc_cid", "mc_eid", "mkt_tok", "_hsenc", "_hsmi", "hsctatracking"),
    *("vero_id", "oly_anon_id", "oly_enc_id", "wickedid", "rb_clickid", "ml_subscriber", "ml_subscriber_hash"),
)
SESSION_NAMES = (
    *("jsessionid", "phpsessid", "aspsessionid*", "asp.net_sessionid", "cfid", "cftoken", "sessionid", "session_id"),
    *("sess_id", "oscsid", "zenid"),
)
# Short names are session ids only with the value of one.
_SHORT_SESSION = re.compile(r"(?:sid|s)=[0-9a-f]{32}", re.IGNORECASE)
_PATH_PARAMETER = re.compile(r";(?:jsessionid|phpsessid|sessionid)=[^/;?]*", re.IGNORECASE)
_PATH_SEGMENT = re.compile(r"/\((?:[A-Z]\([0-9A-Za-z]{24}\))+\)(?=/|\Z)")


class UrlPolicy:
    """A compiled policy, to be applied to many URLs."""

    def __init__(self, spec: UrlSpec) -> None:
        self.spec = spec
        self.is_plain = spec == UrlSpec()
        # Globs of names: `*` is any run of characters, and case does not count.
        dropped = "|".join(_translate(glob.lower()) for glob in spec.drop_query)
        self._dropped = re.compile(dropped, re.DOTALL) if dropped else None
        self._index_pages = frozenset(spec.index_pages)

    def canonicalize(self, href: str, base: str | None = None) -> str | None:
        """Return the job's canonical URL of `href` (found on the page `base`), or None if it is not an http(s) URL."""
        url = canonicalize(href, base)
        return url if url is None else self.apply(url)

    def apply(self, url: str) -> str:
        """Return the job's canonical URL of a URL that is canonical by the standard."""
        if self.is_plain:
            return url
        while (after := self._step(url)) != url:
            # The removed parts may have hidden dot segments.
            url = canonicalize(after) or after
        return url

    def is_canonical(self, url: str) -> bool:
        """Say whether a URL is the job's canonical one. The coordinator does not trust workers in this."""
        return is_canonical(url) and self.apply(url) == url

    def _step(self, url: str) -> str:
        address, mark, query = url.partition("?")
        slash = address.index("/", 8)
        path = self._path(address[slash:])
        if query:
            query = self._query(query)
            mark = "?" if query else ""
        return f"{address[:slash]}{path}{mark}{query}"

    def _path(self, path: str) -> str:
        if self.spec.strip_session_ids and ("(" in path or ";" in path):
            path = _PATH_SEGMENT.sub("", _PATH_PARAMETER.sub("", path)) or "/"
        if self._index_pages:
            folder, slash, page = path.rpartition("/")
            if page in self._index_pages:
                path = folder + slash
        return path

    def _query(self, query: str) -> str:
        parameters = query.split("&")
        if self._dropped is not None:
            parameters = [each for each in parameters if self._dropped.fullmatch(_name(each)) is None]
        if self.spec.strip_session_ids:
            parameters = [each for each in parameters if not is_session_id(each)]
        if self.spec.sort_query:
            # By name alone: the order of one name's values may mean something.
            parameters.sort(key=lambda each: each.partition("=")[0])
        return "&".join(parameters)


def is_session_id(parameter: str) -> bool:
    """Say whether `name=value` of a query is a session id."""
    return _SESSIONS.fullmatch(_name(parameter)) is not None or _SHORT_SESSION.fullmatch(parameter) is not None


def holds_session_id(path: str) -> bool:
    """Say whether a path with its query contains a session id that is not escaped."""
    return ("?" in path or ";" in path or "(" in path) and _SESSION_MARK.search(path) is not None


@lru_cache(maxsize=8)
def policy_of(spec: UrlSpec) -> UrlPolicy:
    """Return the policy of a spec; it is cached."""
    return UrlPolicy(spec)


def _name(parameter: str) -> str:
    name = parameter.partition("=")[0]
    return (unquote_plus(name) if "%" in name or "+" in name else name).lower()


def _translate(glob: str) -> str:
    """Match every part except the last at the first possible place, so that nothing backtracks for long."""
    head, *rest = map(re.escape, glob.split("*"))
    if not rest:
        return head
    return head + "".join(rf"(?>.*?{part})" for part in rest[:-1]) + ".*" + rest[-1]


_SESSIONS = re.compile("|".join(map(_translate, SESSION_NAMES)), re.DOTALL)
_SESSION_NAME = "|".join(re.escape(name).replace(r"\*", "[^=&]*") for name in SESSION_NAMES)
_SESSION_MARK = re.compile(
    rf"[?&](?:(?:{_SESSION_NAME})=|{_SHORT_SESSION.pattern}(?:&|\Z))"
    rf"|{_PATH_PARAMETER.pattern}|/\((?:[A-Z]\([0-9A-Z]{{24}}\))+\)(?:/|\Z)",
    re.IGNORECASE,
)
