"""What both sides agree on: messages, addresses, scope, the job, the wire. No I/O but the wire."""
