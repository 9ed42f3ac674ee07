"""How Sphinx makes a site of these pages: `make docs`. The pages themselves are plain Markdown, for a forge too."""

from __future__ import annotations

import shutil
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "crawlfleet"
author = "the crawlfleet authors"
version = release = installed("crawlfleet")
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "README"
html_theme = "furo"
html_title = f"crawlfleet {release}"
html_copy_source = False
html_show_copyright = False
nitpicky = False

# Links lead to headings by the anchors that forges make.
myst_heading_anchors = 4
# Docstrings say `name` for code, as Markdown does.
default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"

CONTENTS = """
```{toctree}
:hidden:
:caption: Learn
tutorial
```
```{toctree}
:hidden:
:caption: Do
:glob:
how-to/*
your-own-code
```
```{toctree}
:hidden:
:caption: Look up
:glob:
reference/*
glossary
conformance
```
```{toctree}
:hidden:
:caption: Understand
:glob:
architecture
benchmarks
explanation/*
decisions/*
```
"""


def add_contents(_app: Sphinx, name: str, source: list[str]) -> None:
    """Add the contents to the first page: what a forge shows must not end in directives."""
    if name == root_doc:
        source[0] += CONTENTS


def add_index(app: Sphinx, error: Exception | None) -> None:
    """Let the site begin at the name that servers ask for."""
    if error is None and app.builder.format == "html":
        shutil.copy(Path(app.outdir) / f"{root_doc}.html", Path(app.outdir) / "index.html")


def setup(app: Sphinx) -> None:
    """Let Sphinx call what is defined here."""
    app.connect("source-read", add_contents)
    app.connect("build-finished", add_index)
