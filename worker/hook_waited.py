"""The exception that ends a hook whose call has waited too long for an object that the fleet shares."""

from __future__ import annotations


class HookWaited(BaseException):
    """A call of a hook waited longer than the job's `limits.hook_wait`. The text goes on from `the hook`, as in
    `waited 60 s for the lock 'login'`.

    It is no `Exception`: a hook that catches those, for the sake of its own errors, would swallow it and go on without
    what it waited for, and its page would be recorded as if all were well. `finally` and `with` work as usual.
    """
