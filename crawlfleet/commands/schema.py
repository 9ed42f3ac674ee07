"""`crawlfleet schema`: print the JSON Schema of jobs, for editors."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define no arguments: there is one schema."""


def execute(_: argparse.Namespace) -> int:
    """Print the schema."""
    import json

    from crawlfleet.coordinator.job.json_schema import job_schema

    print(json.dumps(job_schema(), indent=2))
    return 0
