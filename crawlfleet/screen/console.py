"""Where a user reads: a terminal, or the file to which the output is redirected."""

from __future__ import annotations

import rich.console


class Console(rich.console.Console):
    """rich's console, with a method that prints a sentence unchanged."""

    def say(self, sentence: str, style: str | None = None) -> None:
        """Print a sentence without interpreting markup, colouring numbers or breaking lines."""
        self.print(sentence, style=style, markup=False, highlight=False, soft_wrap=True)
