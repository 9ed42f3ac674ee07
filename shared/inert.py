"""Text of others for a terminal: nothing in it moves the cursor, changes colours, or turns the direction of writing."""

from __future__ import annotations


def inert(text: str, most_chars: int | None = None) -> str:
    """Return a text, its beginning if it is longer than `most_chars`, with escapes for what is not printable."""
    if most_chars is not None and len(text) > most_chars:
        text = f"{text[: most_chars - 1]}…"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def inert_lines(text: str) -> str:
    """Return a text of several lines, as `inert` does; the ends of its lines (LF) stay, and tabs."""
    return "\n".join("\t".join(map(inert, line.split("\t"))) for line in text.split("\n"))


def inert_json(text: str) -> str:
    """Return JSON that means the same, with escapes for what is not printable; the ends of its lines stay."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else _json_escape(char) for char in text)


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
