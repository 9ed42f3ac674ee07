"""A short look at each fuzz target, with the same inputs every time; `python -m tests.hostile.fuzz` looks longer."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.hostile.fuzz.examples import turn
from tests.hostile.fuzz.guided import Current, SlowInput, attempt, dictionary, executions_in, look, shortened
from tests.hostile.fuzz.ledger import Account, Ledger
from tests.hostile.fuzz.target import SEPARATOR, Inputs, Target, any_of, bytes_of, numbers, text_of, together
from tests.hostile.fuzz.targets import SUBJECTS, TARGETS

SEED, EXAMPLES = 1, 60


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_nothing_is_found(name: str) -> None:
    assert turn(TARGETS[name], SEED, EXAMPLES) >= EXAMPLES // 2
    for sample in TARGETS[name].inputs.samples:
        attempt(TARGETS[name], sample)


def test_every_target_belongs_to_one_subject() -> None:
    assert sorted(name for names in SUBJECTS.values() for name in names) == sorted(TARGETS)


def _fail_at_b(data: bytes) -> None:
    assert b"b" not in data


BROKEN = Target(Inputs(st.binary(), bytes), _fail_at_b)


def test_an_error_and_a_slow_input_are_found() -> None:
    with pytest.raises(AssertionError):
        turn(Target(Inputs(st.just(b"b"), bytes), _fail_at_b), SEED, 1)

    def spin(_: bytes) -> None:
        assert sum(range(2_000_000)) > 0

    with pytest.raises(SlowInput):
        attempt(Target(Inputs(st.just(b""), bytes), spin), b"", 0.001)
    with pytest.raises(AssertionError):
        attempt(BROKEN, b"b")


def test_a_find_is_shortened_and_told_until_it_is_none_any_more(tmp_path: Path) -> None:
    file = tmp_path / "find"
    file.write_bytes(b"aaabaaaaaab")
    said = look(BROKEN, file)
    assert file.read_bytes() == b"b"
    assert said.startswith("b'b'\n")
    assert "AssertionError" in said
    assert look(Target(BROKEN.inputs, len), file) == ""


def test_shortening_ends_with_its_time() -> None:
    assert shortened(b"abc", lambda _: True, time.monotonic() - 1) == b"abc"


def test_bytes_are_read_to_each_kind_of_input() -> None:
    inputs = together(text_of("a", "\ud800"), any_of(("x", "y")), numbers(20), bytes_of(b"p"))
    data = SEPARATOR.join((b"t\xed\xa0\x80", b"\x03", b"\x16", b"rest" + SEPARATOR + b"more"))
    assert inputs.read(data) == ("t\ud800", "y", 1, b"rest" + SEPARATOR + b"more")
    assert inputs.read(b"\xff") == ("\udcff", "x", 0, b"")
    assert [inputs.read(sample) for sample in inputs.samples] == [("a\ud800", "x", 0, b"p"), ("a\ud800", "y", 7, b"p")]
    assert dictionary(Target(inputs, len)).splitlines()[0] == r'"\x61"'


def test_what_libfuzzer_says_is_read() -> None:
    assert executions_in("INFO: x\nstat::number_of_executed_units: 58846\nstat::average") == 58_846
    assert executions_in("killed") == 0


def test_the_input_of_a_process_that_dies_is_kept(tmp_path: Path) -> None:
    current = Current(tmp_path / "current")
    current.put(b"longer")
    current.put(b"short")
    assert Current.read(tmp_path / "current") == b"short"


def test_time_is_divided_by_subject_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    subjects = {"a": ("a1", "a2"), "b": ("b1",)}
    ledger = Ledger(tmp_path / "ledger.json", subjects)
    turns = []
    for _ in range(6):
        name = ledger.next()
        assert name is not None
        turns.append(name)
        ledger.add(name, Account(60.0, 1_000, 0))
    assert sorted(turns) == ["a1", "a1", "a2", "b1", "b1", "b1"]
    ledger = Ledger(tmp_path / "ledger.json", subjects)
    assert ledger.of("a") == Account(180.0, 3_000, 0)
    assert ledger.next() == "a2"
    assert ledger.next({"a1", "a2"}) == "b1"
    assert ledger.next({"a1", "a2", "b1"}) is None
    assert "| a | a1, a2 | 3.0 | 3,000 | 0 |" in ledger.table()
