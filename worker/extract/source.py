"""What a page is parsed from: its body, as it arrived."""

from __future__ import annotations

from crawlfleet.worker.extract.charset import decode
from crawlfleet.worker.extract.lazy import lazy


class Source:
    """A body, and the content type that its header declares, with its parameters."""

    def __init__(self, body: bytes, content_type: str) -> None:
        self.body = body
        self.content_type = content_type

    @lazy
    def text(self) -> str:
        """The body as text, in the encoding that it declares."""
        return decode(self.body, self.content_type)
