"""What a seed draws before anything happens: the site, the policy, and how the crawl is kept."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import msgspec

from crawlfleet.coordinator.core.policy import Budget, HostLimits, LinkRules, Policy, Unit
from crawlfleet.shared.brief import ScopeSpec
from tests.policies import make_policy, policy_with
from tests.property.crawl_site import HOSTS, Robots, Site, SitePage
from tests.simulation.aims import Aim
from tests.simulation.keepers import FEW_PAGES, Settings

LEASE_S = 10.0
WITH_UNITS = 0.3
WITH_LINES = 0.7
AHEAD = 0.6


def draw_site(random: Random, aim: Aim) -> Site:
    """Return a site; some are a ladder, whose second seed is late to tell of shorter ways."""
    numbers = random.randint(*aim.site)
    deadly = random.choice(aim.deadly)
    moved = random.choice(aim.moved)
    is_ladder = random.random() < aim.ladder
    # The pages beyond `shore` are found by nobody but who asks for them.
    shore = numbers - int(numbers * aim.islands)
    pages = tuple(
        SitePage(
            host=random.choice([0, 0, 1, 2]),
            links=_rungs(random, number, numbers)
            if is_ladder
            else tuple(random.sample(range(shore if number < shore else numbers), random.randint(*aim.fanout))),
            moved_to=random.randrange(shore if number < shore else numbers)
            if number > 1 and random.random() < moved
            else None,
            private=number > 1 and random.random() < aim.private,
            deadly=number > 1 and random.random() < deadly,
        )
        for number in range(numbers)
    )
    healthy = random.random() < aim.healthy
    spared = {Robots.BROKEN: healthy, Robots.DEADLY: not deadly}
    kinds = [kind for kind in aim.robots if not spared.get(kind)]
    robots = (random.choice(kinds), random.choice(kinds), random.choice(kinds))
    return Site(pages, robots, tuple(random.sample(range(numbers), random.choice(aim.listed))))


def _rungs(random: Random, number: int, numbers: int) -> tuple[int, ...]:
    """Return links of a ladder, that the second seed finds late, and finds nearer."""
    return tuple(range(3, numbers)) if number == 1 else (number + 1 + (number == 0), random.randrange(numbers))


def draw_lines(seed: int, site: Site) -> Site:
    """Return the site of a seed, of which some begin at lines of a seeds file, too, by a chance of its own.

    A coordinator reads a few lines more than the one before it.
    """
    random = Random(f"lines of seed {seed}")
    if random.random() >= WITH_LINES:
        return site
    numbers = range(len(site.pages))
    return replace(site, given=tuple(random.choices(numbers, k=random.randint(2, 16))))


def draw_external(seed: int, site: Site, policy: Policy) -> tuple[Site, Policy]:
    """Return a site and a policy by which the last host is out of the scope at first, and links to it are checked.

    In most of these seeds it joins the scope late, since the second seed redirects to it. The draw has a chance of its
    own, so that other seeds are what they would be without it.
    """
    random = Random(f"external links of seed {seed}")
    pages = list(site.pages)
    for number, page in enumerate(pages):
        if number < 2:
            pages[number] = replace(page, host=number)
        elif random.random() < 0.4:
            pages[number] = replace(page, host=2, private=random.random() < 0.3)
    away = [number for number, page in enumerate(pages) if page.host == 2]
    if away and random.random() < 0.8:
        pages[1] = replace(pages[1], moved_to=random.choice(away), links=())
    scope = ScopeSpec(hosts=HOSTS[:2])
    extent = msgspec.structs.replace(policy.extent, grows=True)
    checking = {"scope": scope, "extent": extent, "links": LinkRules(check_external=True), "limits": HostLimits()}
    robots = (*site.robots[:2], random.choice([site.robots[2], Robots.RULES]))
    return replace(site, pages=tuple(pages), robots=robots), msgspec.structs.replace(policy, **checking)


def draw_policy(random: Random, aim: Aim) -> Policy:
    """Return what a job may ask for."""
    return make_policy(
        user_agent="sim",
        scope=Site((), (Robots.NONE,) * 3).scope(),
        delay_s=random.choice([0.0, 0.5, 1.0]),
        per_host=random.randint(1, 4),
        lease_s=LEASE_S,
        retries=random.choice(aim.retries),
        types=("text/html",),
        retry_max_s=8.0,
        hold_max_s=20.0,
        depth=random.choice(aim.depths),
        pages=random.choice(aim.pages),
        grows=False,
        robots_wait_s=random.choice([0.0, 5.0, 40.0]),
        robots_wait_last_s=4.0,
        robots_pause_s=2.0,
        robots_pause_max_s=8.0,
        robots_fresh_s=random.choice(aim.fresh_s),
        robots_fresh_least_s=1.0,
        tasks_per_lease=random.randint(1, 4),
        tasks_per_slot=random.randint(1, 3),
        links_at_once=random.choice(aim.at_once),
        links_per_turn=random.choice([1, 2, 4, 1_000, 1_000]),
        links_per_portion=random.choice([1, 2, 3]),
        links_aside=random.choice([1, 2]),
        known_per_link=random.choice([1, 16]),
        most_links_waiting=random.choice([0, 3, 8]),
        limits=HostLimits(known_per_host=random.choice(aim.known)),
        host_budget=Budget(pages=random.choice([None] * 9 + [random.randint(1, 4)])),
    )


def draw_unit(seed: int, policy: Policy) -> Policy:
    """Return the policy of a seed, of which some join hosts in units, by a chance of its own.

    Hosts may have spent budgets of their own before they join: those seeds have no such budgets.
    """
    random = Random(f"unit of seed {seed}")
    if random.random() >= WITH_UNITS:
        return policy
    return policy_with(policy, unit=Unit.ADDRESS, hosts_per_look=random.choice([1, 1, 2]), host_budget=Budget())


def draw_ahead(seed: int, settings: Settings) -> Settings:
    """Return how the crawl of a seed is kept: some commit nearly all rows ahead, by a chance of their own."""
    is_ahead = Random(f"large rows of seed {seed}").random() < AHEAD
    return settings._replace(inline_bytes=1) if is_ahead else settings


def draw_settings(random: Random, aim: Aim) -> Settings:
    """Return how a crawl may be kept."""
    cuts = random.choice(aim.cuts)
    return Settings(
        power=random.choice(aim.power),
        cuts=cuts,
        cache_pages=random.choice([FEW_PAGES, 2_000]),
        autocheckpoint=8_000 if cuts else random.choice([1, 10, 8_000]),
    )
