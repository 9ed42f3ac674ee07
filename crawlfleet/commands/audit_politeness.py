"""`crawlfleet audit-politeness`: show how far apart the requests to each host were."""

from __future__ import annotations

import argparse

from crawlfleet.commands.arguments import add_crawl

add_arguments = add_crawl


def execute(args: argparse.Namespace) -> int:
    """Print the audit; return 0 if no request came too soon."""
    from crawlfleet.coordinator.offline.audit import audit
    from crawlfleet.screen.console import Console
    from crawlfleet.screen.tables import show_audit

    found = audit(args.crawl)
    show_audit(found, Console())
    return 0 if found.holds else 1
