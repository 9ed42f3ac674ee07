"""A crawl goes on with the parse engine that it began with."""

from __future__ import annotations

import pytest

from crawlfleet.coordinator import engines
from crawlfleet.coordinator.engines import with_kept_engine
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from crawlfleet.shared.brief import Brief, ParseSpec, ScopeSpec
from crawlfleet.shared.engines import PARSE_ENGINES


def engine(store: MemoryStore, asked: str, *, has_begun: bool) -> str:
    work = Brief(job="j", scope=ScopeSpec(), parse=ParseSpec(engine=asked))
    return with_kept_engine(store, work, has_begun=has_begun).parse.engine


def test_a_new_crawl_takes_the_first_engine_and_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    assert engine(store, "auto", has_begun=False) == next(iter(PARSE_ENGINES)) == "turbohtml"
    monkeypatch.setattr(engines, "PARSE_ENGINES", dict(reversed(PARSE_ENGINES.items())))
    assert engine(store, "auto", has_begun=True) == "turbohtml"


def test_a_crawl_of_an_earlier_version_goes_on_with_lexbor() -> None:
    store = MemoryStore()
    assert engine(store, "auto", has_begun=True) == "lexbor"
    assert engine(store, "auto", has_begun=True) == "lexbor"


def test_what_a_job_names_counts_and_auto_is_what_it_named_first() -> None:
    store = MemoryStore()
    assert engine(store, "bs4", has_begun=False) == "bs4"
    assert engine(store, "auto", has_begun=True) == "bs4"
    assert engine(store, "lexbor", has_begun=True) == "lexbor"
    assert engine(store, "auto", has_begun=True) == "bs4"
