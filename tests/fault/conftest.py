"""Names the mark of what takes long here."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: real processes for many seconds; `make test` leaves it out")
