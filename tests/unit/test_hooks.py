"""Hooks: how their file is found, what they may give, and how their errors are reported."""

from __future__ import annotations

import sys
import traceback
from contextlib import closing
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from msgspec.structs import replace

from crawlfleet.shared.brief import Brief, FetchSpec, FieldRule, HookSpec, ItemRule, LimitSpec, ScopeSpec
from crawlfleet.shared.engines import names, that_prepare_sessions
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.extract.extractor import Extracted, Extractor
from crawlfleet.worker.fetch.port import Fetched, Headers
from crawlfleet.worker.fetch.registry import engine_for
from crawlfleet.worker.hook_waited import HookWaited
from crawlfleet.worker.hooks import load_hook, load_session
from tests.local import local_spec
from tests.site.hostile_site import HostileSite

FETCHED = Fetched(
    url="http://h/",
    status=200,
    headers=Headers((("content-type", "text/html"),)),
    body=b"<h1>One</h1><a class=x href=/a>A</a><a href=/b>B</a>",
)


@pytest.fixture(autouse=True)
def _path_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


def spec(source: str, path: str = "/nowhere/hook.py") -> HookSpec:
    return HookSpec(path=path, source=dedent(source).lstrip("\n"))


def run(source: str, fleet: object = None, **changes: object) -> Extracted:
    brief = Brief(job="j", scope=ScopeSpec(hosts=("h",)), **changes)  # type: ignore[arg-type]  # fields of a test
    return Extractor(brief, load_hook(spec(source)), fleet).extract(FETCHED)


@pytest.mark.parametrize(
    "body",
    [
        "return [{'t': a.text} for a in page.soup.find_all('a')]",
        "yield from ({'t': a.text()} for a in page.tree.css('a'))",
        "return tuple({'t': t} for t in ('A', 'B'))",
    ],
)
def test_dicts_in_any_iterable_are_rows(body: str) -> None:
    rows = run(f"def parse(page):\n    {body}\n").rows
    assert [(row.item, row.index, row.fields) for row in rows] == [("item", 0, {"t": "A"}), ("item", 1, {"t": "B"})]


def test_the_function_of_a_hook_may_have_any_name() -> None:
    parse = load_hook(
        replace(spec("def books(page): return {'t': 1}\ndef parse(page): return None\n"), function="books")
    )
    (row,) = Extractor(Brief(job="j", scope=ScopeSpec(hosts=("h",))), parse).extract(FETCHED).rows
    assert row.fields == {"t": 1}


def test_a_script_that_crawls_is_executed_up_to_that_call() -> None:
    head = "from crawlfleet import crawl\ndef books(page): ...\n"
    script = head + "for row in crawl('http://h/', parse=books): print(row)\ndef later(page): ...\n"
    assert load_hook(replace(spec(script), function="books")).__name__ == "books"
    with pytest.raises(
        UsageError, match=r"hook.py: the hook has no function later\(page\); define it above the first call"
    ):
        load_hook(replace(spec(script), function="later"))


def test_a_row_keeps_the_address_of_its_page() -> None:
    assert [row.fields for row in run("def parse(page): return {'url': page.url}").rows] == [{"url": "http://h/"}]
    for other in ("'http://h/other'", "page.url + '#part'", "None", "7", "'x' * 10**6"):
        found = run(f"def parse(page): return [{{'n': 1}}, {{'url': {other}}}]")
        assert found.rows == ()
        assert "hook.py:1 gave a row whose 'url' is " in found.error
        assert found.error.endswith(": a row has the address of its page; rename it")
        assert len(found.error) < 400


def test_one_dict_is_one_row_and_none_is_no_row() -> None:
    assert [row.fields for row in run("def parse(page): return {'u': page.url}").rows] == [{"u": "http://h/"}]
    assert run("def parse(page): return None").rows == ()


def test_rows_of_the_hook_come_after_those_of_the_rules_and_are_numbered_on() -> None:
    rule = ItemRule(name="head", fields=(FieldRule(name="h", selector="h1"),))
    source = "def parse(page): return [{'item': 'head', 'h': 'Two'}, {'h': 'x'}]"
    rows = run(source, items=(rule,)).rows
    assert [(row.item, row.index, row.fields["h"]) for row in rows] == [
        ("head", 0, "One"),
        ("head", 1, "Two"),
        ("item", 0, "x"),
    ]


def test_every_value_that_may_travel_does() -> None:
    value: dict[str, Any] = {"a": [None, True, 1, 2**64 - 1, 1.5, "é", b"\xff", [1, 2], {"k": {}}]}
    assert run(f"def parse(page): return {value!r}").rows[0].fields == value


def test_kinds_of_plain_values_are_made_plain() -> None:
    source = """
        from collections import OrderedDict, namedtuple
        from enum import IntEnum, StrEnum

        Color = StrEnum("Color", ["red"])
        Size = IntEnum("Size", ["small"])
        Pair = namedtuple("Pair", "left right")
        Share = type("Share", (float,), {})
        Raw = type("Raw", (bytes,), {})
        List = type("List", (list,), {})

        def parse(page):
            yield OrderedDict(soup=page.soup.h1.string, nested=[OrderedDict({Color.red: page.soup.h1.string})])
            yield {"item": Color.red, "of": [Size.small, Pair(1, Share(0.5)), Raw(b"x"), List("y")]}
    """
    first, second = run(source).rows
    assert repr(first.fields) == "{'soup': 'One', 'nested': [{'red': 'One'}]}"
    assert {type(value) for value in (first.fields["soup"], *first.fields["nested"][0].popitem())} == {str}
    assert (type(second.item), second.item) == (str, "red")
    assert repr(second.fields) == "{'of': [1, [1, 0.5], b'x', ['y']]}"


def test_a_hook_adds_outlinks_and_sees_the_fleet() -> None:
    source = "def parse(page): return {'fleet': page.fleet, 'kept': [page.follow('/c'), page.follow('//x/')]}"
    extracted = run(source, fleet="fleet")
    assert extracted.rows[0].fields == {"fleet": "fleet", "kept": ["http://h/c", None]}
    assert extracted.outlinks == ("http://h/a", "http://h/b", "http://h/c")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            "def parse(page):\n    x = 1\n    raise ValueError('bad\\npage')",
            "ValueError: bad page at /nowhere/hook.py:3",
        ),
        (
            "def parse(page):\n    yield {'a': 1}\n    1 / 0",
            "ZeroDivisionError: division by zero at /nowhere/hook.py:3",
        ),
        ("import json\ndef parse(page):\n    json.loads('')", "/nowhere/hook.py:3"),
        ("def parse(page):\n    raise SystemExit(3)", "SystemExit: 3 at /nowhere/hook.py:2"),
        ("def parse(page):\n    raise KeyboardInterrupt", "KeyboardInterrupt at /nowhere/hook.py:2"),
        ("def parse(page):\n    return parse(page)", "RecursionError"),
        ("def parse():\n    pass", "TypeError: parse() takes 0 positional arguments"),
        ("def parse(page):\n    return 'text'", "/nowhere/hook.py:1 returned str: return None, a dict"),
        ("def parse(page):\n    return 5", "returned int"),
        ("def parse(page):\n    return ['text']", "gave str for a row"),
        ("def parse(page):\n    return {1: 2}", "the row[1] is under a key of type int: keys are str"),
        (
            "def parse(page):\n    return {'a': [page]}",
            "the row['a'][0] is of type crawlfleet.worker.extract.page.Page",
        ),
        ("def parse(page):\n    return {'a': {'b': {1, 2}}}", "the row['a']['b'] is of type builtins.set"),
        (
            "import datetime\ndef parse(page):\n    return {'d': datetime.date(1, 1, 1)}",
            "the row['d'] is of type datetime.date",
        ),
        ("def parse(page):\n    return {'a': [float('nan')]}", "the row['a'][0] is nan: a number must be finite"),
        ("def parse(page):\n    return {'a': 2**64}", "the row['a'] is an int of more than 64 bits"),
        ("def parse(page):\n    return {'a': '\\ud800'}", "half a surrogate pair"),
        ("def parse(page):\n    return {'a': [0, {None: 1}]}", "the row['a'][1][None] is under a key of type None"),
        ("def parse(page):\n    return {'a': {True: 1}}", "the row['a'][True] is under a key of type bool"),
        ("def parse(page):\n    return {'a': {(1, 2): 1}}", "the row['a'][(1, 2)] is under a key of type tuple"),
        (
            "from msgspec.msgpack import Ext\ndef parse(page):\n    return {'a': [Ext(5, b'x')]}",
            "the row['a'][0] is of type msgspec",
        ),
        ("def parse(page):\n    a = {}\n    a['a'] = a\n    return a", "nested deeper than"),
        ("def parse(page):\n    return {'item': 5}", "whose 'item' is int"),
    ],
)
def test_what_a_hook_does_wrong_is_one_sentence_with_file_and_line(source: str, sentence: str) -> None:
    extracted = run(source)
    assert sentence in extracted.error
    assert "/nowhere/hook.py:" in extracted.error
    assert "\n" not in extracted.error
    assert extracted.rows == ()
    assert extracted.outlinks == ("http://h/a", "http://h/b")


class Busy:
    """A fleet whose shared objects are never free."""

    def __init__(self) -> None:
        self.freed = 0

    def lock(self, name: str) -> None:
        raise HookWaited(f"waited 60 s for the lock {name!r}")


@pytest.mark.parametrize(
    "body",
    [
        "page.follow('/c')\n    page.fleet.lock('login')",
        "yield {'a': 1}\n    page.fleet.lock('login')",
        "yield {'a': 1}\n    try: page.fleet.lock('login')\n    except Exception: pass",
    ],
)
def test_a_hook_that_waited_too_long_gives_neither_rows_nor_outlinks_and_cannot_go_on_by_mistake(body: str) -> None:
    rule = ItemRule(name="head", fields=(FieldRule(name="h", selector="h1"),))
    extracted = run(f"def parse(page):\n    {body}", Busy(), items=(rule,))
    error = "the hook waited 60 s for the lock 'login' at /nowhere/hook.py:3"
    assert extracted == Extracted(error=error, reason=Reason.HOOK_WAITED)


def test_a_hook_that_waited_too_long_may_tidy_up() -> None:
    fleet = Busy()
    body = "try: page.fleet.lock('login')\n    finally: page.fleet.freed += 1"
    assert run(f"def parse(page):\n    {body}", fleet).reason is Reason.HOOK_WAITED
    assert fleet.freed == 1


def test_an_endless_hook_is_cut_at_the_limit_of_rows() -> None:
    extracted = run("def parse(page):\n    while True: yield {'a': 1}", limits=LimitSpec(rows=3))
    assert (len(extracted.rows), extracted.rows_left_out, extracted.error) == (3, 4, "")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def parse(page:\n    pass", "/nowhere/hook.py:1: the hook is not Python: "),
        (
            "x = 1\nimport no_such_module",
            "/nowhere/hook.py:2: the hook does not import: ModuleNotFoundError: No module",
        ),
        ("def f():\n    raise KeyError('k')\n\nf()", "/nowhere/hook.py:2: the hook does not import: KeyError"),
        ("raise SystemExit", "/nowhere/hook.py:1: the hook does not import: SystemExit"),
        ("x = '\0'", "/nowhere/hook.py:1: the hook"),
        ("x = 1", "/nowhere/hook.py: the hook has no function parse(page)"),
        ("parse = 5", "/nowhere/hook.py: the hook has no function parse(page)"),
    ],
)
def test_a_hook_that_cannot_be_loaded_is_a_usage_error(source: str, sentence: str) -> None:
    with pytest.raises(UsageError) as raised:
        load_hook(spec(source))
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_hook_whose_file_lies_here_imports_its_neighbours_last(tmp_path: Path) -> None:
    (tmp_path / "near_by.py").write_text("WORD = 'near'")
    (tmp_path / "json.py").write_text("raise RuntimeError('hidden')")
    hook = spec("import json, near_by\ndef parse(page): return {'w': near_by.WORD}", str(tmp_path / "hook.py"))
    (tmp_path / "hook.py").write_text(hook.source)
    try:
        assert load_hook(hook)(None) == {"w": "near"}  # type: ignore[arg-type]  # the hook reads no page
        assert sys.path[-1] == str(tmp_path)
        load_hook(hook)
        assert sys.path.count(str(tmp_path)) == 1
    finally:
        sys.modules.pop("near_by", None)


def test_the_text_that_was_sent_runs_if_the_file_here_is_another(tmp_path: Path) -> None:
    (tmp_path / "hook.py").write_text("raise RuntimeError('stale')")
    hook = spec("def parse(page): return {'w': 'sent'}", str(tmp_path / "hook.py"))
    assert load_hook(hook)(None) == {"w": "sent"}  # type: ignore[arg-type]  # as above
    assert str(tmp_path) not in sys.path


def test_the_traceback_of_a_sent_hook_shows_its_lines() -> None:
    parse = load_hook(spec("def parse(page):\n    raise ValueError(page)", "/nowhere/shown.py"))
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the text is not what is looked at
        parse(None)  # type: ignore[arg-type]  # as above
    assert "    raise ValueError(page)" in "".join(traceback.format_exception(raised.value))


def test_a_hook_may_define_dataclasses() -> None:
    source = """
        from __future__ import annotations
        from dataclasses import dataclass

        @dataclass
        class Row:
            word: str

        def parse(page):
            return vars(Row("x"))
    """
    assert run(source).rows[0].fields == {"word": "x"}


SESSION_HOOK = """
def parse(page):
    return None

def session(session):
    session.headers["X-Key"] = "secret"
    session.auth = ("me", "word")
"""


@pytest.mark.parametrize("name", names(that_prepare_sessions()))
def test_a_hook_that_prepares_the_session_is_fetched_for_by_an_engine_that_has_one(name: str) -> None:
    hook = spec(SESSION_HOOK)
    load_hook(hook)
    engine = engine_for(local_spec(engine=name, user_agent="bot/1", timeout_s=10), load_session(hook))
    with HostileSite() as site, closing(engine.open()) as fetcher:
        assert fetcher.fetch(site.origin + "/a|b").status == 200
        sent = site.requests[0].lower()
    assert sent.startswith(b"get /a|b http/1.1\r\n")
    assert b"x-key: secret\r\n" in sent
    assert b"authorization: basic " in sent
    assert sent.count(b"user-agent: bot/1\r\n") == 1
    assert sent.count(b"accept-encoding:") == 1


def test_a_session_that_is_no_function_of_the_hook_asks_for_nothing() -> None:
    hook = spec("import requests\nsession = requests.Session()\ndef parse(page): pass")
    load_hook(hook)
    assert load_session(hook) is None
    assert engine_for(FetchSpec()).many_at_once


def test_curl_has_no_session_to_prepare() -> None:
    hook = spec(SESSION_HOOK)
    load_hook(hook)
    with pytest.raises(UsageError, match=r"needs fetch\.engine: auto or requests"):
        engine_for(FetchSpec(engine="curl"), load_session(hook))


def test_a_session_that_cannot_be_prepared_is_told_with_its_line() -> None:
    hook = spec("def parse(page): pass\ndef session(session):\n    session.nothing()")
    load_hook(hook)
    with pytest.raises(UsageError, match=r"hook.py:3: the hook's session\(\) failed"):
        engine_for(FetchSpec(), load_session(hook)).open()
