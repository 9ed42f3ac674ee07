"""A coordinator's identity: made once, kept private, refused when it is not."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.wire import identity as identity_files
from crawlfleet.shared.wire.identity import (
    CERTIFICATE_FILE,
    KEY_FILE,
    SECRET_FILE,
    Identity,
    load_or_create,
    refuse_public,
    write_private,
)

FILES = (CERTIFICATE_FILE, KEY_FILE, SECRET_FILE)


def test_the_first_start_makes_three_private_files_and_leaves_no_drafts(tmp_path: Path) -> None:
    folder = tmp_path / "crawls" / "quotes"
    load_or_create(folder)
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == dict.fromkeys(FILES, 0o600)


def test_later_starts_find_the_same_identity(tmp_path: Path) -> None:
    first = load_or_create(tmp_path)
    assert load_or_create(tmp_path) == first
    assert len(first.secret) == 32
    assert len(first.fingerprint) == 32


def test_two_crawls_have_nothing_in_common(tmp_path: Path) -> None:
    one, other = load_or_create(tmp_path / "one"), load_or_create(tmp_path / "other")
    assert one.fingerprint != other.fingerprint
    assert one.secret != other.secret
    assert one.key != other.key


def test_an_unfinished_first_start_is_done_again(tmp_path: Path) -> None:
    kept = load_or_create(tmp_path).secret
    (tmp_path / CERTIFICATE_FILE).unlink()
    identity = load_or_create(tmp_path)
    assert identity.secret == kept
    assert load_or_create(tmp_path) == identity


@pytest.mark.parametrize("name", [KEY_FILE, SECRET_FILE])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_secret_that_others_can_reach_is_refused_with_the_command_to_run(
    tmp_path: Path, name: str, mode: int
) -> None:
    load_or_create(tmp_path)
    (tmp_path / name).chmod(mode)
    with pytest.raises(UsageError, match=f"run `chmod 600 {tmp_path / name}`"):
        load_or_create(tmp_path)


def test_a_container_secret_may_have_any_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity_files, "_EXEMPT_FOLDER", tmp_path)
    identity = load_or_create(tmp_path / "crawl")
    for name in FILES:
        (tmp_path / "crawl" / name).chmod(0o444)
    assert load_or_create(tmp_path / "crawl") == identity


def test_a_link_out_of_the_exempt_folder_is_not_exempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity_files, "_EXEMPT_FOLDER", tmp_path / "secrets")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "public").write_text("x")
    (tmp_path / "public").chmod(0o644)
    (tmp_path / "secrets" / "link").symlink_to(tmp_path / "public")
    with pytest.raises(UsageError):
        refuse_public(tmp_path / "secrets" / "link")


@pytest.mark.parametrize("name", [KEY_FILE, SECRET_FILE])
def test_a_missing_file_is_told_and_not_made_anew(tmp_path: Path, name: str) -> None:
    load_or_create(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(UsageError, match=str(tmp_path / name)):
        load_or_create(tmp_path)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [(SECRET_FILE, "no digits"), (SECRET_FILE, "abcd"), (SECRET_FILE, ""), (CERTIFICATE_FILE, "\xff no PEM")],
)
def test_a_damaged_file_is_reported(tmp_path: Path, name: str, content: str) -> None:
    load_or_create(tmp_path)
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match=str(tmp_path / name)):
        load_or_create(tmp_path)


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        load_or_create(tmp_path / "file" / "crawl")


def test_the_certificate_fits_the_key(tmp_path: Path) -> None:
    load_or_create(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / CERTIFICATE_FILE, tmp_path / KEY_FILE)


def test_secrets_are_not_shown() -> None:
    shown = repr(Identity(certificate=b"public", key=b"hidden-key", secret=b"hidden-secret"))
    assert "hidden" not in shown


def test_a_known_identity_is_loaded_without_the_cryptography_library(tmp_path: Path) -> None:
    load_or_create(tmp_path)
    script = (
        "import sys; from pathlib import Path; from crawlfleet.shared.wire.identity import load_or_create;"
        "load_or_create(Path(sys.argv[1])).fingerprint; sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script, tmp_path], check=False, timeout=60).returncode == 0


def test_a_private_file_that_cannot_take_its_place_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "token").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_private(tmp_path / "token", b"secret")
    assert [path.name for path in tmp_path.iterdir()] == ["token"]
