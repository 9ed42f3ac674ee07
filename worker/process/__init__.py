"""What a worker process shares with its node: pipes, shared memory, signals, its part of the memory."""
