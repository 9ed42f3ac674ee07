"""Names that users read, each with a sentence that says what it means."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Meant(StrEnum):
    """Base of such names. A value is its name, `meaning` the sentence that stands beside it wherever users read it."""

    meaning: str

    def __new__(cls, name: str, meaning: str = "") -> Self:
        meant = str.__new__(cls, name)
        meant._value_ = name
        meant.meaning = meaning
        return meant
