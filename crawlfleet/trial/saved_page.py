"""A file in the place of a page: what is read is its content, as if a server had answered with it."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from crawlfleet.shared.errors import UsageError
from crawlfleet.trial.messages import Answered
from crawlfleet.worker.fetch.port import Fetched, Headers


def answer_of(file: Path, url: str, most_bytes: int) -> Answered:
    """Return a file as if it had come from `url`; its type follows from its name. Raise `UsageError` if it cannot."""
    try:
        with file.open("rb") as opened:
            body = opened.read(most_bytes + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}): check its name and permissions") from error
    if len(body) > most_bytes:
        raise UsageError(f"{file} is larger than fetch.max_size ({most_bytes:,} bytes): set that to more")
    kind, _ = mimetypes.guess_type(file.name, strict=False)
    headers = Headers([("content-type", kind)] if kind is not None else ())
    return Answered.of(url, Fetched(url=url, status=200, headers=headers, body=body))
