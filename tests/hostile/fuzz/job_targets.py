"""What people write into jobs, and what is pasted there: YAML, selectors, expressions, patterns, files of seeds."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from crawlfleet.coordinator.job import yaml_source
from crawlfleet.coordinator.job.css import parse_selector
from crawlfleet.coordinator.job.job import Job, as_data, brief, load_from, policy
from crawlfleet.coordinator.job.section import keys_of, section_at
from crawlfleet.coordinator.job.seed_reader import SeedReader, look
from crawlfleet.coordinator.job.source import JobSource, Setting, setting, steps_of, written
from crawlfleet.shared import json_paths, xpaths
from crawlfleet.shared.engines import PARSE_ENGINES
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.web.patterns import Patterns, check_regex, finder
from crawlfleet.shared.web.urls import canonicalize
from crawlfleet.worker.extract.port import ParseEngine, Source
from crawlfleet.worker.extract.registry import open_engine
from crawlfleet.worker.extract.xpath_tree import XPathTree
from tests.hostile.fuzz.target import Inputs, Target, any_of, as_text, bytes_of, check_told, text_of, together

_YAML = (
    "a", "b", ": ", ":", "- ", "-", "\n", "\n  ", "\n    ", "{", "}", "[", "]", ", ", "'", '"', "|", ">", "#", " # c",
    "&x ", "*x", "!!python/object:os.system ", "!t ", "%YAML 1.2\n", "---\n", "...", "? ", "~", "null", "true", "no",
    "12:30", "010", ".inf", "0x1F", "1e9", "9" * 400, "\t", "\u00fc", "\ufeff", "\u2028", "\x85", "\ud800", "\x07",
    "<<: ", "=", "@", "`", "\\x", "\\u12", "[" * 70, "- " * 70, "{a: " * 70, "name: x\n", "seeds: [http://h/]\n",
)  # fmt: skip


def yaml_holds(text: str) -> None:
    """Check that any text is read to values or to problems with a place, and that the values can be written again."""
    document = yaml_source.parse(text)
    assert document.complete or document.problems
    lines = text.count("\n") + text.count("\r") + text.count("\x85") + text.count("\u2028") + text.count("\u2029") + 2
    for problem in document.problems:
        assert problem.text
        assert problem.place is None or (1 <= problem.place.line <= lines and problem.place.column >= 1)
    if document.complete and not document.problems and document.value not in (None, "", (), {}):
        again = yaml_source.parse(yaml_source.as_yaml(document.value))
        assert again.value == document.value, yaml_source.as_yaml(document.value)


def settings_hold(text: str) -> None:
    """Check that `--set` takes any text or refuses it with a sentence, and that what it takes can be written again."""
    with suppress(ValueError):
        given = setting(text)
        assert setting(written(given)).value == given.value


def _paths(path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    section = section_at(Job, path)
    if section is None or len(path) > 3:
        return [path]
    return (
        [path, *(deep for key in keys_of(section) for deep in _paths((*path, key)))]
        if path
        else [deep for key in keys_of(section) for deep in _paths((key,))]
    )


_TEXTS = (
    "1s", "1MiB", "-1", "re:(", "re:(a|b)*", "*", "/", "http://h/{1..3}", "{1..99999999999}", "::text", "a", "file:",
    " ", "\0",
)  # fmt: skip
_KEYS = ("css", "each", "fields", "name", "type", "sitemap", "file", "host", "reason", "match", "to")
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**25), 10**25), st.floats(), text_of(*_TEXTS).examples),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.sampled_from(_KEYS), st.text(max_size=3)), inner, max_size=3),
    ),
    max_leaves=6,
)


def jobs_hold(given: list[tuple[tuple[str, ...], Any]]) -> None:
    """Check that any values at any keys give a job, or an error with a sentence for each."""
    settings = tuple(Setting(".".join(path), value, "fuzz") for path, value in given)
    seeds = Setting("seeds", ("http://h.test/",), "fuzz")
    try:
        job = load_from(JobSource(folder=_empty_folder(), settings=(Setting("name", "x", "fuzz"), seeds, *settings)))
    except UsageError as error:
        check_told(error)
        return
    as_data(job)
    policy(job, brief(job))


@cache
def _empty_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="crawlfleet-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


_PAGE = (
    b"<!doctype html><title>t</title><div id=a class='x y'><p id=b>one<b id=c lang=en-US>two</b></p>"
    b"<p id=d class=x title='q\"'></p>"
    b"<ul id=e><li id=f>1<li id=g data-k=v>2<li id=h class=Y>3</ul><a id=i href=/x?y=z#f>link</a></div>"
)
_CSS = (
    "p", "b", "div", "li", "a", "*", "#a", "#b", ".x", ".y", "[id]", "[id=b]", "[id='c']", '[href^="/x"]',
    "[class~=x]", "[lang|=en]", "[title*='q']", "[id=b i]", " ", ">", "+", "~", ",", ":not(", ":is(", ":where(",
    ":has(", ")", ":first-child", ":nth-child(", "2n+1", "odd", "-n+3", "even of p", ":last-of-type", ":only-child",
    ":root", ":nth-last-child(1)", "::text", "::attr(id)", "\\", "\\31 ", "'", '"', "(", "[", "]", "/**/", "|",
    "::own-text", "\n", "\u00fc", "html", "body", ":nth-of-type(0)", "&", "!",
)  # fmt: skip


@cache
def _trees() -> dict[str, tuple[ParseEngine, Any]]:
    engines = {name: open_engine(name) for name in PARSE_ENGINES}
    return {name: (engine, engine.root(Source(_PAGE, "text/html"))) for name, engine in engines.items()}


def selectors_hold(text: str) -> None:
    """Check that any selector is refused with a sentence, or selects the same by every engine."""
    try:
        css = parse_selector(text).css
    except ValueError as error:
        check_told(error)
        return
    if css:
        found = {
            name: [own for each in engine.select(root, css) if (own := engine.attribute(each, "id"))]
            for name, (engine, root) in _trees().items()
        }
        assert len({str(ids) for ids in found.values()}) == 1, found


_XPATHS = (
    "//", "/", "*", "p", "@id", "[", "]", "(", ")", "1", "last()", "position()", "text()", "node()", "contains(", ",",
    "'x'", '"', "|", "..", ".", "::", "ancestor", "following-sibling", "count(", "string(", "=", "!=", "<", "+", "-",
    "div", "mod", "and", "$x", "x:y", "re:test(", "document('/etc/passwd')", "concat(", "translate(", "id('a')",
    "lang('en')", "sum(//p)", " ", "\0", "\u00fc",
)  # fmt: skip


def xpaths_hold(text: str) -> None:
    """Check that any XPath is refused with a sentence, or finds what can be a value."""
    try:
        expression = xpaths.compiled(text)
    except ValueError as error:
        check_told(error)
        return
    engine, root = _trees()["turbohtml"]
    assert isinstance(XPathTree(engine, root).select(root, expression), list)


_JMESPATHS = (
    "a", "b", ".", "[", "]", "[]", "[*]", "*", "[0]", "[-1]", "[::2]", "[?", "`1`", "`{}`", "'x'", '"y"', "|", "||",
    "&&", "!", "==", "<", "@", "&", "{", "}", ":", ",", "(", ")", "length(", "sort_by(", "max_by(", "keys(",
    "to_number(", "join(", "merge(", "map(", "not_null(", "reverse(", "to_string(", "contains(", "type(", "\\", "\n",
    "\u00fc", "`[", '`"', "values(@)", "sum(", "avg(",
)  # fmt: skip
_DATA = {"a": [{"b": 1, "a": "x"}, {"b": None}, [1, 2, [3]], "text", 1e300, True], "b": {"a": {"b": []}}}


def jmespaths_hold(text: str) -> None:
    """Check that any JMESPath is refused with a sentence, or searches data of any kind."""
    try:
        search = json_paths.compiled(text)
    except ValueError as error:
        check_told(error)
        return
    for data in (_DATA, None, [], "x", 1, [[None]], {"a": [1, "2"]}):
        search(data)


_PATTERNS = (
    "*", "?", "/", "re:", "(", ")", "[", "]", "+", "{1,9}", "{999}", "|", "^", "$", ".", "\\d", "\\", "a", "(?i)",
    "(?=x)", "\\1", "b*", "***", "\n", "\u00fc", "[^a]", "(a+)+", "(?P<n>x)", "\\pL", "\\C", "\\Q", "&", "=",
)  # fmt: skip


def patterns_hold(given: tuple[str, str]) -> None:
    """Check that any pattern is refused with a sentence, or is matched with any path."""
    pattern, path = given
    with suppress(ValueError):
        Patterns([pattern, "/x*"]).match(path)
    regex = pattern.removeprefix("re:")
    with suppress(ValueError):
        check_regex(regex)
        found = finder(regex)(path)
        assert found is None or found in path


_LINES = (
    b"http://h.test/", b"https://o.test/x", b"h.test", b"\n", b"\r\n", b"\r", b",", b";", b"\t", b'"', b'""', b"#",
    b" ", b"url,note", b"url;n;n", b"\xff\xfe", b"\xef\xbb\xbf", b"\0", b"\xff", b"website", b"=1+1", b"\x1f\x8b\x08",
    b"a" * 300, b"\xc3\xbc",
)  # fmt: skip


def seeds_hold(given: tuple[str, str | None, bytes]) -> None:
    """Check that any seeds file is read to canonical addresses, with what is left out told."""
    suffix, column, data = given
    path = _empty_folder() / f"seeds{suffix}"
    path.write_bytes(data)
    try:
        columns = look(path, column, path.name)
    except ValueError as error:
        check_told(error)
        return
    reader = SeedReader(path, path.name, column, columns)
    for url, _ in reader:
        assert canonicalize(url) == url
    assert all(map(str, reader.findings()))
    reader.take_told()


_NAMES = (".txt", ".csv", ".tsv")
_COLUMNS = (None, "url", "website")
_ALL_KEYS = _paths()
_EXAMPLES = Path(__file__).parents[3] / "config"


def _settings_in(data: bytes) -> list[tuple[tuple[str, ...], Any]]:
    """Read lines of `KEY=VALUE`, as `--set` takes them; others are left out."""
    found = []
    for line in as_text(data).split("\n"):
        with suppress(ValueError):
            given = setting(line)
            found.append((tuple(steps_of(given.key)), given.value))
    return found


_keys = tuple(".".join(path).encode() for path in _ALL_KEYS)
JOBS = Inputs(
    st.lists(st.tuples(st.sampled_from(_ALL_KEYS), _VALUES), min_size=1, max_size=3),
    _settings_in,
    (*_keys, *(text.encode() for text in (*_TEXTS, *_KEYS)), b"=", b"\n", b"[", b"]", b"{", b"}", b": ", b", "),
    tuple(key + b"=1s" for key in _keys),
)
YAML = text_of(*_YAML)
TARGETS = {
    "yaml": Target(
        YAML._replace(samples=(*YAML.samples, *(path.read_bytes() for path in sorted(_EXAMPLES.glob("*.yaml"))))),
        yaml_holds,
    ),
    "settings": Target(text_of("a", ".", "=", '"', "scope.pages=", "1", "[", "]", "x.0=", *_YAML[:40]), settings_hold),
    "jobs": Target(JOBS, jobs_hold),
    "selectors": Target(text_of(*_CSS), selectors_hold),
    "xpaths": Target(text_of(*_XPATHS), xpaths_hold),
    "jmespaths": Target(text_of(*_JMESPATHS), jmespaths_hold),
    "patterns": Target(together(text_of(*_PATTERNS), text_of("/", "a", "b", "?", "x", "\u00fc")), patterns_hold),
    "seeds": Target(together(any_of(_NAMES), any_of(_COLUMNS), bytes_of(*_LINES)), seeds_hold),
}
