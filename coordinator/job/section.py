"""What the sections of a job are made of: their base, and the kinds of values that several of them hold. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, GetJsonSchemaHandler, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from crawlfleet.coordinator.job.yaml_source import KeyPath
from crawlfleet.shared.quantities import DURATION, SIZE, seconds, size_bytes

STRICT = ConfigDict(strict=True)

S = TypeVar("S", bound=msgspec.Struct)


def _without_unit(name: str) -> str:
    """Return the key of a field, whose name says the unit: in YAML the value does."""
    return name.removesuffix("_s").removesuffix("_bytes")


class Plain(BaseModel):
    """Base of a job's values: frozen, nothing unknown, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=_without_unit)

    def spec(self, kind: type[S], **made: object) -> S:
        """Return a spec with these values: each of its fields takes the value of the same name from here or `made`.

        Nested sections become nested specs likewise. A field without a namesake keeps its default.
        """
        own = {name: getattr(self, name) for name in kind.__struct_fields__ if hasattr(self, name)}
        return msgspec.convert({**own, **made}, kind, from_attributes=True)


class Section(Plain):
    """Base of all sections: in YAML each is a mapping with these keys."""


def defaults(*specs: type[msgspec.Struct]) -> Any:
    """Return the defaults of specs by name, so that a key has that of the field its value goes into."""
    fields = (field for spec in specs for field in msgspec.structs.fields(spec))
    return SimpleNamespace(**{field.name: field.default for field in fields if field.default is not msgspec.NODEFAULT})


def keys_of(section: type[Section]) -> tuple[str, ...]:
    """Return the keys of a section as they are written in YAML."""
    return tuple(field.alias or name for name, field in section.model_fields.items())


def tag_of(kind: type[Plain]) -> str:
    """Return what the validator calls a kind of values where one of several may stand: it shows up in its paths."""
    return f"({kind.__name__.lower()})"


def is_tag(step: str | int) -> bool:
    """Say whether a step of a validator's path is a tag."""
    return isinstance(step, str) and step.startswith("(") and step.endswith(")")


def section_at(root: type[Section], path: KeyPath) -> type[Section] | None:
    """Return the section at a path, the first of several. None: there is a value, a list, or a mapping whose keys the
    user chooses."""
    return next(iter(sections_at(root, path)), None)


def sections_at(root: type[Section], path: KeyPath) -> tuple[type[Section], ...]:
    """Return the sections that may be at a path. If the path has tags, they say which."""
    kinds: list[Any] = [root]
    for step in path:
        tagged = [kind for kind in kinds if _is_section(kind) and tag_of(kind) == step]
        below = [below for kind in kinds for below in _below(kind, step)]
        kinds = tagged or below or (kinds if is_tag(step) else [])
    return tuple(kind for kind in kinds if _is_section(kind))


def _below(kind: Any, step: str | int) -> Iterator[Any]:
    if _is_section(kind):
        yield from (
            below
            for key, field in zip(keys_of(kind), kind.model_fields.values(), strict=True)
            if key == step
            for below in _alternatives(field.annotation)
        )
    elif get_origin(kind) is tuple and isinstance(step, int):
        yield from _alternatives(get_args(kind)[0])
    elif get_origin(kind) is dict and isinstance(step, str):
        yield from _alternatives(get_args(kind)[1])


def _alternatives(annotation: Any) -> Iterator[Any]:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _alternatives(args[0])
    elif origin in (Union, UnionType):
        yield from (kind for alternative in args for kind in _alternatives(alternative))
    else:
        yield annotation


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


@dataclass(frozen=True, slots=True)
class Written:
    """What a validator wants beyond a type, in words of JSON Schema."""

    schema: Callable[[], dict[str, Any]]

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler, /) -> dict[str, Any]:
        return {**handler(core), **self.schema()}


def written(**schema: Any) -> Any:
    """Return the type of what a validator takes, if its result is of another: what JSON Schema says about it."""
    return Annotated[Any, Written(lambda: schema)]


def one_of(known: Callable[[], tuple[str, ...]]) -> BeforeValidator:
    """Accept the known names, looked up when a value is checked. The complaint is that of a `Literal`."""

    def check(value: object) -> object:
        names = known()
        if value in names:
            return value
        expected = f"{', '.join(map(repr, names[:-1]))} or {names[-1]!r}"
        raise PydanticCustomError("literal_error", "wants {expected}", {"expected": expected})

    names_of = Annotated[Any, Written(lambda: {"enum": list(known())})]
    return BeforeValidator(check, json_schema_input_type=names_of)


def given(value: object) -> object:
    """Refuse a key without a value: its type would read that as `no limit`."""
    if value is None:
        raise ValueError("is empty")
    return value


@dataclass(frozen=True, slots=True)
class _Within(AfterValidator):
    """A validator of numbers that tells the bounds."""

    low: int
    high: int

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler, /) -> dict[str, Any]:
        return {**handler(core), "minimum": self.low, "maximum": self.high}


def within(low: int, high: int) -> AfterValidator:
    """Accept whole numbers from low to high."""

    def check(value: int) -> int:
        if not low <= value <= high:
            raise ValueError(f"{value} is out of range: write a whole number from {low} to {high}")
        return value

    return _Within(check, low, high)


def duration(low: str, high: str) -> BeforeValidator:
    """Read a duration, in seconds."""
    text = {"type": "string", "pattern": DURATION}
    wanted = written(anyOf=[text, {"const": 0}]) if low == "0s" else written(**text)
    return BeforeValidator(partial(seconds, low=low, high=high), json_schema_input_type=wanted)


def size(low: str, high: str) -> BeforeValidator:
    """Read a size, in bytes."""
    wanted = written(type="string", pattern=SIZE)
    return BeforeValidator(partial(size_bytes, low=low, high=high), json_schema_input_type=wanted)


def size_in_bytes(low: str, high: str) -> BeforeValidator:
    """Read a size under a key that says `bytes`: a whole number is one, too."""

    def read(value: object) -> int:
        return size_bytes(f"{value}B" if type(value) is int else value, low, high)

    texts_and_numbers = written(anyOf=[{"type": "string", "pattern": SIZE}, {"type": "integer", "minimum": 0}])
    return BeforeValidator(read, json_schema_input_type=texts_and_numbers)


def repeated(names: Iterable[str]) -> int | None:
    """Return the index of the first name that occurs a second time."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            return index
        seen.add(name)
    return None


def fault(loc: KeyPath, text: str) -> ValidationError:
    """Make an error about another place than the value under validation."""
    kind = PydanticCustomError("value_error", "{text}", {"text": text})
    return ValidationError.from_exception_data("job", [InitErrorDetails(type=kind, loc=loc, input=text)])
