"""All fuzz targets, by name, and the subjects that they belong to."""

from __future__ import annotations

from tests.hostile.fuzz import job_targets, rule_targets, web_targets, wire_targets
from tests.hostile.fuzz.target import Target

TARGETS: dict[str, Target] = {
    **web_targets.TARGETS,
    **rule_targets.TARGETS,
    **job_targets.TARGETS,
    **wire_targets.TARGETS,
}

#: Time is divided by subject, and within one by target.
SUBJECTS: dict[str, tuple[str, ...]] = {
    "links": ("links", "pages", "patterns", "seeds"),
    "charset": ("charset",),
    "sitemap": ("sitemap",),
    "robots": ("robots",),
    "headers": ("headers", "bodies"),
    "selectors": ("selectors", "xpaths", "jmespaths", "fields", "data", "markdown"),
    "frames": ("frames", "values", "packed links", "join tokens"),
    "YAML": ("yaml", "settings", "jobs"),
}
