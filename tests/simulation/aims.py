"""What a seed is out for. What is rare needs seeds that lead there, and where little else is in its way."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from tests.property.crawl_site import MISFORTUNES, Robots

ALL_MISHAPS = tuple(sorted(MISFORTUNES))


class Aim(NamedTuple):
    """Biases of a seed: each value of its site, policy and fleet is drawn from one of these, as often as it is there.

    `menu` names what goes wrong (empty: some of everything), `lasts_s` bounds how long. `mishaps` is the chance that an
    attempt goes wrong by one of `kinds`; by one of `late` if its report comes after its lease was lost, for which the
    fleet is cut off while an `awaited` attempt is under way. `paces_s` is how long a fetch may take, `listed` how
    many pages a sitemap lists, `fanout` bounds how many links a page has, `at_once` how many are admitted
    with its report, `known` how many URLs of a host are known.
    `islands` is the part of the pages that no others link to, `wishes` bounds how many pages a program wants, and
    `regret` is the chance that it takes some back, at each step.
    """

    menu: tuple[str, ...] = ()
    staff: tuple[int, ...] = (1, 1, 2, 3)
    mishaps: tuple[float, ...] = (0.1, 0.3, 0.5)
    kinds: tuple[str, ...] = ALL_MISHAPS
    late: tuple[str, ...] = ("missing", "busy", "busy", "unwanted type", "unasked 304")
    awaited: tuple[str, ...] = ("page", "page", "moved page", "robots")
    lasts_s: float = 60.0
    site: tuple[int, int] = (8, 24)
    fanout: tuple[int, int] = (2, 5)
    at_once: tuple[int, ...] = (0, 1, 2, 300)
    known: tuple[int, ...] = (10_000_000,)
    robots: tuple[Robots, ...] = tuple(Robots)
    healthy: float = 0.7
    ladder: float = 0.7
    moved: tuple[float, ...] = (0.2, 0.2, 0.7)
    private: float = 0.15
    deadly: tuple[float, ...] = (0.0, 0.0, 0.1)
    listed: tuple[int, ...] = (0, 0, 0, 5)
    islands: float = 0.0
    wishes: tuple[int, int] = (2, 12)
    regret: float = 0.4
    paces_s: tuple[float, ...] = (0.05, 0.3, 1.0, 5.0)
    depths: tuple[int | None, ...] = (None, None, 1, 1, 2, 2, 3, 3, 4)
    pages: tuple[int | None, ...] = (None, None, None, None, None, None, None, None, 2, 5)
    retries: tuple[int, ...] = (0, 1, 2)
    fresh_s: tuple[float, ...] = (10.0, 30.0, 86_400.0)
    power: tuple[bool, ...] = (False, True)
    cuts: tuple[bool, ...] = (False, True)


_LATE = Aim(
    menu=("lie_in_wait",),
    staff=(1, 1, 2),
    lasts_s=180.0,
    site=(16, 40),
    moved=(0.1, 0.2),
    retries=(0, 1, 2, 2),
    awaited=("page",),
    paces_s=(0.3, 1.0, 5.0),
    pages=(None,),
)
_WRITING = Aim(site=(16, 30), depths=(None, 4), mishaps=(0.1,), moved=(0.1,), deadly=(0.0,), pages=(None,))

AIMS: dict[str, tuple[int, Aim]] = {
    "anything": (8, Aim()),
    "late reports": (7, _LATE),
    "late redirects": (3, _LATE._replace(awaited=("moved page",), moved=(0.4, 0.7))),
    "late robots": (1, _LATE._replace(awaited=("robots",), kinds=("busy", "missing"), retries=(1, 2))),
    "late sitemaps": (
        5,
        _LATE._replace(
            awaited=("sitemap",),
            listed=(8, 12),
            robots=(Robots.NONE, Robots.RULES),
            kinds=("bad hook",),
            late=("bad hook",),
            lasts_s=60.0,
            paces_s=(0.3, 1.0),
        ),
    ),
    "few faults": (3, Aim(menu=("drain",), mishaps=(0.5,), staff=(2, 3), kinds=(*ALL_MISHAPS, "unwanted type"))),
    # The second seed tells late of shorter ways to pages that by then have failed, are refused, or take their time.
    "nearer": (
        6,
        Aim(
            menu=("checkpoint",),
            staff=(2, 3),
            site=(12, 20),
            mishaps=(0.6,),
            kinds=("bad hook",),
            robots=(Robots.NONE, Robots.RULES, Robots.MOVED),
            ladder=1.0,
            at_once=(1, 300, 300, 300),
            listed=(0,),
            moved=(0.0, 0.1),
            private=0.25,
            deadly=(0.0,),
            paces_s=(0.05, 0.3, 0.3, 1.0, 8.0),
            depths=(None, 4, 4, 5, 6, 8),
            pages=(None,),
        ),
    ),
    # Pages that are found long after the robots.txt of their host killed who fetched it: it is asked for again.
    "deadly robots": (
        3,
        Aim(
            menu=("drain",),
            staff=(1, 2),
            site=(30, 50),
            mishaps=(0.0,),
            robots=(Robots.DEADLY, Robots.NONE, Robots.NONE),
            ladder=0.0,
            moved=(0.0,),
            deadly=(0.01,),
            paces_s=(8.0,),
            depths=(None,),
            pages=(None,),
            fresh_s=(12.0,),
        ),
    ),
    # Most links wait: they are admitted while all sorts of things happen, and pages are found nearer meanwhile.
    "floods": (
        6,
        Aim(
            menu=("crash", "light_fuse", "light_fuse", "kill", "partition"),
            staff=(2, 3),
            site=(24, 40),
            fanout=(8, 16),
            known=(10_000_000, 10_000_000, 10_000_000, 5),
            ladder=0.3,
            mishaps=(0.1,),
            moved=(0.1,),
            deadly=(0.0,),
            listed=(0, 12),
            robots=(Robots.NONE, Robots.RULES, Robots.MOVED),
            depths=(None, 2, 3, 4, 6),
            pages=(None,),
        ),
    ),
    "budget": (1, Aim(pages=(1, 2, 2, 3, 5), depths=(None, None, 3), mishaps=(0.1, 0.3), ladder=0.3)),
    "full disk": (4, _WRITING._replace(menu=("fill_disk", "fill_disk", "fill_disk", "fill_sink_disk"))),
    "sink": (
        4,
        _WRITING._replace(
            menu=("light_sink_fuse", "light_sink_fuse", "light_sink_fuse", "light_sink_fuse", "spoil_sink")
        ),
    ),
    "process": (5, Aim(menu=("light_fuse", "light_fuse", "crash"))),
    "power": (
        3,
        _WRITING._replace(
            menu=("cut_power", "cut_power", "crash", "kill"),
            cuts=(True,),
            power=(False, False, True),
            mishaps=(0.1, 0.3),
        ),
    ),
    "poison": (
        2,
        Aim(
            menu=("forge", "forge", "drain", "light_fuse"),
            staff=(2, 3),
            robots=(Robots.NONE, Robots.RULES, Robots.DEADLY),
            deadly=(0.1, 0.3),
            mishaps=(0.1,),
            pages=(None,),
        ),
    ),
}

#: Aims of seeds with programs that ask for pages: see `askers`.
ASKING = {
    "asking": Aim(
        staff=(1, 2),
        site=(16, 40),
        islands=0.4,
        ladder=0.0,
        mishaps=(0.1, 0.3),
        depths=(None, 1, 1, 2, 2, 3, 4),
        pages=(None,),
    ),
    # What has started is taken back, and then is not to be tried again.
    "taking back": Aim(
        menu=("drain", "drain", "stop", "kill"),
        staff=(2, 3),
        site=(30, 40),
        islands=0.8,
        wishes=(20, 40),
        regret=0.9,
        ladder=0.0,
        mishaps=(0.5,),
        kinds=("refused", "busy", "too many"),
        robots=(Robots.NONE,),
        moved=(0.0,),
        deadly=(0.0,),
        retries=(2,),
        paces_s=(1.0, 5.0),
        depths=(None, 1, 2),
        pages=(None,),
    ),
    "asking nearer": Aim(
        menu=("checkpoint", "crash", "partition"),
        staff=(2, 3),
        site=(12, 24),
        ladder=1.0,
        mishaps=(0.1,),
        robots=(Robots.NONE, Robots.RULES, Robots.MOVED),
        moved=(0.1, 0.2),
        listed=(0,),
        paces_s=(0.3, 1.0, 8.0),
        depths=(None, 3, 4, 5, 6),
        pages=(None,),
    ),
}


def draw_aim(random: Random) -> tuple[str, Aim]:
    """Return the aim of a seed, and its name."""
    weights = [weight for weight, _ in AIMS.values()]
    (name,) = random.choices(list(AIMS), weights)
    return name, AIMS[name][1]
