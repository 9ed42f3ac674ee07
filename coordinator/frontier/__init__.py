"""The port to the frontier's store, the table of stores, and the stores."""
