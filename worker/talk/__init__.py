"""The session with the coordinator: what it holds, sends, and gets acknowledged."""
