"""Rows that are posted: what a receiver gets, what is sent again, and what ends the crawl."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.frontier.port import Mark
from crawlfleet.coordinator.job.change import difference
from crawlfleet.coordinator.offline.export import export, export_table
from crawlfleet.coordinator.offline.verify import verify
from crawlfleet.coordinator.sinks import webhook_sink
from crawlfleet.coordinator.sinks.port import Shape
from crawlfleet.coordinator.sinks.webhook_sink import Webhook
from crawlfleet.shared.errors import CrawlFailed
from crawlfleet.shared.messages import Row
from tests.results import result
from tests.shapes import QUOTES
from tests.unit.durable_crawl import DurableCrawl

NOWHERE = Path("nowhere")
LOG = [result(number, rows=number % 3) for number in range(1, 20)]


class Receiver(ThreadingHTTPServer):
    """Takes rows. `answers` are its next answers: a status, headers and a body; then it takes all."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.on_rows: Callable[[], None] = lambda: None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/rows"

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for body in self.bodies for row in body["rows"]]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers, said = self.server.answers.pop(0) if self.server.answers else (200, {}, b"")
        self.server.headers.append(dict(self.headers.items()))
        if status < 300:
            self.server.bodies.append(json.loads(body))
            self.server.on_rows()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let pauses of this thread take no time; return them."""
    taken: list[float] = []
    here, sleep = threading.get_ident(), time.sleep
    monkeypatch.setattr(time, "sleep", lambda s: taken.append(s) if threading.get_ident() == here else sleep(s))
    return taken


def kind_at(address: str, **more: Any) -> Webhook:
    return Webhook(Shape(layout=QUOTES.layout, address=address, crawl="shop", **more))


def send(kind: Webhook, *results: Result) -> None:
    with closing(kind.open(NOWHERE, None, power=False)) as sink:
        assert sink.write(results).results == len(results)


def test_rows_come_in_order_in_bounded_batches_each_with_its_own_id(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sink, "MAX_ROWS", 4)
    monkeypatch.setattr(webhook_sink, "MAX_BYTES", 5_000)
    long = msgspec.structs.replace(result(50), rows=(Row(item="quote", index=0, fields={"text": "x" * 9_000}),))
    kind = kind_at(receiver.address, headers=(("X-Token", "123"),))
    send(kind, *LOG, long, result(51))
    assert {body["crawl"] for body in receiver.bodies} == {"shop"}
    assert [len(body["rows"]) for body in receiver.bodies] == [4, 4, 4, 4, 3, 1, 1]
    assert [json.dumps(row) for row in receiver.rows] == [
        json.dumps(json.loads(row)) for each in (*LOG, long, result(51)) for row in kind.rows_of(each)
    ]
    assert list(receiver.rows[0]) == ["id", "url", "item", "n", "text"]
    assert len({row["id"] for row in receiver.rows}) == len(receiver.rows)
    assert receiver.headers[0]["X-Token"] == "123"
    assert receiver.headers[0]["Content-Type"] == "application/json"


def test_the_id_of_a_row_does_not_depend_on_what_it_says_and_its_own_gets_another_name() -> None:
    page = msgspec.structs.replace(result(1), rows=(Row(item="a", index=0, fields={"id": 5, "id_": 6}),))
    (row,) = webhook_sink.identified(page)
    assert row == {
        "id": next(webhook_sink.identified(result(1)))["id"],
        "url": page.url,
        "item": "a",
        "id__": 5,
        "id_": 6,
    }


@pytest.mark.parametrize(("status", "asked", "pause"), [(500, "", 0.1), (503, "7", 7.0), (429, "nonsense", 0.1)])
def test_what_may_be_taken_later_is_sent_again(
    status: int, asked: str, pause: float, receiver: Receiver, pauses: list[float]
) -> None:
    receiver.answers = [(status, {"Retry-After": asked} if asked else {}, b"")] * 2
    send(kind_at(receiver.address), result(1))
    assert [row["n"] for row in receiver.rows] == [1]
    assert pauses == [pause, max(pause, 0.2)]


@pytest.mark.usefixtures("far_from_utc")
def test_a_date_without_a_zone_by_which_to_come_again_is_in_utc(receiver: Receiver, pauses: list[float]) -> None:
    receiver.answers = [(503, {"Retry-After": time.asctime(time.gmtime(time.time() + 30))}, b"")]
    send(kind_at(receiver.address), result(1))
    (pause,) = pauses
    assert 20 < pause <= 30


def test_one_that_does_not_answer_ends_the_crawl_after_a_while_and_so_does_a_long_retry_after(
    receiver: Receiver, pauses: list[float]
) -> None:
    receiver.answers = [(503, {"Retry-After": "3600"}, b"tomorrow")]
    with pytest.raises(
        CrawlFailed, match=r"cannot write http://127.* 503 tomorrow; the next run sends what is missing"
    ):
        send(kind_at(receiver.address), result(1))
    assert pauses == []
    with pytest.raises(CrawlFailed, match=r"cannot write http://127.0.0.1:1/: no answer \(ConnectionError\); the next"):
        send(kind_at("http://127.0.0.1:1/"), result(1))
    assert 50 < sum(pauses) <= 60


@pytest.mark.parametrize(
    ("status", "said"),
    [(400, "it answers 400 no good \\? ro; run"), (302, "redirects are not followed"), (401, "it answers 401")],
)
def test_what_is_refused_ends_the_crawl_with_what_was_answered(
    status: int, said: str, receiver: Receiver, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sink, "MAX_SHOWN_CHARS", 12)
    receiver.answers = [(status, {"Location": "/other"}, b"no good\r\n\x1b row " + b"x" * 100_000)]
    with pytest.raises(CrawlFailed, match=said) as failed:
        send(kind_at(receiver.address, headers=(("X-Token", "s3cret"),)), result(1))
    assert "s3cret" not in str(failed.value)
    assert (pauses, receiver.rows) == ([], [])


def test_neither_proxies_nor_passwords_are_taken_from_the_environment(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login me password hunter2\n")
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    send(kind_at(receiver.address, headers=(("X-Token", "123"),)), result(1))
    send(kind_at(receiver.address, headers=(("Authorization", "Bearer 123"),)), result(2))
    assert [sent.get("Authorization") for sent in receiver.headers] == [None, "Bearer 123"]


def test_headers_are_not_shown_when_a_job_changes() -> None:
    old, new = ({"sinks": [{"to": "https://e.org", "headers": [["X-Token", value]]}]} for value in ("old1", "new1"))
    said = "\n".join(difference(old, new))
    assert "X-Token" in said
    assert "old1" not in said
    assert "new1" not in said


def test_a_crawl_sends_its_rows_and_an_export_the_same(receiver: Receiver, tmp_path: Path) -> None:
    crawl = DurableCrawl(tmp_path, sinks=(receiver.address,))
    crawl.begin()
    crawl.finish()
    assert len(receiver.rows) == 4
    crawl.write_sinks()  # again: there is nothing new
    assert len(receiver.rows) == 4
    crawl.close()
    assert verify(tmp_path).invariants[-1].name == f"{receiver.address} cannot be read back, and was not looked at"
    assert export(tmp_path, receiver.address) == (4, 4, 0, "", (receiver.address,))
    assert sorted(Counter(row["id"] for row in receiver.rows).values()) == [2, 2, 2, 2]
    rows = export_table(tmp_path, "urls", receiver.address).rows
    assert len({row["id"] for row in receiver.rows}) == 4 + rows


def test_after_the_log_was_cut_the_rows_of_what_is_fetched_then_are_sent() -> None:
    with closing(kind_at("http://127.0.0.1:1/").open(NOWHERE, Mark(results=9), power=False)) as sink:
        assert sink.restore(iter(()), 4).results == 4


def test_a_death_at_any_call_loses_no_row(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_sink, "MAX_ROWS", 4)
    kind = kind_at(receiver.address)
    wanted = [json.loads(row)["id"] for each in LOG for row in kind.rows_of(each)]
    deaths = 0
    for call in range(0, 100_000, 400):
        receiver.bodies.clear()
        died = _dies(kind, call)
        before = [row["id"] for row in receiver.rows]
        assert before == wanted[: len(before)]
        if died:
            send(kind, *LOG)
            assert [row["id"] for row in receiver.rows] == before + wanted
        deaths += died
        if not died:
            break
    assert deaths > 5


def _dies(kind: Webhook, call: int) -> bool:
    """Send the log in a process that is killed at its n-th call or return; say whether it came to that."""
    process = multiprocessing.get_context("fork").Process(target=_send_and_die, args=(kind, call))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def _send_and_die(kind: Webhook, call: int) -> None:
    left = iter(range(call))

    def count(*_: object) -> None:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    send(kind, *LOG)
    sys.setprofile(None)
