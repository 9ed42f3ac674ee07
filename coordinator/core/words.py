"""The words that programs fail their pages with: a crawl counts a hundred different ones, and all others together.

Summary, status and store have a number for each reason, so there must not be one for each page.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from crawlfleet.coordinator.core.rows import MAX_DETAIL_CHARS, succeed
from crawlfleet.coordinator.core.turn import Turn
from crawlfleet.shared.messages import Report
from crawlfleet.shared.reasons import Reason

MOST_WORDS = 100

_OURS = frozenset(Reason)
_OF_STATUS = re.compile(r"http_[0-9]{1,3}")


def counted(turn: Turn, report: Report) -> Report:
    """Return a judged report with a reason that the crawl has a number for; else with OTHER, and the word as detail."""
    word = report.reason
    if not word or word in _OURS or _OF_STATUS.fullmatch(word) or word in turn.ledger.words:
        return report
    if len(turn.ledger.words) < MOST_WORDS:
        turn.put(succeed(turn.ledger, words=(*turn.ledger.words, word)))
        return report
    detail = f"{word}: {report.detail}" if report.detail else word
    return replace(report, reason=Reason.OTHER, detail=detail[:MAX_DETAIL_CHARS])
