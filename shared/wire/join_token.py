"""The join token: one line with which a worker finds a coordinator, verifies it, and is admitted.

`cf1:` and base64url of msgpack (addresses, port, fingerprint, secret) followed by four bytes of BLAKE2b. It
is a secret: anyone who has it may work for the crawl, read its results and stop it. Owns the token's form and its
file, and never opens a connection.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from crawlfleet.shared.errors import CrawlFailed, JoinError, WireError
from crawlfleet.shared.wire.identity import SECRET_BYTES, refuse_public, write_private
from crawlfleet.shared.wire.payload import dumps, loads

PREFIX = "cf1:"
FINGERPRINT_BYTES = 32
_CHECK_BYTES = 4
_MAX_ADDRESSES = 64
_MAX_ADDRESS_CHARS = 253
_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """Where a coordinator listens (hosts, best first; a port), its certificate's SHA-256, and its secret."""

    addresses: tuple[str, ...]
    port: int
    fingerprint: bytes
    secret: bytes = field(repr=False)

    def encode(self) -> str:
        """Write the token as one line to paste."""
        payload = dumps((self.addresses, self.port, self.fingerprint, self.secret))
        return PREFIX + base64.urlsafe_b64encode(payload + _check(payload)).decode("ascii").rstrip("=")

    @classmethod
    def parse(cls, text: str) -> JoinToken:
        """Parse a token, ignoring blanks and line breaks; raise `JoinError` if it is invalid."""
        compact = "".join(text.split())
        if not compact.startswith(PREFIX):
            raise JoinError(_not_a_token(compact))
        try:
            fields = loads(_checked_payload(compact.removeprefix(PREFIX)))
        except WireError as error:
            raise JoinError("the join token is damaged: copy it again, whole") from error
        match fields:
            case [list(addresses), int(port), bytes(fingerprint), bytes(secret)]:
                token = cls(addresses=tuple(addresses), port=port, fingerprint=fingerprint, secret=secret)
                if token._is_sound():
                    return token
        raise JoinError("the join token makes no sense: copy it again from the coordinator's output")

    def _is_sound(self) -> bool:
        return (
            0 < len(self.addresses) <= _MAX_ADDRESSES
            and all(_is_host(address) for address in self.addresses)
            and 0 < self.port <= _MAX_PORT
            and len(self.fingerprint) == FINGERPRINT_BYTES
            and len(self.secret) == SECRET_BYTES
        )


def is_written(path: Path) -> bool:
    """Say whether the file of a token is there and has content. What else is wrong with it, `read_token` tells."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError:
        return True


def read_token(path: Path) -> JoinToken:
    """Read a token from a file of mode 0600 (any mode below `/run/secrets`).

    Raise `JoinError` if it contains no valid token, `UsageError` if others can read the file.
    """
    try:
        refuse_public(path)
        text = path.read_text(encoding="ascii")
    except OSError as error:
        raise JoinError(f"cannot read the join token from {path}: {error.strerror}") from error
    except ValueError as error:
        raise JoinError(f"{path} holds no join token (it starts with {PREFIX})") from error
    try:
        return JoinToken.parse(text)
    except JoinError as error:
        raise JoinError(f"{path}: {error}") from error


def write_token(token: JoinToken, path: Path) -> None:
    """Write a token atomically to a file that only its owner can read; raise `CrawlFailed` if that fails."""
    try:
        write_private(path, token.encode().encode("ascii") + b"\n")
    except OSError as error:
        raise CrawlFailed(f"cannot write the join token to {path}: {error.strerror}") from error


def _checked_payload(encoded: str) -> bytes:
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise JoinError("the join token is mistyped or cut off: copy it again, whole") from error
    payload, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if check != _check(payload):
        raise JoinError("the join token is mistyped or cut off: copy it again, whole")
    return payload


def _check(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=_CHECK_BYTES).digest()


def _not_a_token(text: str) -> str:
    if text.startswith("cf") and text[2:].partition(":")[0].isdigit():
        return "the join token is of another version of crawlfleet: install the coordinator's version here"
    return f"this is no join token (it starts with {PREFIX}): copy the line that the coordinator printed"


def _is_host(address: object) -> bool:
    if not isinstance(address, str):
        return False
    return 0 < len(address) <= _MAX_ADDRESS_CHARS and address.isprintable() and " " not in address
