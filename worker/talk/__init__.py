"""The session with the coordinator: what is sent, what is held, what was acknowledged."""
