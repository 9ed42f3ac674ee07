"""The parts of a worker process that concern its node: pipes, shared memory, signals, limits of memory."""
