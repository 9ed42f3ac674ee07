"""The rooms and the doors between them: who may import whom, and what an import may do.

The rules are literal tables; the modules are whatever exists at the time.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FUNCTION = 45  # lines, from its `def` on
LONGEST_MODULE = 400
CHECKED = ("shared", "coordinator", "worker", "tests", "benchmarks", "examples", "config")

PACKAGES = {  # package: what of ours it may import
    "crawlfleet": {"crawlfleet", "crawlfleet.coordinator", "crawlfleet.worker", "crawlfleet.shared"},
    "crawlfleet.coordinator": {"crawlfleet.coordinator", "crawlfleet.shared"},
    "crawlfleet.worker": {"crawlfleet.worker", "crawlfleet.shared"},
    "crawlfleet.shared": {"crawlfleet.shared"},
}
CORE = "crawlfleet.coordinator.core"
# From the inside to the outside: a part may reach those of the floors before its own, by any detour, and no others.
FLOORS: tuple[tuple[tuple[str, ...], ...], ...] = (
    (
        (CORE,),
        ("crawlfleet.coordinator.frontier",),
        ("crawlfleet.coordinator.results",),  # reads the committed log through the frontier's port
        ("crawlfleet.coordinator.sinks",),  # follows it
        ("crawlfleet.coordinator.conduct",),
        ("crawlfleet.coordinator.server",),
        ("crawlfleet.coordinator.crawl",),
        ("crawlfleet.coordinator.app",),
    ),
    (
        ("crawlfleet.worker.fetch",),
        ("crawlfleet.worker.extract",),  # reads what was fetched, as a value of the fetch port
        ("crawlfleet.worker.pipeline",),
        ("crawlfleet.worker.pool",),
        ("crawlfleet.worker.app",),
        ("crawlfleet.worker.node",),
    ),
    (
        ("crawlfleet.tried",),
        ("crawlfleet.screen",),
        ("crawlfleet.run", "crawlfleet.fleet", "crawlfleet.demo", "crawlfleet.starter", "crawlfleet.trial"),
        ("crawlfleet.embedded",),
        ("crawlfleet.commands",),
        ("crawlfleet.__main__",),
    ),
)
IMPURE = {"asyncio", "concurrent", "logging", "multiprocessing", "os", "pathlib", "queue", "random", "secrets"}
IMPURE |= {"selectors", "signal", "socket", "ssl", "structlog", "subprocess", "tempfile", "threading", "time", "uuid"}
EVERYWHERE = {
    "structlog",  # every part may log; shared.log alone configures it
    "msgspec",  # frozen values are its structs, cheaper to make than dataclasses
}
JOB_MODELS = ("items", "job", "scope", "section", "seeds", "sinks")
IMPORTERS: dict[str, set[str]] = {  # libraries that more than one module may import, and why
    # The console, the tables, and the line that renews itself while a crawl goes on: one room.
    "rich": {f"crawlfleet.screen.{module}" for module in ("console", "progress", "tables", "tried_page")},
    # The sections of a job are its models; what they share, and the larger ones, are modules of their own.
    "pydantic": {
        f"crawlfleet.coordinator.job.{module}"
        for module in (*JOB_MODELS, "expect", "fields", "headers", "json_schema", "limits", "sites", "where")
    },
    # An expression is compiled, and so checked, in one place; what it searches in a worker is a tree of the library.
    "lxml": {"crawlfleet.shared.xpaths", "crawlfleet.worker.extract.xpath_tree"},
    # A selector is checked, when the job is loaded, by the engine that will run it.
    # A page names the type of its soup, and of its tree.
    "bs4": {"crawlfleet.worker.extract.bs4_tree", "crawlfleet.worker.extract.page"},
    "soupsieve": {"crawlfleet.coordinator.job.css", "crawlfleet.worker.extract.bs4_tree"},
    "selectolax": {
        "crawlfleet.coordinator.job.css",
        "crawlfleet.worker.extract.lexbor_tree",
        "crawlfleet.worker.extract.page",
    },
    # The one is an engine; another uses its decoders, whatever engine parses; and selectors are checked by it.
    "turbohtml": {
        "crawlfleet.coordinator.job.css",
        "crawlfleet.worker.extract.encoding",
        "crawlfleet.worker.extract.turbohtml_tree",
    },
    # The one fetches pages, the other posts rows: other time limits, and no rules of the web's.
    "requests": {"crawlfleet.coordinator.sinks.webhook_sink", "crawlfleet.worker.fetch.requests_pool"},
    # A handle of libcurl sets its own options; the engine drives many of them.
    "pycurl": {"crawlfleet.worker.fetch.curl_handle", "crawlfleet.worker.fetch.curl_multi"},
    # What the types of two formats have in common is in one module; each format has its own way to take tables.
    # An embedded crawl names the type of its tables.
    "pyarrow": {
        *(f"crawlfleet.coordinator.sinks.{module}" for module in ("arrow_cells", "duckdb_sink", "parquet_sink")),
        "crawlfleet.embedded.crawl",
        "crawlfleet.embedded.frames",
    },
    "pandas": {"crawlfleet.embedded.crawl", "crawlfleet.embedded.frames"},
    "polars": {"crawlfleet.embedded.crawl", "crawlfleet.embedded.frames"},
    # The one writes tables of rows. The other, a store, speaks the protocol itself where a crawl waits for it.
    "psycopg": {
        "crawlfleet.coordinator.sinks.postgresql_sink",
        *(
            f"crawlfleet.coordinator.frontier.postgresql.{module}"
            for module in ("connection", "pipeline", "statements")
        ),
    },
    # urllib3 waits for ever and hides cut heads; what it must not do is changed in its connection classes. Its errors
    # get our names in one module.
    "urllib3": {
        *(f"crawlfleet.worker.fetch.{module}" for module in ("connection", "requests_failures", "requests_pool")),
    },
}


def _checked() -> list[Path]:
    return [path for folder in ("crawlfleet", *CHECKED) for path in (ROOT / folder).rglob("*.py")]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@cache
def _modules() -> dict[str, Path]:
    # A pattern follows no links: what lies behind those in `crawlfleet/` is found once, in its package's own turn.
    found = (path for package in PACKAGES for path in (ROOT / package.replace(".", "/")).rglob("*.py"))
    return {_name(path): path for path in found}


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def _imports(module: str) -> frozenset[str]:
    """Name what a module imports, wherever in its text; our own modules in full, others as they stand."""
    tree = ast.parse(_modules()[module].read_text(encoding="utf-8"))
    return frozenset(name for node in ast.walk(tree) for name in _imported(node))


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"relative import of {node.module}"
        assert node.module is not None
        yield node.module
        yield from (full for alias in node.names if (full := f"{node.module}.{alias.name}") in _modules())


@cache
def _reach(module: str) -> frozenset[str]:
    """Name all modules of ours that an import of this one may lead to."""
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        news = {name for name in _imports(waiting.pop()) if name in _modules()} - reached
        reached |= news
        waiting += news
    return frozenset(reached - {module})


def _in(part: str, module: str) -> bool:
    return module == part or module.startswith(part + ".")


def _foreign(module: str) -> set[str]:
    tops = {name.partition(".")[0] for name in _imports(module)}
    return tops - {"crawlfleet"} - sys.stdlib_module_names


def _package(module: str) -> str:
    """Name the innermost of `PACKAGES` that a module belongs to."""
    return max((package for package in PACKAGES if _in(package, module)), key=len)


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_in_one_direction(package: str) -> None:
    wrong = {
        f"{module} imports {name}"
        for module in _modules()
        if _package(module) == package and not module.endswith(".__main__")  # an entry, above all packages
        for name in _imports(module) & _modules().keys()
        if _package(name) not in PACKAGES[package]
    }
    assert not wrong


def _outer_parts(part: str) -> set[str]:
    for floors in FLOORS:
        for height, floor in enumerate(floors):
            if part in floor:
                return {other for outer in floors[height:] for other in outer} - {part}
    raise AssertionError(part)


@pytest.mark.parametrize("part", [part for floors in FLOORS for floor in floors for part in floor])
def test_inner_parts_never_reach_outer_ones(part: str) -> None:
    wrong = {
        f"{module} leads to {name}"
        for module in _modules()
        if _in(part, module)
        for name in _reach(module)
        if any(_in(outer, name) for outer in _outer_parts(part))
    }
    assert not wrong


def test_every_library_has_one_importer_or_a_reason() -> None:
    importers: dict[str, set[str]] = {}
    for module in _modules():
        for library in _foreign(module) - EVERYWHERE:
            importers.setdefault(library, set()).add(module)
    too_many = {
        library: sorted(modules)
        for library, modules in importers.items()
        if not (modules <= IMPORTERS.get(library, set()) or len(modules) == 1)
    }
    assert not too_many
    unused = {library for library, modules in IMPORTERS.items() if modules - importers.get(library, set())}
    assert not unused, "the table names importers that are none"


def test_no_module_is_named_as_a_standard_or_installed_one() -> None:
    installed = {name for name, owners in packages_distributions().items() if set(owners) - {"crawlfleet"}}
    taken = (sys.stdlib_module_names | installed) - {"__main__", "__init__"}
    assert not {module for module in _modules() if module.rpartition(".")[2] in taken - {"crawlfleet"}}


def test_the_core_imports_nothing_that_has_a_clock_a_thread_a_file_or_chance() -> None:
    wrong = {
        f"{module} imports {name}"
        for module in _modules()
        if _in(CORE, module)
        for name in _imports(module)
        if name.partition(".")[0] in IMPURE
    }
    assert not wrong


def test_the_core_reaches_nothing_impure_in_shared() -> None:
    wrong = {
        f"{module} leads to {name}, which imports {IMPURE & {i.partition('.')[0] for i in _imports(name)}}"
        for module in _modules()
        if _in(CORE, module)
        for name in _reach(module)
        if IMPURE & {imported.partition(".")[0] for imported in _imports(name)}
    }
    assert not wrong


def test_examples_and_hooks_import_nothing_of_ours_but_the_public_face() -> None:
    for path in (*(ROOT / "examples").glob("*.py"), *(ROOT / "config").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        ours = {name for node in ast.walk(tree) for name in _imported(node) if _in("crawlfleet", name)}
        assert ours <= {"crawlfleet", "crawlfleet.errors"}, path


def test_no_function_is_longer_than_45_lines_and_no_module_of_the_product_longer_than_400() -> None:
    long = {module for module, path in _modules().items() if len(_lines(path)) > LONGEST_MODULE}
    for path in _checked():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                if node.end_lineno - node.lineno >= LONGEST_FUNCTION:
                    long.add(f"{path.relative_to(ROOT)}:{node.name}")
    assert not long


def test_every_ignored_check_has_its_reason_on_its_line() -> None:
    ignored = re.compile(
        r"# (pragma: no cover(?!  # \S)|type: ignore(?!\[[\w,-]+\]  # \S)|noqa(?!: [A-Z0-9, ]+\d[-# ]+\S))"
    )
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in _checked()
        for number, line in enumerate(_lines(path), 1)
        if ignored.search(line)
    ]
    assert not wrong


def test_the_wheel_holds_every_package() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    packages = {_name(path) for path in _modules().values() if path.name == "__init__.py"}
    folders = {_name(path.parent / "__init__.py") for path in _modules().values()}
    assert set(listed) == packages == folders


_WITNESS = """
import sys, os, importlib, signal, threading, logging, multiprocessing
libraries, modules = (names.split(",") for names in sys.argv[1:])
for library in libraries:
    importlib.import_module(library)
seen, signals = [], [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
DEEDS = ("socket.", "subprocess.", "os.fork", "os.mkdir", "os.putenv", "os.remove", "os.rename", "os.posix_spawn")

def watch(event, arguments):
    if event.startswith(DEEDS) or (event == "open" and arguments[2] and arguments[2] & WRITES):
        seen.append((event, arguments))

sys.addaudithook(watch)
for module in modules:
    importlib.import_module(module)
    assert not seen, (module, seen)
    assert threading.active_count() == 1, (module, threading.enumerate())
    assert multiprocessing.get_start_method(allow_none=True) is None, module
    assert not logging.root.handlers, module
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)] == signals, module
    assert "structlog" not in sys.modules or not sys.modules["structlog"].is_configured(), module
"""


def test_importing_any_module_does_nothing() -> None:
    libraries = {"logging"}.union(*(_foreign(module) for module in _modules()))
    arguments = [",".join(sorted(libraries)), ",".join(sorted(_modules()))]
    command = [sys.executable, "-B", "-c", _WITNESS, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
