"""Under a depth limit the pages fetched do not depend on who was faster."""

from __future__ import annotations

from crawlfleet.coordinator.conduct.pool_post import PoolPost
from crawlfleet.coordinator.frontier.memory.store import MemoryStore
from tests.policies import make_policy
from tests.property.crawl_model import World, verdict
from tests.property.crawl_site import Robots, Site, SitePage
from tests.property.sim_worker import SimProgram, SimWorker

# A long way (0, 2, 3, 5, 6) and a short one (1, 4, 5, 6) to the same end, which only the short one reaches in time.
TWO_WAYS = Site(
    pages=tuple(SitePage(links=links) for links in ((2,), (4,), (3, 4), (5,), (5,), (6,), ())),
    robots=(Robots.NONE,) * 3,
)
POLICY = make_policy(user_agent="sim", scope=TWO_WAYS.scope(), delay_s=0.0, per_host=8, depth=3, tasks_per_lease=1)


def work(worker: SimWorker, rounds: int) -> None:
    for _ in range(rounds):
        worker.start()
        while worker.running:
            worker.finish()
        worker.exchange(1)


def test_the_short_way_is_found_though_the_long_one_was_told_first() -> None:
    world = World(MemoryStore(), POLICY, TWO_WAYS)
    quick, slow = SimWorker(world, "quick"), SimWorker(world, "slow")
    work(quick, 2)
    slow.exchange(1)
    slow.start()
    work(quick, 12)
    work(slow, 3)
    work(quick, 12)
    verdict(world)


def test_pages_that_were_asked_for_first_get_the_depths_that_they_have_without() -> None:
    world = World(MemoryStore(), POLICY, TWO_WAYS)
    worker = SimWorker(world, "s")
    program = SimProgram(world, "p", PoolPost(world.store, world.service.pools.book_of))
    for number in (6, 5, 3):
        program.asks.wish(TWO_WAYS.url(number), priority=9)
    program.turn()
    work(worker, 6)
    assert world.mirror.results[0].url == TWO_WAYS.url(6)
    work(worker, 12)
    program.turn()
    assert program.asks.open() == []
    program.close()
    work(worker, 2)
    verdict(world)
