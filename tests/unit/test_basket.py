"""What fits of a page's rows, and what is left out."""

from __future__ import annotations

from crawlfleet.shared.brief import LimitSpec
from crawlfleet.worker.extract.basket import Basket


def filled(limits: LimitSpec, *sizes: int) -> Basket:
    basket = Basket(limits)
    for size in sizes:
        basket.put("i", {"t": "x" * size})
    return basket


def test_a_row_that_is_too_large_is_left_out_alone() -> None:
    basket = filled(LimitSpec(row_bytes=1_000, report_bytes=5_000), 10, 900_000, 20)
    assert [(row.index, len(row.fields["t"])) for row in basket.rows] == [(0, 10), (1, 20)]
    assert basket.left_out == 1


def test_once_rows_are_too_large_together_all_that_follow_are_left_out() -> None:
    basket = filled(LimitSpec(report_bytes=1_000), 600, 600, 10)
    assert ([len(row.fields["t"]) for row in basket.rows], basket.left_out) == ([600], 2)


def test_what_is_left_out_is_counted_as_far_as_the_limits_go_once_more() -> None:
    basket = Basket(LimitSpec(rows=3))
    assert [basket.put("i", {}) for _ in range(7)] == [True] * 6 + [False]
    basket = Basket(LimitSpec(report_bytes=1_000))
    assert [basket.put("i", {"t": "x" * 400}) for _ in range(5)] == [True] * 4 + [False]


def test_the_last_rows_make_room_for_links() -> None:
    basket = filled(LimitSpec(), 100, 100, 100)
    basket.fit(300)
    assert (len(basket.rows), basket.left_out) == (2, 1)
    basket.fit(0)
    assert (basket.rows, basket.left_out) == ([], 3)
