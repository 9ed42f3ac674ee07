"""What `crawl()` gives to a program: rows, numbers, results, frames, errors that name its parameters."""

from __future__ import annotations

import asyncio
import json
import pickle
import re
import sys
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from crawlfleet import crawl
from crawlfleet.embedded.crawl import Crawl
from crawlfleet.errors import CrawlFailed, CrawlWarning, JobError, UsageError
from tests.acceptance.crawls import run
from tests.site.small_site import SmallSite, page, serving

ROOT = Path(__file__).parents[2]
TITLES = {"title": "title"}
BOOKS = {
    "title": "title",
    "price": {"css": "b", "type": "price"},
    "pages": {"css": "i", "type": "int"},
    "on": {"css": "time", "type": "date"},
    "tags": ["u"],
}


@pytest.fixture
def site() -> Iterator[SmallSite]:
    with serving({"/": page("home", "/1", "/2"), "/1": page("one", "/"), "/2": page("two", "/3", "/gone")}) as site:
        yield site


def titles(rows: Iterator[dict[str, Any]] | Crawl) -> list[str]:
    return [row["title"] for row in rows]


def test_rows_come_in_the_order_in_which_they_are_recorded_and_again_in_each_loop(site: SmallSite) -> None:
    with crawl(site.base, items=TITLES, pages=3, delay=timedelta(0)) as it:
        assert not it.folder.is_relative_to(Path.cwd())
        first = list(it)
        assert first[0] == {"url": f"{site.base}/", "item": "item", "title": "home"}
        assert sorted(titles(iter(first))) == ["home", "one", "two"]
        assert list(it) == first
        status = it.status()
        assert (status.fetched, status.rows, status.finished) == (3, 3, True)
        results = it.results
        assert list(results) == [row["url"] for row in first]
        assert (len(results), results[f"{site.base}/1"]) == (3, [{"item": "item", "title": "one"}])
        folder = it.folder
    assert not folder.exists()
    with pytest.raises(ValueError, match="closed"):
        next(iter(it))
    with pytest.raises(TypeError, match="belongs to the process"):
        pickle.dumps(it)


def know_of_more(folder: Path) -> None:
    """Let a folder know of more commits than its store has."""
    path = folder / "commits.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps({**known, "commits": known["commits"] + 1}))


def test_a_crawl_in_a_folder_goes_on_and_yields_the_rows_of_earlier_runs_first(site: SmallSite, tmp_path: Path) -> None:
    folder = tmp_path / "crawls" / "books"
    site.hold("/2")
    one_by_one = {"politeness.per_host": 1, "lease": "1s"}  # what a dead worker held is soon granted again
    with crawl(site.base, items=TITLES, folder=folder, delay=0, set=one_by_one) as it:
        rows = iter(it)
        early = [next(rows)["title"], next(rows)["title"]]
        assert (sorted(early), it.status().finished) == (["home", "one"], False)
        site.await_held()
        it.stop()  # it does not wait longer for the page that is held
        assert titles(it) == early  # a stopped crawl has not failed
    resumed = crawl(site.base, items=TITLES, folder=folder, delay=0, set=one_by_one)
    with pytest.warns(CrawlWarning, match=r"2 pages failed: 2 http_404 \(last: "):
        found = titles(resumed)
    assert (found, titles(resumed)) == ([*early, "two"], found)
    resumed.close()
    assert [site.hits(path) for path in ("/", "/1", "/2")] == [1, 1, 2]
    assert not list(folder.glob("frontier.db-*"))
    assert run(tmp_path, "verify", folder).returncode == 0
    know_of_more(folder)
    lost = "has lost commits that were acknowledged, .* go on without them by accept_loss=True"
    with pytest.raises(UsageError, match=lost):
        crawl(site.base, items=TITLES, folder=folder, delay=0)
    with pytest.warns(CrawlWarning) as told:
        assert titles(crawl(site.base, items=TITLES, folder=folder, delay=0, accept_loss=True)) == found
    assert "The crawl goes on without them" in str(told[0].message)
    changed = "scope.pages.*go on with the new ones by accept_changes=True, or start again by fresh=True"
    with pytest.raises(UsageError, match=f"(?s){changed}"):
        crawl(site.base, items=TITLES, folder=folder, delay=0, pages=1)
    with crawl(site.base, items=TITLES, folder=folder, delay=0, pages=1, fresh=True) as it:
        assert titles(it) == ["home"]
        assert str(folder) in it.notices[0]


def test_a_loop_in_an_event_loop_lets_others_run(site: SmallSite) -> None:
    async def main() -> tuple[list[str], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        other = asyncio.create_task(tick())
        found = [row["title"] async for row in crawl(site.base, items=TITLES, pages=3, delay=0)]
        other.cancel()
        return found, ticks

    found, ticks = asyncio.run(main())
    assert sorted(found) == ["home", "one", "two"]
    assert ticks > 2


def test_errors_name_the_parameters(site: SmallSite, tmp_path: Path) -> None:
    with pytest.raises(JobError) as caught:
        crawl(site.base, pages=0, depth=-1, delay="soon", follow="a", items={"t": ":::"}, set={"fetch.retris": 1})
    told = sorted(line.partition(":")[0] for line in caught.value.problems)
    assert told == ["delay=", "depth=", "follow=", "items=", "pages=", "set={'fetch.retris'"]
    wrong: dict[str, Any]
    for wrong, said in (
        ({"items": {"t": object()}}, "items= cannot be part of a job: "),
        ({"set": {"a..b": 1}}, r"set=\{'a\.\.b': \.\.\.\}: is no key of a job"),
        ({"set": {"durability": "none"}}, "choose process or power"),
        ({"workers": 0}, "workers=0: is no number of processes"),
        ({"parse": str(tmp_path / "no.py")}, "parse=: hooks: there is no file"),
    ):
        with pytest.raises(JobError, match=said):
            crawl(site.base, **wrong)
    nowhere: Any
    for nowhere in ([], 5, "htp://x"):
        with pytest.raises(JobError, match="address"):
            crawl(nowhere)
    with pytest.raises(UsageError, match=r"folder='.*My Books': its last part names the crawl, and wants 1 to"):
        crawl(site.base, folder=tmp_path / "My Books")
    assert site.requests == []


def test_a_function_that_no_file_has_is_refused_with_what_works(site: SmallSite) -> None:
    def inner(page: object) -> None: ...

    for parse, said in (
        (lambda _page: None, "is no function with a name"),
        (inner, "it is not at the top level of .*test_crawl_function.py"),
        (print, "workers get it by its file, and it has none"),
    ):
        with pytest.raises(UsageError, match=f"{said}: write it at the top level of a file"):
            crawl(site.base, parse=parse)


def test_a_function_of_a_module_makes_the_rows(
    site: SmallSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_hooks.py").write_text(
        "from own_words import loud\ndef shout(page):\n    yield {'title': loud(page.title)}\n"
    )
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "own_words.py").write_text("def loud(text):\n    return text.upper()\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path), str(tmp_path / "elsewhere")])
    from own_hooks import shout  # type: ignore[import-not-found]  # made above

    with crawl(site.base, parse=shout, pages=1) as it:
        assert titles(it) == ["HOME"]


def test_a_crawl_that_fails_says_so_at_the_end_of_its_loop(site: SmallSite) -> None:
    with pytest.warns(CrawlWarning), crawl(f"{site.base}/nothing", delay=0) as it:  # noqa: SIM117  # warned before
        with pytest.raises(CrawlFailed, match="No seed gave a page"):
            list(it)


def test_expectations_that_do_not_hold_are_warned_of_at_the_line_of_the_loop(site: SmallSite) -> None:
    it = crawl(site.base, items=TITLES, pages=1, set={"expect.rows": 5})
    with it, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(it)
    (warned,) = caught
    assert (warned.category, warned.filename) == (CrawlWarning, __file__)
    assert it.notices == (str(warned.message),)
    assert "rows" in it.notices[0]


@pytest.fixture(scope="module")
def books() -> Iterator[Crawl]:
    body = "<title>A</title><b>EUR 12.50</b><i>300</i><time>2026-11-29</time><u>x</u><u>y</u>"
    pages = {"/": body + '<a href="/1">', "/1": "<title>B</title>"}
    with serving(pages) as site, crawl(site.base, items=BOOKS, delay=0) as it:
        list(it)
        yield it


def test_frames_of_pandas_have_the_types_of_the_fields(books: Crawl) -> None:
    pandas = pytest.importorskip("pandas")
    frame = books.to_pandas()
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert kinds == {
        "url": "str",
        "title": "str",
        "price": "float64",
        "price_currency": "str",
        "pages": "Int64",
        "on": "datetime64[s]",
        "tags": "object",
    }
    assert frame.loc[0, ["price", "price_currency", "pages", "tags"]].tolist() == [12.5, "EUR", 300, ["x", "y"]]
    assert frame["on"][0] == pandas.Timestamp("2026-11-29")
    assert frame[["price", "pages", "on"]].isna().loc[1].all()


def test_tables_of_arrow_and_frames_of_polars_have_the_types_of_the_fields(books: Crawl) -> None:
    pytest.importorskip("pyarrow")
    polars = pytest.importorskip("polars")
    table = books.to_arrow("item")
    assert str(table.schema.field("price").type) == "decimal128(38, 10)"
    assert table.column("tags").to_pylist() == [["x", "y"], []]
    frame = books.to_polars()
    assert frame.schema["on"] == polars.Date
    assert frame["title"].to_list() == ["A", "B"]


def test_a_frame_of_an_item_that_is_not_there_is_refused(books: Crawl) -> None:
    with pytest.raises(UsageError, match="there is no item 'quote': say one of item='item'"):
        books.to_pandas("quote")


def test_a_library_that_is_not_installed_is_named_with_its_extra(books: Crawl, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, ask, extra in (
        ("pandas", books.to_pandas, "pandas"),
        ("pyarrow", books.to_arrow, "parquet"),
        ("polars", books.to_polars, "polars"),
    ):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(UsageError, match=rf"{name} is not installed: pip install 'crawlfleet\[{extra}\]'"):
            ask()


def test_rows_of_a_hook_have_a_column_for_each_field(site: SmallSite, tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text(
        "def parse(page):\n    yield {'n': len(page.title)}\n    yield {'item': 'other', 't': page.title, 'n': 'x'}\n"
    )
    with crawl(site.base, parse=tmp_path / "hooks.py", pages=1) as it:
        assert it.to_pandas("item").to_dict("list") == {"url": [f"{site.base}/"], "item": ["item"], "n": [4]}
        assert it.to_arrow("other").column("n").to_pylist() == ["x"]
        with pytest.raises(UsageError, match="of several items: say one of item='item', item='other'"):
            it.to_pandas()


@pytest.mark.filterwarnings("ignore::crawlfleet.errors.CrawlWarning")  # pages of the site that are not there
@pytest.mark.parametrize("document", ["README.md", "docs/your-own-code.md"])
def test_what_the_documents_show_runs(document: str, site: SmallSite, capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / document).read_text("utf-8")
    (block,) = re.findall(r"^```python crawl\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    block = (
        block.replace("https://quotes.toscrape.com/", site.base).replace('"1s"', '"0s"').replace("pages=20", "pages=3")
    )
    exec(compile(block, document, "exec"), {})
    assert sorted(capsys.readouterr().out.splitlines()) == [
        f"{site.base}/ home",
        f"{site.base}/1 one",
        f"{site.base}/2 two",
    ]
