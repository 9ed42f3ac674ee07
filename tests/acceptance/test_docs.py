"""What the documents show is so: jobs load, hooks give rows, commands parse, targets and links lead somewhere.

A fenced block says by its first line what it is: `yaml job` is a whole job, any other `yaml` a part of one; `python
hook=NAME` is a hook, `text file=NAME` a file that a job names; the lines of an `sh` block are commands. Commands in the
text are looked at, too.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from crawlfleet.commands.command_line import command_line
from crawlfleet.commands.registry import COMMANDS
from crawlfleet.coordinator.core.rows import Result
from crawlfleet.coordinator.job.job import Job, brief, load
from crawlfleet.coordinator.job.section import keys_of
from crawlfleet.coordinator.results.columns import Column
from crawlfleet.shared.field_types import INT
from crawlfleet.shared.messages import Row
from crawlfleet.worker.extract.extractor import Extractor
from crawlfleet.worker.fetch.port import Fetched, Headers
from crawlfleet.worker.hooks import load_hook
from tests.shapes import shape_of

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    ROOT / ".github" / "pull_request_template.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PART = "name: part\nseeds: [https://example.org/]\n"
LISTING = '<title>list</title><a class="post-item-title" href="/1.html"> One </a><a href="/2.html">no</a>'
ANSWER = '{"products": [{"name": "one"}], "next": "/products?page=2"}'
PAGES = {"posts.py": ("text/html", LISTING), "api.py": ("application/json", ANSWER), "once.py": ("text/html", LISTING)}
ROWS = {
    "posts.py": {"address": "/1.html", "text": "One"},
    "api.py": {"name": "one"},
    "once.py": {"title": "list"},
}


class Block(NamedTuple):
    """A fenced block: where it stands, what it says that it is, and its text."""

    where: str
    kind: str
    text: str


def _name(document: Path) -> str:
    return str(document.relative_to(ROOT))


def _blocks() -> Iterator[Block]:
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield Block(f"{_name(document)}:{line}", match[1], match[2])


def _each(*kinds: str) -> pytest.MarkDecorator:
    blocks = [block for block in _blocks() if block.kind.partition("=")[0] in kinds]
    assert blocks
    return pytest.mark.parametrize("block", blocks, ids=lambda block: block.where)


def _commands() -> Iterator[tuple[str, str]]:
    """Yield each line of the `sh` blocks, and each indented line that starts with one of our commands."""
    for block in _blocks():
        if block.kind == "sh":
            yield from ((block.where, line) for line in block.text.splitlines() if line.strip())
    for document in DOCUMENTS:
        for line in document.read_text(encoding="utf-8").splitlines():
            if line.startswith("    crawlfleet "):
                yield _name(document), line.strip()


def _commands_in_text() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        text = FENCE.sub("", document.read_text(encoding="utf-8"))
        yield from ((_name(document), code) for code in re.findall(r"`(crawlfleet [a-z-][^`\n]*)`", text))


def _subparsers() -> dict[str, argparse.ArgumentParser]:
    actions = command_line([command.name for command in COMMANDS])._actions
    (commands,) = (action for action in actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)


def _options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings if option.startswith("--")}


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the environment, and a folder, hold what jobs in the documents name as secrets."""
    for block in _blocks():
        for name in re.findall(r": env:(\w+)", block.text):
            monkeypatch.setenv(name, "secret")
        for name in re.findall(r": file:([\w.]+)", block.text):
            (tmp_path / name).write_text("secret")


@pytest.mark.usefixtures("secrets")
@_each("yaml job")
def test_a_job_in_the_documents_loads(block: Block, tmp_path: Path) -> None:
    for other in _blocks():
        if other.kind.startswith(("python hook=", "text file=")):
            (tmp_path / other.kind.partition("=")[2]).write_text(other.text, encoding="utf-8")
    path = tmp_path / "job.yaml"
    path.write_text(block.text, encoding="utf-8")
    assert load(path).seeds


@pytest.mark.usefixtures("secrets")
@_each("yaml")
def test_a_part_of_a_job_in_the_documents_loads(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(PART + block.text, encoding="utf-8")
    assert load(path).name == "part"


@_each("python hook")
def test_a_hook_in_the_documents_gives_rows(block: Block, tmp_path: Path) -> None:
    name = block.kind.partition("=")[2]
    (tmp_path / name).write_text(block.text, encoding="utf-8")
    (tmp_path / "job.yaml").write_text(f"{PART}hooks: {name}\n", encoding="utf-8")
    job = brief(load(tmp_path / "job.yaml"))
    assert job.hook is not None
    number = SimpleNamespace(get=lambda: 0, set=lambda _number: None)
    fleet = SimpleNamespace(Lock=lambda _name: nullcontext(1), Value=lambda _name: number)
    content_type, body = PAGES[name]
    page = Fetched(
        url="https://example.org/", status=200, headers=Headers((("content-type", content_type),)), body=body.encode()
    )
    extracted = Extractor(job, load_hook(job.hook), fleet).extract(page)
    assert (extracted.error, [row.fields for row in extracted.rows]) == ("", [ROWS[name]])
    assert "https://example.org/products?page=2" in extracted.outlinks or name != "api.py"


@_each("python sink")
def test_a_kind_of_sink_in_the_documents_writes_and_is_read_back(block: Block, tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile(block.text, block.where, "exec"), names)
    kind = names["SemicolonLines"](shape_of("quote", Column("n", INT)))
    result = Result(
        ref=b"r",
        url="http://a/",
        status=200,
        depth=0,
        content_type="",
        size_bytes=1,
        elapsed_s=0.0,
        at=0.0,
        hops=(),
        rows=(Row(item="quote", index=0, fields={"n": 1}),),
    )
    with closing(kind.open(tmp_path / "items.scsv", None, power=False)) as sink:
        sink.write([result])
    assert (tmp_path / "items.scsv").read_text() == 'url;n\n"http://a/";1\n'
    assert list(kind.read(tmp_path / "items.scsv", whole=True)) == kind.rows_of(result)


def test_the_script_that_the_tutorial_begins_with_reads_a_listing() -> None:
    script = next(block for block in _blocks() if block.kind == "python" and "tutorial" in block.where)
    names: dict[str, Any] = {}
    exec(compile(script.text, script.where, "exec"), names)
    assert len(names["URLS"]) == 50
    assert names["parse"](LISTING) == [("/1.html", " One ")]


@pytest.mark.parametrize(("where", "line"), list(_commands()))
def test_a_command_in_the_documents_can_be_typed(where: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    words = words[: words.index(">")] if ">" in words else words
    while "=" in words[0]:  # an environment variable for the command
        words.pop(0)
    match words:
        case ["crawlfleet", *arguments]:
            command_line(arguments).parse_args(arguments)
        case ["make", target, *_]:
            assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE), where
        case ["python", "-m", "crawlfleet.demo", *_]:
            pass
        case ["pipx", "install", "." | ".[parquet]"] | ["uv", "tool", "install", "."] | ["python3", "-m", "venv", *_]:
            pass
        case ["docker", "compose" | "cp" | "kill" | "build", *_] | ["read", "-rs", *_] | ["umask", "077;", *_]:
            pass
        case [program] | [program, "crawlfleet-base"]:
            assert (ROOT / program).exists(), where
        case _:
            pytest.fail(f"{where}: {line}: not known here")
    for word in words:
        if word.startswith("config/"):
            assert (ROOT / word).exists(), where


@pytest.mark.parametrize(("where", "code"), sorted(set(_commands_in_text())))
def test_a_command_named_in_the_text_exists_with_its_options(where: str, code: str) -> None:
    _, *words = code.split()
    if words == ["--version"]:
        return
    parsers = _subparsers()
    assert words[0] in parsers, where
    assert {word for word in words if word.startswith("--")} <= _options(parsers[words[0]]), where


def test_the_reference_of_the_command_line_has_every_command_and_option() -> None:
    text = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    for name, parser in _subparsers().items():
        assert f"\n## {name}\n" in text
        assert {option for option in _options(parser) - {"--help"} if f"`{option}" not in text} == set()


def test_the_reference_of_jobs_has_every_key() -> None:
    text = (ROOT / "docs" / "reference" / "jobs.md").read_text(encoding="utf-8")
    assert {key for key in keys_of(Job) if f"\n## `{key}`\n" not in text} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_links_lead_to_files_and_headings_that_exist(document: Path) -> None:
    text = FENCE.sub("", document.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, heading = target.partition("#")
        path = (document.parent / file).resolve() if file else document
        assert path.exists(), target
        if heading:
            assert heading in _headings(path), target


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT / "docs") for path in DOCUMENTS if path.is_relative_to(ROOT / "docs")]
    pages = [page for page in pages if page.parts[0] != "decisions" and page.name != "README.md"]
    assert {str(page) for page in pages if f"]({page})" not in index} == set()


def _headings(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as forges make them."""
    lines = FENCE.sub("", path.read_text(encoding="utf-8")).splitlines()
    titles = (line.lstrip("#").strip().lower() for line in lines if line.startswith("#"))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}
