"""What a seed draws before anything happens: the site, the policy, and how the crawl is kept."""

from __future__ import annotations

from random import Random

from coordinator.core.policy import Policy
from tests.property.crawl_site import Robots, Site, SitePage
from tests.simulation.machine import Settings

LEASE_S = 10.0
MOST_PAGES = 24


def draw_site(random: Random) -> Site:
    """Return a site; every other one is a ladder, whose second seed is late to tell of shorter ways."""
    numbers = random.randint(8, MOST_PAGES)
    deadly = random.choice([0.0, 0.0, 0.1])
    moved = random.choice([0.2, 0.2, 0.7])
    is_ladder = random.random() < 0.7
    pages = tuple(
        SitePage(
            host=random.choice([0, 0, 1, 2]),
            links=_rungs(random, number)
            if is_ladder
            else tuple(random.sample(range(MOST_PAGES), random.randint(2, 5))),
            moved_to=random.randrange(numbers) if number > 1 and random.random() < moved else None,
            private=number > 1 and random.random() < 0.15,
            deadly=number > 1 and random.random() < deadly,
        )
        for number in range(numbers)
    )
    healthy = random.random() < 0.7
    kinds = [kind for kind in Robots if not healthy or kind is not Robots.BROKEN]
    return Site(pages, (random.choice(kinds), random.choice(kinds), random.choice(kinds)))


def _rungs(random: Random, number: int) -> tuple[int, ...]:
    """Return links of a ladder, that the second seed finds late, and finds nearer."""
    return (3, 4, 5, 6, 7, 9) if number == 1 else (number + 1 + (number == 0), random.randrange(MOST_PAGES))


def draw_policy(random: Random) -> Policy:
    """Return what a job may ask for."""
    return Policy(
        user_agent="sim",
        scope=Site((), (Robots.NONE,) * 3).scope(),
        delay_s=random.choice([0.0, 0.5, 1.0]),
        per_host=random.randint(1, 4),
        lease_s=LEASE_S,
        retries=random.randint(0, 2),
        retry_max_s=8.0,
        hold_max_s=20.0,
        depth=random.choice([None, None, 1, 1, 2, 2, 3, 3, 4]),
        pages=random.choice([None] * 9 + [random.randint(1, 6)]),
        keep_scope_same=False,
        tasks_per_lease=random.randint(1, 4),
        tasks_per_slot=random.randint(1, 3),
    )


def draw_settings(random: Random) -> Settings:
    """Return how a crawl may be kept."""
    cuts = random.random() < 0.5
    return Settings(
        power=random.random() < 0.5,
        cuts=cuts,
        cache_pages=random.choice([2, 2_000]),
        autocheckpoint=8_000 if cuts else random.choice([1, 10, 8_000]),
    )
