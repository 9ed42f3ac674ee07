"""The channels of a session: each makes one call after another, its next one when the last is answered or given up."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from crawlfleet.shared.objects import ObjectCall
from crawlfleet.worker.talk.objects.threads import Inbox


@dataclass(slots=True, eq=False)
class Slot:
    """A channel for one call after another, each with the next number."""

    index: int
    inbox: Inbox
    #: That of the last call that was sent, maybe in vain.
    number: int = 0
    #: The call that may wait, and the coordinator's incarnation that has it in line; None before it is known to wait.
    waiting: ObjectCall | None = None
    epoch: int | None = None
    #: Its last call is given up, or will be: then another object takes its place.
    is_leaving: bool = False


@dataclass(slots=True, eq=False)
class Leaving:
    """A call that is being given up, by one thread at a time, until that is done."""

    slot: Slot
    withdrawal: ObjectCall
    lock: AbstractContextManager[Any]
    is_done: bool = False
