"""Where result rows go. A sink follows the committed log; it never sees anything uncommitted."""
