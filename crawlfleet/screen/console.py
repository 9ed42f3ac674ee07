"""Where a user reads: a terminal, or the file to which the output is redirected."""

from __future__ import annotations

import rich.console

from crawlfleet.shared.inert import inert_lines


class Console(rich.console.Console):
    """rich's console, with a method that prints a sentence as it is."""

    def say(self, sentence: str, style: str | None = None) -> None:
        """Print a sentence, and lines below it, without interpreting markup or colouring numbers; what is not
        printable is shown as escapes."""
        self.print(inert_lines(sentence), style=style, markup=False, highlight=False, soft_wrap=True)
