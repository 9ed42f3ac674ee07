"""A program on the fleet: `connect`, the queue, the results, locks and numbers."""
