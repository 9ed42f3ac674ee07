"""The page about crawls from a notebook: its blocks are the cells of one, which a kernel runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from crawlfleet.demo.server import serve
from tests.acceptance.crawls import run

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "crawl-from-python.md"
CELLS = re.findall(r"^```python cell\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
# It crawls five times, which takes long on a busy machine.
pytestmark = pytest.mark.timeout(400)
ADDRESS = "http://127.0.0.1:8765"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """Run the notebook; return it, and the folder that it ran in."""
    folder = tmp_path_factory.mktemp("notebook")
    site = serve(slow_s=0.0)
    try:
        base = site.base.rstrip("/")
        cells = [nbformat.v4.new_code_cell(cell.replace(ADDRESS, base)) for cell in CELLS]  # type: ignore[no-untyped-call]  # it has no types
        notebook = nbformat.v4.new_notebook(cells=cells)  # type: ignore[no-untyped-call]  # as above
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    finally:
        site.shutdown()
        site.server_close()
    return notebook, folder


def shown(cell: Any) -> str:
    """Return what a cell shows, as text."""
    outputs = cell["outputs"]
    return "".join(out.get("text", "") or out.get("data", {}).get("text/plain", "") for out in outputs)


def test_the_cells_show_what_the_page_says(ran: tuple[Any, Path]) -> None:
    types, authors, row, number, _, columns = map(shown, ran[0].cells)
    assert re.search(r"CrawlWarning: \d+ pages failed: \d+ http_404 \(last: http://", types)
    assert re.search(r"^price +float64$", types, re.MULTILINE)
    assert re.search(r"^copies +Int64$", types, re.MULTILINE)
    assert len(authors.splitlines()) == 5
    assert row.strip()
    assert int(number.splitlines()[-1]) > 100
    assert columns.startswith("['item', 'links', 'title', 'url']\n")


def test_the_folder_of_the_notebook_holds_a_crawl_that_is_proved(ran: tuple[Any, Path]) -> None:
    assert run(ran[1], "verify", "crawls/shop").returncode == 0
