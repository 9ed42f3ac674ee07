"""A certificate authority of the tests' own, and the certificates that it signs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_START = datetime(2020, 1, 1, tzinfo=UTC)


class Authority:
    """Signs certificates; `pem` is its own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("authority of the tests")
        certificate = (
            self._builder(self._name, self._key, _START + timedelta(days=36_500))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()

    def sign(
        self,
        path: Path,
        address: str = "127.0.0.1",
        until: datetime | None = None,
        name: str = "",
        since: datetime = _START,
    ) -> Path:
        """Write a certificate for an address, or a name, and its key, to a file."""
        key = ec.generate_private_key(ec.SECP256R1())
        named = x509.DNSName(name) if name else x509.IPAddress(IPv4Address(address))
        certificate = (
            self._builder(_name(address), key, until or _START + timedelta(days=36_500), since)
            .add_extension(x509.SubjectAlternativeName([named]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _write(path, key, certificate)

    def _builder(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime, since: datetime = _START
    ) -> x509.CertificateBuilder:
        number = x509.random_serial_number()
        return x509.CertificateBuilder(self._name, name, key.public_key(), number, since, until)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def self_signed(path: Path, address: str = "127.0.0.1") -> Path:
    """Write a certificate for an address that nobody else has signed, and its key, to a file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), _name(address)
    until, number = _START + timedelta(days=36_500), x509.random_serial_number()
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), number, _START, until)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(address))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _write(path, key, certificate)


def _write(path: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Path:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path
