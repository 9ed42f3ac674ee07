"""Files that are put at an address: whole, once, and never over what is somebody else's."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import fsspec
import pytest

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.offline.export import export
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.coordinator.results.columns import Layout
from crawlfleet.coordinator.sinks import object_sink, patience
from crawlfleet.coordinator.sinks.addresses import check_address
from crawlfleet.coordinator.sinks.outputs import Output, outputs_at
from crawlfleet.coordinator.sinks.registry import SINKS
from crawlfleet.shared.errors import CrawlFailed, UsageError
from tests.results import result
from tests.shapes import QUOTES
from tests.unit.durable_crawl import DurableCrawl

LOG = [result(number, rows=number % 3) for number in range(1, 12)]
MEMORY = "memory://bucket/deep/items"


@pytest.fixture(autouse=True)
def _empty_store() -> Iterator[None]:
    yield
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the addresses to which something is put."""
    done: list[str] = []
    put = object_sink.put

    def noted(path: Path, address: str) -> None:
        done.append(address)
        put(path, address)

    monkeypatch.setattr(object_sink, "put", noted)
    return done


def output_at(address: str, folder: Path, layout: Layout = QUOTES.layout) -> Output:
    (output,) = outputs_at(address, folder, layout, {"crawl": "shop"})
    return output


def run(output: Output, log: Sequence[Result], mark: Mark | None = None) -> Mark:
    """Let a sink follow the log to an orderly end."""
    with closing(output.open(mark, power=False)) as sink:
        sink.restore(iter(log), len(log))
        if log[sink.mark.results :]:
            sink.write(log[sink.mark.results :])
        sink.finish()
        return sink.mark


def content(address: str) -> bytes:
    with fsspec.open(address, "rb") as file:
        data: bytes = file.read()
    return data


@pytest.mark.parametrize("ending", SINKS)
@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_every_kind_of_files_is_put_whole_at_the_end_of_each_run_and_once(
    ending: str, scheme: str, tmp_path: Path, puts: list[str]
) -> None:
    address = f"{MEMORY}{ending}" if scheme == "memory" else f"file://{tmp_path}/out/deep/items{ending}"
    output = output_at(address, tmp_path)
    mark = run(output, LOG[:5])
    assert content(address) == output.path.read_bytes()
    mark = run(output, LOG, mark)
    run(output, LOG, mark)
    assert puts == [address] * 2
    (tmp_path / "copy").mkdir()
    copy = tmp_path / "copy" / f"items{ending}"
    copy.write_bytes(content(address))
    assert list(output.kind.read(copy, whole=True)) == [row for each in LOG for row in output.kind.rows_of(each)]
    assert [path.name for path in (tmp_path / "out").rglob("*.part")] == []


def test_with_rotate_each_part_is_put_when_it_is_there_and_goes_with_the_log(tmp_path: Path, puts: list[str]) -> None:
    address = f"{MEMORY}.parquet"
    (output,) = outputs_at(address, tmp_path, QUOTES.layout, {"crawl": "shop", "rotate": 2})
    with closing(output.open(None, power=False)) as sink:
        sink.write(LOG[:3])
        first = f"{address}/000000000000-000000000002.parquet"
        assert puts == [first]
        sink.write(LOG[3:])
        sink.finish()
        mark = sink.mark
    parts = sorted(output.path.iterdir())
    assert puts == [f"{address}/{part.name}" for part in parts]
    assert [content(f"{address}/{part.name}") for part in parts] == [part.read_bytes() for part in parts]
    assert run(output, LOG, mark) == mark
    assert len(puts) == len(parts)
    run(output, LOG[:4], mark)
    left = [info["name"] for info in fsspec.filesystem("memory").ls(address, detail=True)]
    assert left == [f"/bucket/deep/items.parquet/{part.name}" for part in sorted(output.path.iterdir())]
    assert len(left) < len(parts)
    other = outputs_at(address, tmp_path / "other", QUOTES.layout, {"crawl": "shop", "rotate": 2})
    with pytest.raises(UsageError, match=r"items.parquet exists already and is not this crawl's"):
        next(other).open(None, power=False)


def test_what_is_somebody_elses_is_refused_and_left_alone(tmp_path: Path) -> None:
    address = f"{MEMORY}.jsonl"
    with fsspec.open(address, "wb") as file:
        file.write(b"mine")
    with pytest.raises(
        UsageError, match=r"memory://.*items.jsonl exists already and is not this crawl's: move it away"
    ):
        output_at(address, tmp_path).open(None, power=False)
    assert content(address) == b"mine"


def test_an_object_that_is_gone_is_put_again_and_one_without_rows_is_empty(tmp_path: Path, puts: list[str]) -> None:
    address = f"{MEMORY}.jsonl"
    output = output_at(address, tmp_path)
    run(output, [])
    assert content(address) == b""
    mark = run(output, LOG)
    fsspec.filesystem("memory").rm(address)
    run(output, LOG, mark)
    assert len(puts) == 3
    assert content(address) == output.path.read_bytes()


def test_a_store_that_fails_is_tried_again_and_then_told_with_where_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = output_at(f"{MEMORY}.jsonl", tmp_path)
    system = fsspec.filesystem("memory").__class__
    put, fails = system.put_file, iter([True, True])

    def failing(*arguments: Any, **more: Any) -> None:
        if next(fails, False):
            raise RuntimeError("slow\ndown")
        put(*arguments, **more)

    monkeypatch.setattr(patience, "FIRST_S", 0.001)
    monkeypatch.setattr(system, "put_file", failing)
    run(output, LOG)
    assert content(output.shape.address) == output.path.read_bytes()
    fails = itertools.repeat(True)
    monkeypatch.setattr(patience, "IN_ALL_S", 0.01)
    said = (
        r"cannot reach memory://.*: RuntimeError: slow down; the file is .*items.jsonl, and the next run puts it there"
    )
    with pytest.raises(CrawlFailed, match=said):
        run(output, [*LOG, result(99)])


@pytest.mark.long
def test_a_death_at_any_call_leaves_an_object_that_is_whole(tmp_path: Path) -> None:
    deaths, seen = 0, set()
    for call in range(0, 100_000, 60):
        shutil.rmtree(tmp_path, ignore_errors=True)
        tmp_path.mkdir()
        address = f"file://{tmp_path}/out/items.csv"
        output = output_at(address, tmp_path)
        mark = run(output, LOG[:5])
        before = content(address)
        died = _dies(output, mark, call)
        left = content(address)
        run(output, LOG, mark)
        after = content(address)
        assert after == output.path.read_bytes()
        assert left in (before, after)
        seen.add(left == after)
        deaths += died
        if not died:
            break
    assert deaths > 10
    assert seen == {True, False}


def test_a_crawl_and_an_export_put_files_for_each_table(tmp_path: Path) -> None:
    address = "memory://bucket/shop.csv"
    crawl = DurableCrawl(tmp_path, sinks=(address,))
    crawl.begin()
    crawl.finish()
    crawl.close()
    assert content(address).count(b"\n") == 5
    assert [(each.name, each.checked, each.broken) for each in verify(tmp_path).invariants[-2:]] == [
        (f"{address} has the rows of the results, each once", 4, 0),
        (f"{address} is there as it was put last", 1, 0),
    ]
    fsspec.filesystem("memory").pipe(address, b"mine")
    assert "has 4 bytes, put were" in verify(tmp_path).invariants[-1].where[0]
    other = "memory://bucket/other.jsonl"
    assert export(tmp_path, other) == (4, 4, 0, "", (other,))
    assert content(other).count(b"\n") == 4
    with pytest.raises(UsageError, match=r"other.jsonl exists already: name another address, or replace it"):
        export(tmp_path, other)
    assert export(tmp_path, other, overwrite=True).files == (other,)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nothing://b/items.csv", "no sink writes to nothing://: there are postgresql"),
        ("memory://b/items.xyz", "the endings that exist are"),
        ("memory://b/.csv", "names no file"),
        ("sftp://me:secret@h/items.csv", "has a password"),
    ],
)
def test_an_address_that_no_sink_writes_to_is_told(address: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        check_address(address)
    assert "secret" not in str(refused.value)


def _dies(output: Output, mark: Mark, call: int) -> bool:
    process = multiprocessing.get_context("fork").Process(target=_run_and_die, args=(output, mark, call))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _run_and_die(output: Output, mark: Mark, call: int) -> None:
    left = iter(range(call))

    def count(*_: object) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    run(output, LOG, mark)
    sys.setprofile(None)
