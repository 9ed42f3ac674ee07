"""Pipes of the fleet over a real coordinator: ends as those of `multiprocessing`, also in other processes."""

from __future__ import annotations

import array
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from crawlfleet import Fleet, connect
from crawlfleet.objects import PipeEnd
from tests.site.served_crawl import ServedCrawl, served


@pytest.fixture
def crawl(tmp_path: Path) -> Iterator[ServedCrawl]:
    with served(tmp_path, wait=True) as crawl:
        yield crawl


@pytest.fixture
def fleet(crawl: ServedCrawl) -> Iterator[Fleet]:
    with connect(crawl.token) as fleet:
        yield fleet


@pytest.fixture
def ends(fleet: Fleet) -> tuple[PipeEnd, PipeEnd]:
    return fleet.Pipe("p"), fleet.Pipe("p")


def test_values_and_bytes_go_both_ways(ends: tuple[PipeEnd, PipeEnd]) -> None:
    a, b = ends
    assert (a.poll(), a.poll(0.01), a.poll(-1)) == (False, False, False)
    a.send({"key": (1, {2}, None)})
    assert b.poll(None)
    assert b.recv() == {"key": (1, {2}, None)}
    numbers = array.array("i", range(4))
    b.send_bytes(numbers)
    assert a.recv_bytes() == numbers.tobytes()
    buffer = array.array("i", [0] * 6)
    b.send_bytes(numbers)
    assert a.recv_bytes_into(buffer, 2 * buffer.itemsize) == 4 * buffer.itemsize
    assert list(buffer) == [0, 0, 0, 1, 2, 3]
    b.send_bytes(b"too long for it")
    with pytest.raises(multiprocessing.BufferTooShort) as short:
        a.recv_bytes_into(bytearray(5))
    assert short.value.args == (b"too long for it",)
    with pytest.raises(TypeError, match="object"):
        a.send(object())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda end: end.send_bytes(b"abc", -1), "offset is negative"),
        (lambda end: end.send_bytes(b"abc", 4), "buffer length < offset"),
        (lambda end: end.send_bytes(b"abc", 1, -1), "size is negative"),
        (lambda end: end.send_bytes(b"abc", 1, 3), "buffer length < offset \\+ size"),
        (lambda end: end.recv_bytes(-1), "negative maxlength"),
        (lambda end: end.recv_bytes_into(bytearray(3), -1), "negative offset"),
        (lambda end: end.recv_bytes_into(bytearray(3), 4), "offset too large"),
    ],
)
def test_what_makes_no_sense_is_refused(
    ends: tuple[PipeEnd, PipeEnd], call: Callable[[PipeEnd], Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        call(ends[0])


def test_parts_of_a_buffer_are_sent(ends: tuple[PipeEnd, PipeEnd]) -> None:
    a, b = ends
    for args, expected in (((2,), b"cdef"), ((2, 3), b"cde"), ((6,), b""), ((6, 0), b"")):
        a.send_bytes(b"abcdef", *args)
        assert b.recv_bytes() == expected


def test_without_duplex_the_first_end_reads_and_the_second_writes(fleet: Fleet) -> None:
    reader, writer = fleet.Pipe("one way", duplex=False), fleet.Pipe("one way", duplex=False)
    assert (reader.readable, reader.writable, writer.readable, writer.writable) == (True, False, False, True)
    writer.send(1)
    assert reader.recv() == 1
    with pytest.raises(OSError, match="read-only"):
        reader.send(2)
    for use in (writer.recv, writer.poll, writer.recv_bytes):
        with pytest.raises(OSError, match="write-only"):
            use()
    writer.send_bytes(b"long")
    with pytest.raises(OSError, match="bad message length"):
        reader.recv_bytes(3)
    assert reader.closed


def test_a_message_that_is_too_long_ends_reading(ends: tuple[PipeEnd, PipeEnd]) -> None:
    a, b = ends
    a.send_bytes(b"1234")
    assert b.recv_bytes(4) == b"1234"
    a.send_bytes(b"12345")
    with pytest.raises(OSError, match="bad message length"):
        b.recv_bytes(4)
    assert (b.readable, b.writable, b.closed) == (False, True, False)


def test_the_other_end_reads_to_the_end(fleet: Fleet, ends: tuple[PipeEnd, PipeEnd]) -> None:
    a, b = ends
    with a:
        a.send("last")
    assert (a.closed, b.closed) == (True, False)
    assert b.recv() == "last"
    for receive in (b.recv, b.recv_bytes):
        with pytest.raises(EOFError):
            receive()
    with pytest.raises(BrokenPipeError):
        b.send(1)
    for use in (a.recv, a.poll, lambda: a.send(1)):
        with pytest.raises(OSError, match="handle is closed"):
            use()
    with pytest.raises(ValueError, match="a pipe connects two"):
        fleet.Pipe("p")
    b.close()
    fleet.Pipe("p").close()


def test_two_programs_talk(crawl: ServedCrawl, fleet: Fleet) -> None:
    def answer() -> list[Any]:
        with connect(crawl.token) as other:
            end = other.Pipe("talk")
            heard = [end.recv(), end.recv()]
            end.send(sum(heard))
            return heard

    with ThreadPoolExecutor(1) as pool:
        end = fleet.Pipe("talk")
        answering = pool.submit(answer)
        end.send(1)
        end.send(2)
        assert end.recv() == 3
        with pytest.raises(EOFError):
            end.recv()
        assert answering.result(10) == [1, 2]


def _echo(end: PipeEnd) -> None:
    for message in iter(end.recv, None):
        end.send(message)
    end.close()


def test_a_forked_process_uses_the_end_that_its_parent_closes(ends: tuple[PipeEnd, PipeEnd]) -> None:
    mine, its = ends
    child = multiprocessing.get_context("fork").Process(target=_echo, args=(its,), daemon=True)
    child.start()
    its.close()
    mine.send("hello")
    assert mine.recv() == "hello"
    mine.send(None)
    with pytest.raises(EOFError):
        mine.recv()
    child.join(10)
    assert child.exitcode == 0


def test_a_closed_connection_is_told(crawl: ServedCrawl) -> None:
    other = connect(crawl.token)
    end = other.Pipe("p")
    other.close()
    for use in (end.recv, end.poll, lambda: end.send(1), end.close):
        with pytest.raises(ValueError, match="closed"):
            use()
