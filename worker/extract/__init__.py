"""Pure: bytes in, links and items out."""
