"""A file of certificates that a job trusts beside the usual ones. Every refusal is a `ValueError` with one sentence."""

from __future__ import annotations

import ssl
from pathlib import Path

MAX_BYTES = 1024 * 1024


def read_ca_file(path: Path) -> str:
    """Return the text of a file of certificates (PEM); raise `ValueError` if it is unreadable or holds none."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("ascii")
    except FileNotFoundError as error:
        raise ValueError(f"there is no file {path}: paths are relative to the job file") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no PEM: write the certificates as text") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{path} cannot be read ({reason}): check it and its permissions") from error
    if len(text) > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES // 1024} KiB: leave out what is not needed")
    if "PRIVATE KEY-----" in text:
        raise ValueError(f"{path} holds a private key, which workers would be sent: take it out")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"{path} holds no certificates in PEM: check it with openssl x509 -in {path.name}") from error
    return text
