"""An entry of a table of backends: loaded when it is chosen, and a missing package is named with what to install."""

from __future__ import annotations

import re
import sys

import pytest

from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.registry import Entry, table


class _Toy(Entry):
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
