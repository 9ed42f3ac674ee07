"""The process below a caller, its supervisor, started before it is known what to crawl.

The caller may have other threads and any state, so nothing is forked.
"""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing import connection
from pathlib import Path

_ROOT = Path(__file__).parents[2]
# Started so, the current folder is not where modules are looked for: what lies there hides nothing.
_START = (
    "import sys; sys.path += {places}; from crawlfleet.shared.lean import load_structlog; load_structlog(); "
    "from crawlfleet.embedded.supervisor import main; main({descriptor})"
)


class Child:
    """A process that gets ready to be told what to crawl, and the pipe to it."""

    def __init__(self) -> None:
        self.pipe, theirs = connection.Pipe()
        # Where it is not installed, crawlfleet is found as it was found here.
        places = [place for place in map(os.path.abspath, sys.path) if Path(place) == _ROOT]
        start = _START.format(places=places, descriptor=theirs.fileno())
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", start],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            process_group=0,  # Ctrl-C is for the caller to decide about
        )
        theirs.close()

    def end(self) -> None:
        """End it before it was told anything."""
        self.pipe.close()
        self.process.kill()
        self.process.wait()
