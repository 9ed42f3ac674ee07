"""`crawlfleet verify`: prove from a crawl's folder that nothing was lost or doubled."""

from __future__ import annotations

import argparse

from crawlfleet.commands.arguments import add_crawl

add_arguments = add_crawl


def execute(args: argparse.Namespace) -> int:
    """Print the proof; return 0 if it holds."""
    from crawlfleet.coordinator.offline.verify import verify
    from crawlfleet.screen.console import Console
    from crawlfleet.screen.tables import show_proof

    proof = verify(args.crawl)
    show_proof(proof, Console())
    return 0 if proof.holds else 1
