"""Where a job comes from: a file, and values that a person gave beside it, or instead of it.

Makes one document of both, in which each value has its place: a line of the file, or the option or parameter that gave
it. It must not know the job's keys.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from crawlfleet.coordinator.job import yaml_source
from crawlfleet.coordinator.job.yaml_source import MAX_DEPTH, Document, KeyPath, Place, Problem, Value, loose

_STEP = re.compile(r'"([^"]+)"|([^".]+)')
_KEY = re.compile(r'(?:"[^"]+"|[^".]+)(?:\.(?:"[^"]+"|[^".]+))*')
_ORIGIN_CHARS = 80
# In the text of a setting whose value may be a secret; misspelt keys may hold one, too.
_MAYBE_SECRET = re.compile(
    r"header|sites\b|authoriz|cookie|token|secret|passw|api.?key|://[^/\s]*:[^/\s]*@|frontier\b.*(?:://.*:|%)",
    re.IGNORECASE,
)
_KEY_END = re.compile(r"[=:\s]")


class Setting(msgspec.Struct, frozen=True):
    """A value of a job that beats its file: plain data at a key such as `politeness.delay`.

    A name with a dot in it is put into double quotes (`columns."price.amount"`); a number names an entry of a list.
    `origin` is what errors call it, such as `--set politeness.delay=2s` or `pages=`.
    """

    key: str
    value: Any
    origin: str


class JobSource(msgspec.Struct, frozen=True, kw_only=True):
    """A job file, None if there is none, and settings; a later setting beats an earlier one.

    Without a file, relative paths in the settings are relative to `folder`, and errors that no setting has made name
    `label`.
    """

    path: Path | None = None
    folder: Path = Path()
    label: str = "the job"
    settings: tuple[Setting, ...] = ()

    @property
    def base(self) -> Path:
        """The folder that the job's paths are relative to."""
        return self.folder if self.path is None else self.path.parent

    @property
    def name(self) -> str:
        """What the job is called where the name that it has is not known yet."""
        return self.label if self.path is None else str(self.path)


def is_key(text: str) -> bool:
    """Say whether a text may name a key of a job, such as `politeness.delay`."""
    return _KEY.fullmatch(text) is not None


def steps_of(key: str) -> list[str]:
    """Return the names that a key consists of."""
    return [quoted or plain for quoted, plain in _STEP.findall(key)]


def may_hold_secret(text: str) -> bool:
    """Say whether `KEY=VALUE` is such that nobody is to be shown the value."""
    return _MAYBE_SECRET.search(text) is not None


def without_secret(text: str) -> str:
    """Return what may be shown of `KEY=VALUE`: its beginning alone if it may hold a secret."""
    return f"{_KEY_END.split(text, maxsplit=1)[0]}=..." if may_hold_secret(text) else text


def setting(text: str, option: str = "--set") -> Setting:
    """Parse `KEY=VALUE`, its value in YAML, such as `scope.pages=100`; raise `ValueError` with a sentence."""
    key, equals, value = text.partition("=")
    known = without_secret(text)
    if not equals or not is_key(key):
        raise ValueError(f"{known[:_ORIGIN_CHARS]!r}: expected KEY=VALUE, such as politeness.delay=2s")
    # A file must hold something; a value may be none.
    document = Document(complete=True) if yaml_source.is_none(value.strip()) else yaml_source.parse(value)
    for problem in document.problems:
        why = problem.text if known == text else "its value is no YAML: put it into quotes"
        raise ValueError(f"{known[:_ORIGIN_CHARS]!r}: {why}")
    shown = known if len(known) <= _ORIGIN_CHARS else f"{known[:_ORIGIN_CHARS]}..."
    return Setting(key, document.value, f"{option} {shown}")


def written(given: Setting) -> str:
    """Return the `KEY=VALUE` that `setting` parses to a key and a value of YAML."""
    plain = f"{given.key}={given.value}"
    if isinstance(given.value, str):
        with suppress(ValueError):
            if setting(plain).value == given.value:
                return plain
    return f"{given.key}={msgspec.json.encode(given.value).decode()}"


def read(source: JobSource) -> Document:
    """Return the document of a job. Problems are in the document; nothing is raised."""
    if source.path is None:
        document = Document(value={}, values={(): Place(1, 1, source.label)}, complete=True)
    else:
        document = yaml_source.read(source.path)
    if not source.settings or not isinstance(document.value, dict):
        return document
    merged = _Merged(document)
    for each in source.settings:
        merged.put(each)
    return merged.document()


class _Merged:
    """A document that settings are put into."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._value = loose(document.value)
        self._keys = dict(document.keys)
        self._values = dict(document.values)
        self._broken = set(document.broken)
        self._problems = list(document.problems)

    def document(self) -> Document:
        """Return what has become of the document."""
        return replace(
            self._document,
            value=_frozen(self._value),
            keys=self._keys,
            values=self._values,
            broken=frozenset(self._broken),
            problems=tuple(self._problems),
        )

    def put(self, each: Setting) -> None:
        """Set a value, and the mappings above it that are missing; note a problem if it has no room there."""
        place = Place(1, 1, each.origin)
        if not _is_unicode(each.key):
            text = f"the key {each.key!r} is no Unicode text: write it in the encoding of the terminal"
            self._problems.append(Problem(place, (), text))
            return
        holder: Any = self._value
        path: KeyPath = ()
        *above, last = steps_of(each.key)
        for step in above:
            index = self._index(holder, step, path, place)
            if index is None:
                return
            path = (*path, index)
            if isinstance(holder, dict) and holder.get(step) is None:
                holder[step] = {}
                self._take(path, place)
            holder = holder[index]
        index = self._index(holder, last, path, place)
        if index is not None:
            path = (*path, index)
            self._take(path, place)
            holder[index] = self._plain(each.value, path, place)

    def _index(self, holder: Any, step: str, path: KeyPath, place: Place) -> str | int | None:
        """Return what a step is in a mapping or a list; None if it is nothing there."""
        if isinstance(holder, dict):
            return step
        if isinstance(holder, list) and step.isascii() and step.isdigit() and int(step[:9]) < len(holder):
            return int(step)
        if isinstance(holder, list):
            text = f"{step!r} is no entry of this list of {len(holder)}, counted from 0: set the list as a whole"
        else:
            text = f"has no keys, and so no {step!r}: set it as a whole"
        self._problems.append(Problem(place, path, text))
        return None

    def _take(self, path: KeyPath, place: Place) -> None:
        """Forget what was known of a value, and of all in it; its place is that of the setting."""
        for known in (self._keys, self._values):
            for below in [each for each in known if each[: len(path)] == path]:
                del known[below]
        self._broken = {each for each in self._broken if each[: len(path)] != path}
        self._problems = [each for each in self._problems if each.path[: len(path)] != path]
        self._keys[path] = self._values[path] = place

    def _plain(self, value: Any, path: KeyPath, place: Place) -> Any:
        """Return plain data as values of YAML, and keep the places of what is in it."""
        self._keys[path] = self._values[path] = place
        if len(path) > MAX_DEPTH:
            return self._refuse(path, place, f"is nested deeper than {MAX_DEPTH} levels: make it flatter")
        if isinstance(value, dict):
            strange = [key for key in value if not _is_key_of_mapping(key)]
            if strange:
                return self._refuse(path, place, f"has the key {strange[0]!r}: keys are text")
            return {key: self._plain(below, (*path, key), place) for key, below in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(below, (*path, index), place) for index, below in enumerate(value)]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        text = f"is of type {type(value).__name__}: expected text, a number, true, false, a list or a mapping"
        return self._refuse(path, place, text)

    def _refuse(self, path: KeyPath, place: Place, text: str) -> None:
        self._problems.append(Problem(place, path, text))
        self._broken.add(path)


def _is_key_of_mapping(key: Any) -> bool:
    return isinstance(key, str) and key != "" and _is_unicode(key)


def _is_unicode(text: str) -> bool:
    """Say whether a text has no half of a surrogate pair, as arguments have that are in another encoding."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _frozen(value: Any) -> Value:
    if isinstance(value, dict):
        return {key: _frozen(below) for key, below in value.items()}
    return tuple(_frozen(below) for below in value) if isinstance(value, list) else value
