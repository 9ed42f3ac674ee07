"""Reads YAML text into plain values, strictly, with the place of every key and value.

Owns what YAML means here: mappings, lists, text, whole and decimal numbers, true, false and null. What YAML
1.1 would silently turn into something else (`no`, `12:30`, `010`, dates, `.nan`) stays the text typed.
Aliases, anchors, tags, merge keys, repeated keys and deep nesting are problems. It must not know of jobs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import yaml

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 32
_TOO_DEEP = f"the value is nested deeper than {MAX_DEPTH} levels: make it flatter"

RANGE_ADVICE = 'ranges need quotes or block form: write - "https://example.org/list/{1..50}"'
RANGE = re.compile(r"\{\s*[0-9]+\.\.[0-9]+\s*\}")

Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | dict[str, Value] | None"
KeyPath: TypeAlias = tuple[str | int, ...]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WHOLE = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\Z")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,17}\Z")
# The path step of what is read over: a value without a usable key.
_IGNORED = -1
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


class Place(NamedTuple):
    """A line and a column, both counted from 1, the column in characters.

    `origin` is empty in the job file; else it is what a person gave beside it, such as `--set scope.pages=x`.
    """

    line: int
    column: int
    origin: str = ""


class Problem(NamedTuple):
    """What is wrong with the value at a path. `place` None means the file as a whole."""

    place: Place | None
    path: KeyPath
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a file says; nothing unless `complete`. Paths in `broken` hold None, and have their problem already."""

    value: Value = None
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    broken: frozenset[KeyPath] = frozenset()
    problems: tuple[Problem, ...] = ()
    complete: bool = False


def read(path: Path) -> Document:
    """Read a YAML file. Problems are in the document; nothing is raised."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return _refused("there is no such file: check the path")
    except IsADirectoryError:
        return _refused("this is a folder: name the file in it")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return _refused(f"cannot be read ({reason}): check the path and its permissions")
    if len(data) > MAX_BYTES:
        text = "write addresses as ranges, or put them into a file, one a line: seeds: [{file: urls.txt}]"
        return _refused(f"is larger than {MAX_BYTES // 1024**2} MiB: {text}")
    try:
        return parse(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return _refused("is not UTF-8 text: save the file as UTF-8", Place(line, 1))


def parse(text: str) -> Document:
    """Parse YAML text of one document. Problems are in the document; nothing is raised."""
    strange = _UNPRINTABLE.search(text)
    if strange is not None:
        problem = f"the character U+{ord(strange[0]):04X} has no place in YAML: take it out"
        return _refused(problem, _place_at(text, strange.start()))
    builder = _Builder(text)
    try:
        value = builder.document()
    except _StopReading:
        return Document(problems=tuple(builder.problems))
    except yaml.MarkedYAMLError as error:
        return Document(problems=(*builder.problems, _syntax_problem(text, error)))
    return Document(
        value=value,
        keys=builder.keys,
        values=builder.values,
        broken=frozenset(builder.broken),
        problems=tuple(builder.problems),
        complete=True,
    )


def is_none(text: str) -> bool:
    """Say whether a plain scalar means that there is no value."""
    return _WORDS.get(text, False) is None


def as_yaml(value: Value) -> str:
    """Return a value as YAML, which is read as the same value."""
    text: str = yaml.safe_dump(loose(value), sort_keys=False, allow_unicode=True, width=120)
    return text


def loose(value: Value) -> Any:
    """Return a copy of a value whose lists can be changed."""
    if isinstance(value, dict):
        return {key: loose(below) for key, below in value.items()}
    return [loose(below) for below in value] if isinstance(value, tuple) else value


class _StopReading(Exception):
    """Reading on makes no sense; the problem is noted already."""


class _Builder:
    """Builds values from parser events, so that what is refused is refused before anything is made of it."""

    def __init__(self, text: str) -> None:
        self._events = yaml.parse(text, Loader=_LOADER)
        self.keys: dict[KeyPath, Place] = {}
        self.values: dict[KeyPath, Place] = {}
        self.broken: set[KeyPath] = set()
        self.problems: list[Problem] = []

    def document(self) -> Value:
        """Return the value of the only document."""
        next(self._events)
        begun = isinstance(next(self._events), yaml.DocumentStartEvent)
        value = self._value(next(self._events), ()) if begun else None
        if value is None and () not in self.broken:
            self._stop(Place(1, 1), (), "the file is empty: describe a crawl, beginning with name and seeds")
        next(self._events)
        after = next(self._events)
        if isinstance(after, yaml.DocumentStartEvent):
            self._stop(_place(after), (), "a second document begins here: one file holds one document")
        return value

    def _value(self, event: yaml.Event, path: KeyPath) -> Value:
        self.values.setdefault(path, _place(event))
        if len(path) > MAX_DEPTH:
            self._stop(_place(event), (), _TOO_DEEP)
        if isinstance(event, yaml.AliasEvent):
            self.broken.add(path)
            self._refuse(event, path, f"the alias *{event.anchor} is not accepted: write the value out")
            return None
        assert isinstance(event, yaml.NodeEvent)
        return self._node(event, path)

    def _node(self, event: yaml.NodeEvent, path: KeyPath) -> Value:
        if event.anchor is not None:
            self._refuse(event, path, f"the anchor &{event.anchor} is not accepted: take it away")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self.broken.add(path)
            name = tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(event, path, f"the tag {name} is not accepted: take it away")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        assert isinstance(event, yaml.ScalarEvent)
        return _scalar(event.value) if event.implicit[0] else event.value

    def _list(self, path: KeyPath) -> Value:
        found: list[Value] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._value(event, (*path, len(found))))
        return tuple(found)

    def _mapping(self, path: KeyPath) -> Value:
        found: dict[str, Value] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            if key is not None and key in found:
                first = self.keys[*path, key].line
                self._refuse(event, (*path, key), f"is written twice, first on line {first}: keep one")
                key = None
            if key is None:
                self._value(next(self._events), (*path, _IGNORED, len(self.problems)))
            else:
                self.keys[*path, key] = _place(event)
                found[key] = self._value(next(self._events), (*path, key))
        return found

    def _key(self, event: yaml.Event, path: KeyPath) -> str | None:
        """Return the key that an event begins; None if its value is to be skipped."""
        if not isinstance(event, yaml.ScalarEvent):
            self._value(event, (*path, _IGNORED))
            fault = "a key must be plain text: put quotes around text with braces"
        else:
            fault = _key_fault(event)
            if not fault:
                return str(event.value)
        self._refuse(event, path, fault)
        return None

    def _refuse(self, event: yaml.Event, path: KeyPath, text: str) -> None:
        self.problems.append(Problem(_place(event), path, text))

    def _stop(self, place: Place, path: KeyPath, text: str) -> None:
        self.problems.append(Problem(place, path, text))
        raise _StopReading


def _key_fault(event: yaml.ScalarEvent) -> str:
    if event.anchor is not None or event.tag is not None:
        return "anchors and tags are not accepted: take them away"
    if not event.value:
        return "a key is missing before the colon: give it a name"
    if event.value == "<<" and event.implicit[0]:
        return "the merge key << is not accepted: write the keys out"
    return ""


def _scalar(text: str) -> Value:
    if text in _WORDS:
        return _WORDS[text]
    if _WHOLE.match(text):
        return int(text)
    return float(text) if _DECIMAL.match(text) else text


def _syntax_problem(text: str, error: yaml.MarkedYAMLError) -> Problem:
    # The parsers always set the mark of the problem; that of the context only where there is one.
    end = error.problem_mark
    assert end is not None
    place = Place(end.line + 1, end.column + 1)
    # How libyaml says so itself, of what it reads ahead.
    if "maximum nesting depth" in (error.problem or ""):
        return Problem(place, (), _TOO_DEEP)
    begin = error.context_mark or end
    lines = text.splitlines()[begin.line : place.line]
    if RANGE.search("\n".join(lines)):
        return Problem(place, (), RANGE_ADVICE)
    if lines and "\t" in lines[-1][: len(lines[-1]) - len(lines[-1].lstrip())]:
        return Problem(place, (), "a tab begins this line: YAML indents with spaces")
    what = ", ".join(part for part in (error.context, error.problem) if part)
    begun = f", begun on line {begin.line + 1}" if begin.line < end.line else ""
    return Problem(place, (), f"this is not YAML ({what}{begun}): mend this line or the one before it")


def _refused(text: str, place: Place | None = None) -> Document:
    return Document(problems=(Problem(place, (), text),))


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    assert mark is not None
    return Place(mark.line + 1, mark.column + 1)


def _place_at(text: str, offset: int) -> Place:
    before = text[:offset]
    return Place(before.count("\n") + 1, offset - before.rfind("\n"))
