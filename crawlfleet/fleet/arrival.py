"""Waits for a coordinator that is not there yet, or whose join token is not, as a worker does."""

from __future__ import annotations

import time
from pathlib import Path

import structlog

from crawlfleet.shared.errors import Unreachable
from crawlfleet.shared.wire.join_token import JoinToken, is_written, read_token
from crawlfleet.shared.wire.manager import FleetManager
from crawlfleet.worker.talk.line import pauses

_logger = structlog.get_logger(__name__)


def await_coordinator(token: str | Path, patience_s: float) -> FleetManager:
    """Return a manager that is connected to a token's coordinator; try for `patience_s`, and at least once.

    A file is read at each try: a coordinator that starts anew may listen elsewhere. Raise `Unreachable` with the last
    try's reason when time is over, `JoinError` at once if the token is malformed or refused.
    """
    give_up_at = time.monotonic() + patience_s
    has_logged = False
    manager: FleetManager | None = None
    for pause_s in pauses(0.0):
        time.sleep(max(0.0, min(pause_s, give_up_at - time.monotonic())))
        try:
            present = _present(token)
            if manager is None or manager.token != present:  # else it knows which addresses have failed
                manager = FleetManager.joining(present)
            manager.connect()
        except Unreachable as error:
            if time.monotonic() >= give_up_at:
                raise Unreachable(f"{error}; tried for {patience_s:g} s: see whether the coordinator runs") from error
            if not has_logged:
                _logger.warning("waiting for the coordinator", reason=str(error))
                has_logged = True
        else:
            return manager
    raise AssertionError("there is always another pause")


def _present(token: str | Path) -> JoinToken:
    """Return a token; raise `Unreachable` if it is to be read from a file that is not there yet."""
    if isinstance(token, str):
        return JoinToken.parse(token)
    if not is_written(token):
        raise Unreachable(f"the join token is not in {token} yet")
    return read_token(token)
