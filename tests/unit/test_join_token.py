"""The join token: what is pasted is what was printed, or a sentence says what is wrong with it."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlfleet.shared.errors import CrawlFailed, JoinError, UsageError
from crawlfleet.shared.wire import identity as identity_files
from crawlfleet.shared.wire.join_token import (
    FORMER_PREFIX,
    PREFIX,
    JoinToken,
    _check,
    is_written,
    read_token,
    write_token,
)
from crawlfleet.shared.wire.machine import own_addresses
from crawlfleet.shared.wire.payload import dumps

TOKEN = JoinToken(
    addresses=(("10.0.0.7", 40_000), ("127.0.0.1", 40_000), ("b.example", 7_320)),
    fingerprint=bytes(32),
    secret=b"s" * 32,
)
HOSTS = st.from_regex(r"[a-z0-9.:-]{1,40}", fullmatch=True)
ADDRESSES = st.lists(st.tuples(HOSTS, st.integers(1, 65_535)), min_size=1, max_size=8).map(tuple)
SECRETS = st.binary(min_size=32, max_size=32)


def token_text(prefix: str, payload: bytes) -> str:
    """Return a token of any content, with the checksum that belongs to it."""
    return prefix + base64.urlsafe_b64encode(payload + _check(payload)).decode().rstrip("=")


@given(ADDRESSES, SECRETS, SECRETS)
def test_a_token_survives_the_clipboard(
    addresses: tuple[tuple[str, int], ...], fingerprint: bytes, secret: bytes
) -> None:
    token = JoinToken(addresses=addresses, fingerprint=fingerprint, secret=secret)
    assert JoinToken.parse(token.encode()) == token


def test_a_token_of_the_form_before_this_one_has_the_same_port_at_each_host() -> None:
    former = token_text(FORMER_PREFIX, dumps((["10.0.0.7", "::1"], 40_000, bytes(32), b"s" * 32)))
    assert JoinToken.parse(former) == replace(TOKEN, addresses=(("10.0.0.7", 40_000), ("::1", 40_000)))


def test_a_token_is_one_word_of_a_shell() -> None:
    text = TOKEN.encode()
    assert text.startswith("cf2:")
    assert set(text.removeprefix("cf2:")) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_line_ends_that_a_terminal_put_in_do_not_matter() -> None:
    text = TOKEN.encode()
    assert JoinToken.parse(f"  {text[:50]}\r\n  {text[50:]}\n") == TOKEN


def test_each_mistyped_character_is_noticed() -> None:
    text = TOKEN.encode()
    for place in range(4, len(text)):
        wrong = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        with pytest.raises(JoinError, match=r"mistyped or cut off|damaged"):
            JoinToken.parse(wrong)


def test_each_cut_is_noticed() -> None:
    text = TOKEN.encode()
    for end in range(len(text)):
        with pytest.raises(JoinError):
            JoinToken.parse(text[:end])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no join token"),
        ("hello", "no join token"),
        ("http://10.0.0.7:40000", "no join token"),
        ("cf3:AAAA", "another version"),
        ("cf1:", "mistyped"),
        ("cf2:", "mistyped"),
        ("cf2:ä", "mistyped"),
        ("cf2:AA+/", "mistyped"),
    ],
)
def test_what_is_no_token_is_told_in_a_sentence(text: str, says: str) -> None:
    with pytest.raises(JoinError, match=says) as caught:
        JoinToken.parse(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"addresses": ()},
        {"addresses": (("", 1),)},
        {"addresses": (("a b", 1),)},
        {"addresses": (("a\n", 1),)},
        {"addresses": (("h" * 300, 1),)},
        {"addresses": (("h", 0),)},
        {"addresses": (("h", 70_000),)},
        {"addresses": (("h", 1),) * 65},
        {"fingerprint": b"short"},
        {"secret": b"short"},
    ],
)
def test_a_token_that_makes_no_sense_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(JoinError, match="makes no sense"):
        JoinToken.parse(replace(TOKEN, **changes).encode())  # type: ignore[arg-type]  # one field is wrong


@pytest.mark.parametrize("prefix", [PREFIX, FORMER_PREFIX])
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        dumps(None),
        dumps([]),
        dumps([["h"], "1", b"", b""]),
        dumps([[5], 1, bytes(32), bytes(32)]),
        dumps([[["h", "1"]], bytes(32), bytes(32)]),
        dumps([[["h", 1, 2]], bytes(32), bytes(32)]),
    ],
    ids=["nothing", "no msgpack", "none", "empty", "port", "number", "text for a port", "three"],
)
def test_a_token_of_other_content_is_refused(payload: bytes, prefix: str) -> None:
    with pytest.raises(JoinError):
        JoinToken.parse(token_text(prefix, payload))


def test_the_secret_is_not_shown() -> None:
    assert "sss" not in repr(TOKEN)
    assert base64.b64encode(TOKEN.secret).decode() not in repr(TOKEN)


def test_a_token_is_read_from_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN.encode() + "\n")
    path.chmod(0o600)
    assert read_token(path) == TOKEN


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN.encode())
    path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        read_token(path)


def test_a_container_secret_may_have_any_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity_files, "_EXEMPT_FOLDER", tmp_path)
    path = tmp_path / "token"
    path.write_text(TOKEN.encode())
    path.chmod(0o444)
    assert read_token(path) == TOKEN


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"no token", b"cf2:AAAA"])
def test_a_file_without_a_token_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(JoinError, match=str(path)):
        read_token(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(JoinError, match=str(tmp_path / "none")):
        read_token(tmp_path / "none")


def test_only_a_file_that_may_still_come_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "token"
    assert not is_written(path)
    path.touch()
    assert not is_written(path)
    path.write_text("anything")
    assert is_written(path)
    assert is_written(path / "below")
    with pytest.raises(JoinError, match="Not a directory"):
        read_token(path / "below")


@pytest.mark.parametrize("ipv6", [False, True])
def test_a_machine_can_always_be_reached_from_itself(ipv6: bool) -> None:
    addresses = own_addresses(ipv6=ipv6)
    assert addresses[-1] == "127.0.0.1"
    assert len(set(addresses)) == len(addresses)


def test_a_written_token_is_read_again_and_only_by_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "join-token"
    path.write_text("the token of an earlier run\n")
    path.chmod(0o644)
    write_token(TOKEN, path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_token(path) == TOKEN
    assert path.read_text().count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_token_that_cannot_be_written_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(CrawlFailed, match=r"cannot write the join token to .*/away/join-token: No such file"):
        write_token(TOKEN, tmp_path / "away" / "join-token")
