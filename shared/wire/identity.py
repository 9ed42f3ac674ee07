"""The identity of a coordinator: its certificate, its private key, and the secret that admits workers.

Owns the three files in a crawl's folder and nothing else. The certificate is self-signed and trusted only by its
fingerprint, so its names and dates have no meaning.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import secrets
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from crawlfleet.shared.errors import UsageError

SECRET_BYTES = 32
CERTIFICATE_FILE = "coordinator.crt"
KEY_FILE = "coordinator.key"
SECRET_FILE = "secret"  # noqa: S105  # its name
IDENTITY_FILES = (CERTIFICATE_FILE, KEY_FILE, SECRET_FILE)

# A container's secrets are bind mounts; users cannot choose their mode.
_EXEMPT_FOLDER = Path("/run/secrets")
_VALID_FROM = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_VALID_UNTIL = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A coordinator's certificate and private key (PEM) and its secret (32 bytes)."""

    certificate: bytes
    key: bytes = field(repr=False)
    secret: bytes = field(repr=False)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the certificate in DER: 32 bytes."""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.certificate.decode("ascii"))).digest()


def load_or_create(folder: Path) -> Identity:
    """Read the identity in `folder`, or create one at the first start.

    Raise `UsageError` if a file is missing, damaged, or readable by others than its owner.
    """
    if not (folder / CERTIFICATE_FILE).exists():
        _create(folder)
    return Identity(
        certificate=_read_certificate(folder / CERTIFICATE_FILE),
        key=_read(folder / KEY_FILE),
        secret=_read_secret(folder / SECRET_FILE),
    )


def refuse_public(path: Path) -> None:
    """Raise `UsageError` if a file with a secret can be read by group or others."""
    if path.resolve().is_relative_to(_EXEMPT_FOLDER):
        return
    if path.stat().st_mode & 0o077:
        raise UsageError(f"{path} is open to other users: run `chmod 600 {path}`")


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 atomically: it exists completely or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _create(folder: Path) -> None:
    """Write the certificate last: if it exists, the other two files are complete."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / SECRET_FILE).exists():
            write_private(folder / SECRET_FILE, secrets.token_hex(SECRET_BYTES).encode() + b"\n")
        certificate, key = _make_certificate()
        write_private(folder / KEY_FILE, key)
        write_private(folder / CERTIFICATE_FILE, certificate)
    except OSError as error:
        raise UsageError(f"cannot write the coordinator's key in {folder}: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        if path.name != CERTIFICATE_FILE:
            refuse_public(path)
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read {path} ({error.strerror}): put it back, or delete {CERTIFICATE_FILE} beside it "
            "to make a new identity, which makes all join tokens given out so far void"
        ) from error


def _read_certificate(path: Path) -> bytes:
    certificate = _read(path)
    try:
        ssl.PEM_cert_to_DER_cert(certificate.decode("ascii"))
    except ValueError as error:
        raise UsageError(f"{path} is not a PEM certificate: put it back, or delete it to make a new one") from error
    return certificate


def _read_secret(path: Path) -> bytes:
    try:
        secret = bytes.fromhex(_read(path).decode("ascii").strip())
    except ValueError as error:
        raise UsageError(f"{path} does not hold hexadecimal digits: put it back, or delete it") from error
    if len(secret) != SECRET_BYTES:
        raise UsageError(f"{path} holds {len(secret)} bytes where {SECRET_BYTES} are needed: put it back")
    return secret


def _make_certificate() -> tuple[bytes, bytes]:
    """Make a self-signed certificate and its key (EC P-256), both in PEM."""
    # Imported here, because a coordinator needs it only once, and the import takes a tenth of a second.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "crawlfleet coordinator")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_UNTIL)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key_pem
