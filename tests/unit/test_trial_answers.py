"""The answers that a trial keeps: one request for each address, however often its page is read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.messages import Kind, Outcome, Task
from crawlfleet.trial.answers import Answers
from crawlfleet.trial.messages import FROM_TRIAL, Answered, Asking
from crawlfleet.trial.saved_page import answer_of
from crawlfleet.worker.fetch.port import WHOLE, Fetched, Headers, Wanted
from crawlfleet.worker.pipeline import wanted_of

URL = "http://a.test/"
FETCHED = Fetched(
    url=URL,
    status=200,
    headers=Headers([("Content-Type", "text/html"), ("X", "1"), ("x", "2")]),
    body=b"\x00\xff",
    elapsed_s=0.5,
    remote_address="10.0.0.1",
    truncated=True,
    notes=("tls_cut",),
)


class Fetcher:
    """Gives answers, and notes what it was asked for."""

    def __init__(self, *answers: Fetched) -> None:
        self.left = list(answers)
        self.asked: list[str] = []
        self.wanted: list[Wanted] = []

    def fetch(self, url: str, wanted: Wanted = WHOLE) -> Fetched:
        self.wanted.append(wanted)
        self.asked.append(url)
        return self.left.pop(0)

    def close(self) -> None:
        """Nothing is open."""


def task(url: str = URL) -> Task:
    return Task(ref=b"r", kind=Kind.PAGE, url=url, depth=0)


def test_an_answer_survives_the_pipe() -> None:
    message = Answered.of(URL, FETCHED)
    received = FROM_TRIAL.decode(msgspec.msgpack.encode(message))
    assert isinstance(received, Answered)
    found = received.fetched()
    assert found.headers.pairs == FETCHED.headers.pairs
    assert found == msgspec.structs.replace(FETCHED, headers=found.headers)


def test_an_address_is_asked_for_once() -> None:
    told: list[object] = []
    fetcher = Fetcher(FETCHED)
    answers = Answers([], lambda: fetcher, wanted_of, told.append)
    assert answers.of(task()).body == answers.of(task()).body == FETCHED.body
    assert (fetcher.asked, fetcher.wanted) == ([URL], [WHOLE])
    assert [type(each) for each in told] == [Asking, Answered]
    later = Answers([Answered.of(URL, FETCHED)], Fetcher, wanted_of, told.append)
    assert later.of(task()).body == FETCHED.body


def test_what_failed_is_asked_for_again() -> None:
    failed = Fetched(url=URL, failure=Outcome.NETWORK_ERROR, reason="connect")
    fetcher = Fetcher(failed, *(Fetched(url=URL, status=status) for status in (503, 429, 404)))
    answers = Answers([], lambda: fetcher, wanted_of, lambda _: None)
    assert answers.of(task()).reason == "connect"
    assert [answers.of(task()).status for _ in range(4)] == [503, 429, 404, 404]


def test_an_answer_whose_body_was_not_wanted_is_kept_until_it_is() -> None:
    told: list[object] = []
    unread = msgspec.structs.replace(FETCHED, body=b"")
    answers = Answers([], lambda: Fetcher(unread), lambda _: Wanted(reads=lambda _: False), told.append)
    assert answers.of(task()).body == answers.of(task()).body == b""
    (kept,) = [each for each in told if isinstance(each, Answered)]
    later = Answers([kept], lambda: Fetcher(FETCHED), lambda _: Wanted(reads=lambda _: True), told.append)
    assert later.of(task()).body == later.of(task()).body == FETCHED.body


def test_a_file_is_an_answer_of_the_type_that_its_name_says(tmp_path: Path) -> None:
    for name, kind in {"a.html": "text/html", "a.json": "application/json", "a": None}.items():
        (tmp_path / name).write_text("x")
        assert answer_of(tmp_path / name, URL, 10).fetched().headers.get("content-type") == kind
    with pytest.raises(UsageError, match=r"larger than fetch\.max_size"):
        answer_of(tmp_path / "a.html", URL, 0)
    with pytest.raises(UsageError, match="cannot be read"):
        answer_of(tmp_path, URL, 0)
