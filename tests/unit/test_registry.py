"""The tables of backends: entries are loaded when chosen, name what has to be installed, and stand in the documents."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from crawlfleet.coordinator.frontier.registry import STORES
from crawlfleet.coordinator.sinks.registry import SERVICES, SINKS
from crawlfleet.shared.engines import FETCH_ENGINES, PARSE_ENGINES
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.registry import Entry, table

ROOT = Path(__file__).parents[2]
TABLES: dict[str, dict[str, Any]] = {
    "sinks": {**SINKS, **SERVICES},
    "fetch": FETCH_ENGINES,
    "parse": PARSE_ENGINES,
    "durability": STORES,
}
ENTRIES = [(section, entry) for section, entries in TABLES.items() for entry in entries.values()]
each_entry = pytest.mark.parametrize("entry", [entry for _, entry in ENTRIES], ids=lambda entry: entry.name)
each_named_entry = pytest.mark.parametrize(("section", "entry"), ENTRIES)


class _Toy(Entry, frozen=True):
    kind = "toy"


def test_an_entry_leads_to_what_it_names() -> None:
    assert Entry(name="a", place="crawlfleet.shared.registry:table").load() is table


def test_a_table_keeps_the_order_of_its_entries() -> None:
    one, two = Entry(name="b", place="m:one"), Entry(name="a", place="m:two")
    assert list(table(one, two).items()) == [("b", one), ("a", two)]


@pytest.mark.parametrize(
    ("package", "extra", "otherwise", "advice"),
    [
        ("pycurl", "", "", "pip install pycurl"),
        ("pycurl", "curl", "", "pip install 'crawlfleet[curl]'"),
        ("pycurl", "", "set it to other", "pip install pycurl, or set it to other"),
        ("", "", "", "pip install crawlfleet"),
    ],
)
def test_a_missing_package_is_told_with_what_to_install(
    package: str, extra: str, otherwise: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "not_here", None)
    entry = _Toy(name="x", place="not_here:Thing", package=package, extra=extra)
    with pytest.raises(UsageError, match=rf"the toy x cannot be loaded \(.*not_here.*\): {re.escape(advice)}\Z"):
        entry.load(otherwise)


@each_named_entry
def test_every_entry_stands_under_its_name_and_can_be_loaded(section: str, entry: Entry) -> None:
    assert TABLES[section][entry.name] is entry
    assert callable(entry.load())


@each_named_entry
def test_every_entry_is_told_in_the_reference_of_its_key(section: str, entry: Entry) -> None:
    reference = (ROOT / "docs/reference/jobs.md").read_text(encoding="utf-8")
    documented = reference.partition(f"\n## `{section}`\n")[2].partition("\n## ")[0]
    assert re.search(rf"(?<![\w.-]){re.escape(entry.name)}(?![\w.-])", documented)


@each_entry
def test_every_package_of_an_entry_comes_with_crawlfleet_or_its_extra(entry: Entry) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = project["optional-dependencies"][entry.extra] if entry.extra else project["dependencies"]
    assert set(entry.package.split()) <= {re.split(r"[><=\[]", line)[0] for line in listed}
