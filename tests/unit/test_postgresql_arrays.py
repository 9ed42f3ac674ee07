"""Arrays for PostgreSQL are read as psycopg reads what a server sends."""

from __future__ import annotations

from typing import Any
from uuid import UUID as Uuid

import pytest
from psycopg.adapt import Transformer
from psycopg.pq import Format

from crawlfleet.coordinator.frontier.postgresql.arrays import BOOL, FLOAT8, INT4, INT8, byteas, plain, texts, uuids
from crawlfleet.coordinator.frontier.postgresql.schema import LONGEST_KEY_BYTES, stored_key

# The numbers of the types of arrays.
_BOOLS, _BYTEAS, _INT4S, _TEXTS, _INT8S, _FLOAT8S, _UUIDS = 1000, 1001, 1007, 1009, 1016, 1022, 2951


def read(oid: int, data: bytes) -> Any:
    return Transformer().get_loader(oid, Format.BINARY).load(data)


@pytest.mark.parametrize(
    ("oid", "data", "values"),
    [
        pytest.param(_BOOLS, plain(BOOL, (True, False)), [True, False], id="truth values"),
        pytest.param(_INT4S, plain(INT4, (0, -1, 2**31 - 1)), [0, -1, 2**31 - 1], id="integers"),
        pytest.param(_INT8S, plain(INT8, (1, -(2**63))), [1, -(2**63)], id="large integers"),
        pytest.param(_FLOAT8S, plain(FLOAT8, (0.1, 7)), [0.1, 7.0], id="numbers"),
        pytest.param(
            _UUIDS, uuids([bytes(16), b"abcdefghijklmnop"]), [bytes(16), b"abcdefghijklmnop"], id="fingerprints"
        ),
        pytest.param(_BYTEAS, byteas([b"", b"\0row"]), [b"", b"\0row"], id="rows"),
        pytest.param(_TEXTS, texts(["", "ü"]), ["", "ü"], id="texts"),
        pytest.param(_INT8S, plain(INT8, ()), [], id="no integers"),
        pytest.param(_UUIDS, uuids(()), [], id="no fingerprints"),
        pytest.param(_BYTEAS, byteas(()), [], id="no rows"),
    ],
)
def test_an_array_is_read_as_it_was_packed(oid: int, data: bytes, values: list[Any]) -> None:
    assert [value.bytes if isinstance(value, Uuid) else value for value in read(oid, data)] == values


def test_keys_keep_their_order_and_long_ones_stay_apart() -> None:
    for keys in ([-5, 0, 3, 2**40], ["", "http://a.test", "http://ä.test"], [b"\0", b"a"]):
        stored = [stored_key(key) for key in keys]
        assert stored == sorted(set(stored))
    long = ["a" * LONGEST_KEY_BYTES, "a" * (LONGEST_KEY_BYTES + 1), "a" * 9_000 + "b", "a" * 9_000 + "c"]
    assert len({stored_key(key) for key in long}) == len(long)
    assert max(len(stored_key(key)) for key in long) == LONGEST_KEY_BYTES + 1
