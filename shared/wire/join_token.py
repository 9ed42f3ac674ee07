"""The join token: one line with which a worker finds a coordinator, verifies it, and is admitted.

`cf2:` and base64url of msgpack (addresses, fingerprint, secret) followed by four bytes of BLAKE2b; an address is a
host and a port. In the form before it, `cf1:`, all addresses have one port: it is still read. The token is a secret:
anyone who has it may work for the crawl, read its results and stop it. Owns the token's form and its file, and never
opens a connection.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

from msgspec import Meta, ValidationError, convert

from crawlfleet.shared.errors import CrawlFailed, JoinError, WireError
from crawlfleet.shared.ranges import MOST_ADDRESSES, HostName, Port
from crawlfleet.shared.wire.binding import Address
from crawlfleet.shared.wire.identity import SECRET_BYTES, refuse_public, write_private
from crawlfleet.shared.wire.payload import dumps, loads

PREFIX = "cf2:"
FORMER_PREFIX = "cf1:"
FINGERPRINT_BYTES = 32
_CHECK_BYTES = 4

_Fingerprint = Annotated[bytes, Meta(min_length=FINGERPRINT_BYTES, max_length=FINGERPRINT_BYTES)]
_Secret = Annotated[bytes, Meta(min_length=SECRET_BYTES, max_length=SECRET_BYTES)]
_Some = Meta(min_length=1, max_length=MOST_ADDRESSES)
_Content = tuple[Annotated[tuple[tuple[HostName, Port], ...], _Some], _Fingerprint, _Secret]
_FormerContent = tuple[Annotated[tuple[HostName, ...], _Some], Port, _Fingerprint, _Secret]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """Where the coordinators of a crawl listen (best first), their certificate's SHA-256, and their secret."""

    addresses: tuple[Address, ...]
    fingerprint: bytes
    secret: bytes = field(repr=False)

    def encode(self) -> str:
        """Write the token as one line to paste."""
        payload = dumps((self.addresses, self.fingerprint, self.secret))
        return PREFIX + base64.urlsafe_b64encode(payload + _check(payload)).decode("ascii").rstrip("=")

    @classmethod
    def parse(cls, text: str) -> JoinToken:
        """Parse a token, ignoring blanks and line breaks; raise `JoinError` if it is invalid."""
        compact = "".join(text.split())
        prefix = compact[: len(PREFIX)]
        if prefix not in (PREFIX, FORMER_PREFIX):
            raise JoinError(_not_a_token(compact))
        try:
            fields = loads(_checked_payload(compact.removeprefix(prefix)))
        except WireError as error:
            raise JoinError("the join token is damaged: copy it again, whole") from error
        try:
            return _token_of(fields, is_former=prefix == FORMER_PREFIX)
        except ValidationError as error:
            raise JoinError("the join token makes no sense: copy it again from the coordinator's output") from error


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


def _token_of(fields: object, *, is_former: bool) -> JoinToken:
    """Return the token of a decoded payload; raise `ValidationError` if there is none in it."""
    if is_former:
        hosts, port, fingerprint, secret = convert(fields, _FormerContent)
        addresses: tuple[Address, ...] = tuple((host, port) for host in hosts)
    else:
        addresses, fingerprint, secret = convert(fields, _Content)
    return JoinToken(addresses=addresses, fingerprint=fingerprint, secret=secret)


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
