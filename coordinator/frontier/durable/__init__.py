"""The durable store: the port over any database. It keeps what is active in memory and writes a batch a commit."""
