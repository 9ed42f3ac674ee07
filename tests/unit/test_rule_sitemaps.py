"""Which sitemaps the summary names because they gave nothing, or not all."""

from __future__ import annotations

from crawlfleet.coordinator.core import gates, sitemaps
from crawlfleet.coordinator.core.changes import TaskEvent
from crawlfleet.coordinator.core.figures import ShortMaps
from crawlfleet.coordinator.core.rows import Gate
from crawlfleet.shared.messages import Outcome
from tests.unit.rule_turns import (
    DONE,
    DROPPED,
    ORIGIN,
    Turns,
    host,
    moved,
    numbers,
    origin,
    put,
    report,
    robots,
    sitemap,
)

FREE = host(origins=(ORIGIN,), ready_at=0.0)
MAP = sitemap(order=5)
FULL = ShortMaps(5, tuple((f"http://b.test/{number}", "http_404") for number in range(5)))


def test_five_are_named_and_all_are_counted(turns: Turns) -> None:
    for before, told in ((ShortMaps(), ShortMaps(1, ((MAP.url, "http_404"),))), (FULL, ShortMaps(6, FULL.named))):
        turn = turns(numbers(short_maps=before))
        sitemaps.tell_short(turn, MAP, "http_404")
        assert turn.batch() == [put(numbers(short_maps=before), short_maps=told)]


def test_one_that_is_read_again_is_told_no_more(turns: Turns) -> None:
    ledger = numbers(short_maps=ShortMaps(2, ((MAP.url, "robots"), ("http://b.test/", "robots"))))
    turn = turns(ledger)
    sitemaps.tell_no_more(turn, MAP)
    assert turn.batch() == [put(ledger, short_maps=ShortMaps(1, (("http://b.test/", "robots"),)))]


def test_one_behind_a_gate_that_closes_is_told_until_it_opens_again(turns: Turns) -> None:
    over = robots(state=DONE, lease=3)
    turn = turns(over, MAP, origin(gate=Gate.WAITING, expires_at=0.0), FREE, numbers())
    gates.judge(turn, over, report(over, outcome=Outcome.NETWORK_ERROR, status=0, reason="connect"))
    told = ShortMaps(1, ((MAP.url, "connect"),))
    assert turn.ledger.short_maps == told
    dropped = sitemap(order=5, state=DROPPED, reason="connect")
    ledger = numbers(short_maps=told)
    turn = turns(robots(state=DONE), dropped, origin(), FREE, ledger)
    gates.look_again(turn, [dropped])
    revived = moved(TaskEvent.REVIVED, dropped, state="pending", reason="")
    assert turn.batch() == [revived, put(ledger, short_maps=ShortMaps())]
