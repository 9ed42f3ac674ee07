"""What is wrong with a job, in lines that name file, line, column and key.

Turns the validator's complaints (`type`, `loc`, `input`, `msg`, `ctx`) into problems at their places in the YAML
document. It must not know the job's keys: those come in from outside.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias

from crawlfleet.coordinator.job.section import is_tag
from crawlfleet.coordinator.job.yaml_source import RANGE, RANGE_ADVICE, Document, KeyPath, Place, Problem
from crawlfleet.shared.inert import inert

Complaint: TypeAlias = Mapping[str, Any]
Advise: TypeAlias = Callable[[KeyPath, str], str]
KnownKeys: TypeAlias = Callable[[KeyPath], Collection[str]]

_WANTED = {
    "string_type": "text",
    "is_instance_of": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
}
_SHOWN_CHARS = 60
_LINE_CHARS = 1_500


def lines(file: str, problems: Iterable[Problem]) -> tuple[str, ...]:
    """Return one line a problem, in the order of the file, and then of what was given beside it."""
    ordered = sorted(problems, key=lambda problem: _order(problem.place or Place(0, 0)))
    return tuple(dict.fromkeys(_line(file, problem) for problem in ordered))


def judge(document: Document, complaints: Iterable[Complaint], advise: Advise, known: KnownKeys) -> list[Problem]:
    """Turn complaints into problems. Leave out those about values that have a problem in the document already.

    `advise(path, key)` says what to do about a key that is not known in the mapping at `path`, `known(path)` names all
    that are.
    """
    problems = [_problem(document, complaint, advise, known) for complaint in complaints]
    return [problem for problem in problems if not _is_broken(document, problem.path)]


def unknown_key(key: str, known: Collection[str], elsewhere: Mapping[str, Collection[str]]) -> str:
    """Say what to do about an unknown key: where it belongs (the keys of `elsewhere`), or the nearest known one."""
    swapped = [each for each in known if sorted(each) == sorted(key)]
    if nearly := swapped or difflib.get_close_matches(key, known, n=1, cutoff=0.9):
        return f"is not a known key: did you mean {nearly[0]!r}?"
    for place, keys in elsewhere.items():
        if key in keys:
            return f"is not a known key here: it belongs {place}"
    near = difflib.get_close_matches(key, known, n=1)
    if near:
        return f"is not a known key: did you mean {near[0]!r}?"
    return f"is not a known key: known here are {', '.join(known)}"


def show(value: object) -> str:
    """Return a short form of a value for an error, without control characters."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return repr(value if len(value) <= _SHOWN_CHARS else value[:_SHOWN_CHARS] + "...")
    if isinstance(value, tuple | dict):
        return "a list" if isinstance(value, tuple) else "a mapping"
    return f"the number {value}"


def _problem(document: Document, complaint: Complaint, advise: Advise, known: KnownKeys) -> Problem:
    kind, loc = complaint["type"], tuple(complaint["loc"])
    if kind == "missing":
        path = _known(document, loc[:-1])
        return Problem(_place(document, path), (*path, loc[-1]), "is missing: add it")
    path = _known(document, loc)
    if kind == "extra_forbidden":
        return Problem(document.keys[path], path, advise(_known(document, loc[:-1], tags=True), str(path[-1])))
    if kind == "model_type" and complaint["input"] is not None:
        text = f"wants a mapping, not {show(complaint['input'])}: write keys with values; known here are "
        return Problem(_place(document, path), path, text + ", ".join(known(_known(document, loc, tags=True))))
    of_key = loc[-1:] == ("[key]",)
    place = document.keys[path] if of_key else _place(document, path)
    return Problem(place, path, _sentence(complaint))


def _sentence(complaint: Complaint) -> str:
    kind, value, context = complaint["type"], complaint["input"], complaint.get("ctx", {})
    if value is None:
        return "is empty: give it a value or take the line away"
    if isinstance(value, dict) and len(value) == 1 and RANGE.fullmatch("{" + next(iter(value)) + "}"):
        return RANGE_ADVICE
    if kind == "literal_error":
        return f"wants {context['expected']}, not {show(value)}: write one of them"
    if kind in _WANTED:
        return _type_fault(_WANTED[kind], value)
    return str(context.get("error", complaint["msg"]))


def _type_fault(wanted: str, value: object) -> str:
    if wanted == "text" and isinstance(value, bool | int | float):
        return f"wants text, not {show(value)}: put it in quotes"
    if wanted == "a list" and isinstance(value, str):
        return f"wants a list, not {show(value)}: write [ ] around it, or a line with '- ' for each entry"
    return f"wants {wanted}, not {show(value)}: write {wanted}"


def _known(document: Document, loc: KeyPath, *, tags: bool = False) -> KeyPath:
    """Return a complaint's path without the marks of the validator, which are no places in the document.

    With `tags` those stay that say which of several sections was validated: see `section.section_at`.
    """
    path: KeyPath = ()
    told: list[str | int] = []
    for step in loc:
        if (*path, step) in document.values:
            path = (*path, step)
            told.append(step)
        elif tags and is_tag(step):
            told.append(step)
    return tuple(told)


def _place(document: Document, path: KeyPath) -> Place:
    return document.values.get(path, Place(1, 1))


def _is_broken(document: Document, path: KeyPath) -> bool:
    return any(path[:length] in document.broken for length in range(len(path) + 1))


def _order(place: Place) -> tuple[bool, int, int]:
    return bool(place.origin), place.line, place.column


def _line(file: str, problem: Problem) -> str:
    place = problem.place
    at = file if place is None else place.origin or f"{file}:{place.line}:{place.column}"
    key = _key(problem.path)
    text = f"{at}: {key}: {problem.text}" if key else f"{at}: {problem.text}"
    text = text if len(text) <= _LINE_CHARS else text[:_LINE_CHARS] + "..."
    # No key, value or path may write control codes to a terminal.
    return inert(text)


def _key(path: KeyPath) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")
