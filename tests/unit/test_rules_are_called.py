"""Every rule that decides is called by a test of its own, with literal rows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
CORE = TESTS.parents[1] / "coordinator/core"


def rules() -> Iterator[str]:
    """Yield the public functions of the core that are given a turn."""
    for path in CORE.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            match node:
                case ast.FunctionDef(name=name, args=ast.arguments(args=[ast.arg(arg="turn"), *_])):
                    if not name.startswith("_"):
                        yield f"{path.stem}.{name}"


def calls() -> Iterator[str]:
    """Yield what the tests of single rules call as `module.function`."""
    for path in TESTS.glob("test_rule_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=function)):
                    yield f"{module}.{function}"


def test_every_rule_is_called_with_literal_rows() -> None:
    found = set(rules())
    assert len(found) > 20
    assert found - set(calls()) == set()
