"""How long a sink waits for a service that does not answer: growing pauses, about a minute in all."""

from __future__ import annotations

import time

FIRST_S = 0.1
LONGEST_S = 10.0
IN_ALL_S = 60.0


class Patience:
    """Counts the pauses after failures that follow each other."""

    def __init__(self) -> None:
        self._left_s = IN_ALL_S
        self._next_s = FIRST_S

    def pause(self, asked_s: float = 0.0) -> bool:
        """Wait, for the time that the service has asked for if that is longer; return False if it would be too long."""
        pause_s = max(self._next_s, asked_s)
        if pause_s > self._left_s:
            return False
        time.sleep(pause_s)
        self._left_s -= pause_s
        self._next_s = min(self._next_s * 2, LONGEST_S)
        return True
