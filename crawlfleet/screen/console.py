"""Where a person reads: a terminal, or the file that it is redirected to."""

from __future__ import annotations

import rich.console


class Console(rich.console.Console):
    """rich's console, with a way to print a sentence as it is."""

    def say(self, sentence: str, style: str | None = None) -> None:
        """Print a sentence: nothing in it is markup, no number is coloured, no line is broken but by the terminal."""
        self.print(sentence, style=style, markup=False, highlight=False, soft_wrap=True)
