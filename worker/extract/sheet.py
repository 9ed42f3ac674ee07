"""What the rules of a job share about one page: what they have parsed of it, and what went wrong. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crawlfleet.shared.messages import MAX_SAMPLE_CHARS, MOST_UNCONVERTED, Unconverted
from crawlfleet.worker.extract import data
from crawlfleet.worker.extract.lazy import lazy
from crawlfleet.worker.extract.page import Page

if TYPE_CHECKING:
    from crawlfleet.worker.extract.xpath_tree import XPathTree


class Sheet:
    """A page under the rules. Each form of it is made at its first use.

    `lacking` says in sentences which required fields the row in work does not have, `refused` how many values could not
    be converted so far.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.lacking: list[str] = []
        self.refused = 0
        self._unconverted: dict[tuple[str, str], list[Any]] = {}

    @lazy
    def tree(self) -> XPathTree:
        """The page for XPath."""
        # Imported at the first use: lxml takes some MB.
        from crawlfleet.worker.extract.xpath_tree import XPathTree

        return XPathTree(self.page.engine, self.page.root)

    @lazy
    def document(self) -> Any:
        """The page as a JSON document; None if it is HTML, or none."""
        if self.page.is_html:
            return None
        body = self.page.body.removeprefix(b"\xef\xbb\xbf")
        found = data.parsed(body)
        return found if found is not None else data.parsed(self.page.text.removeprefix("\ufeff"))

    @lazy
    def linked_data(self) -> dict[str, Any]:
        """The objects of the page's JSON-LD."""
        return data.linked_data(self.page.engine, self.page.root) if self.page.root is not None else {}

    @lazy
    def microdata(self) -> dict[str, Any]:
        """The items of the page's microdata."""
        page = self.page
        return data.microdata(page.engine, page.root, page.resolve) if page.root is not None else {}

    @lazy
    def open_graph(self) -> dict[str, list[str]]:
        """The page's OpenGraph properties."""
        return data.open_graph(self.page.engine, self.page.root) if self.page.root is not None else {}

    @property
    def unconverted(self) -> tuple[Unconverted, ...]:
        """The fields with values that could not be converted: how many, and the first of them."""
        return tuple(
            Unconverted(item=item, field=field, number=number, sample=sample)
            for (item, field), (number, sample) in self._unconverted.items()
        )

    def refuse(self, item: str, field: str, value: Any) -> None:
        """Note a value that cannot be converted."""
        self.refused += 1
        found = self._unconverted.get((item, field))
        if found is not None:
            found[0] += 1
        elif len(self._unconverted) < MOST_UNCONVERTED:
            self._unconverted[item, field] = [1, sample_of(value)]


def sample_of(value: Any) -> str:
    """Return the beginning of a value as a text that can be sent."""
    text = value if isinstance(value, str) else repr(value)
    return text[:MAX_SAMPLE_CHARS].encode(errors="backslashreplace").decode()[:MAX_SAMPLE_CHARS]
