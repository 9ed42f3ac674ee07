"""Nothing is looked up by a name from the network: each place that looks up a name says where it has it from."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from crawlfleet.shared.wire.manager import EXPOSED
from crawlfleet.worker.extract.encoding import decoded, name_of

ROOT = Path(__file__).resolve().parents[2]
# Functions that find code or data by a name, and the place of the name among their arguments.
LOOKUPS = {
    **dict.fromkeys(("getattr", "setattr", "delattr", "hasattr"), 1),
    **dict.fromkeys(("import_module", "__import__", "eval", "exec", "ZoneInfo", "Popen", "system"), 0),
    **dict.fromkeys(("lookup", "getdecoder", "getencoder", "getincrementaldecoder", "getincrementalencoder"), 0),
    **dict.fromkeys(("decode", "encode"), 0),
}
# Modules that give such a function a name which does not stand there, and where they have it from.
NAMES = {
    "crawlfleet/__init__.py": "the table of what the package exports",
    "crawlfleet/commands/arguments.py": "names of options",
    "crawlfleet/commands/registry.py": "the table of commands",
    "crawlfleet/commands/run.py": "names of options",
    "crawlfleet/demo/server.py": "a command line, as a whole",
    "crawlfleet/embedded/child.py": "the interpreter that runs",
    "crawlfleet/embedded/frames.py": "one of three libraries, by their callers",
    "crawlfleet/embedded/hook_function.py": "the function that a program has given",
    "crawlfleet/embedded/process.py": "the fields of a class",
    "crawlfleet/trial/trial.py": "the attribute that a hook asks for",
    "coordinator/core/costs.py": "the table of costs",
    "coordinator/job/fields.py": "the keys of a section",
    "coordinator/job/section.py": "the fields of a class",
    "coordinator/job/where.py": "the keys of a section",
    "shared/registry.py": "the tables of backends",
    "shared/wire/control_port.py": "the list of what may be called, in which it was looked up before",
    "shared/wire/zones.py": "a name that has the form of a zone's, without dots: no path leads out of the database",
    "worker/extract/encoding.py": "the table of encodings of the standard",
    "worker/extract/sitemap.py": "the table of fields of a sitemap",
    "worker/hooks.py": "the job's hook, which is code of its author",
}


def named(call: ast.Call) -> bool:
    """Say whether a call looks up a name that does not stand there as a constant."""
    function = call.func
    name = getattr(function, "id", getattr(function, "attr", ""))
    if name not in LOOKUPS or len(call.args) <= LOOKUPS[name]:
        return False
    if name in ("decode", "encode"):  # of texts and bytes, by a codec; others have a value there
        whose = ast.unparse(function.value) if isinstance(function, ast.Attribute) else "msgspec."
        if whose.startswith("msgspec.") or whose.endswith("coder"):
            return False
    given = call.args[LOOKUPS[name]]
    return not (isinstance(given, ast.Constant) or (isinstance(given, ast.Name) and given.id.isupper()))


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in ("crawlfleet", "coordinator", "shared", "worker"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(("crawlfleet/coordinator/", "crawlfleet/shared/", "crawlfleet/worker/")):
                yield name, ast.parse(path.read_text(encoding="utf-8"))


def test_every_place_that_looks_up_a_name_says_where_it_has_it_from() -> None:
    calls = ((module, node) for module, tree in modules() for node in ast.walk(tree) if isinstance(node, ast.Call))
    found = {module for module, call in calls if named(call)}
    assert found == set(NAMES)


def test_no_method_of_the_coordinator_is_called_that_is_not_listed() -> None:
    assert all(not method.startswith("_") for methods in EXPOSED.values() for method in methods)


@pytest.mark.parametrize("label", ["idna", "zlib_codec", "unicode_escape", "rot13", "../../x", "os", "utf-7", "\x1b"])
def test_a_charset_is_no_codec_of_python(label: str) -> None:
    assert name_of(label) is None
    with pytest.raises(LookupError):
        decoded(b"x", label)
