"""An item rule in the making: what a starter job has of it."""

from __future__ import annotations

from typing import Any, NamedTuple

from crawlfleet.starter.fields import Guess


class Rule(NamedTuple):
    """A rule. `each` and `when` are as in a job, a selector or a mapping; `about` is a comment."""

    name: str
    fields: list[Guess]
    each: Any = None
    when: Any = None
    about: str = ""

    def data(self) -> dict[str, Any]:
        """Return the rule as plain data, as a job has it."""
        ways = {key: value for key, value in (("when", self.when), ("each", self.each)) if value is not None}
        return {"name": self.name, **ways, "fields": {guess.name: guess.form for guess in self.fields}}
