"""The fields of items that are written as a mapping: where a value is found, what is taken, what it becomes. Pure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from crawlfleet.coordinator.job.css import Selector as Taking
from crawlfleet.coordinator.job.css import parse_selector
from crawlfleet.coordinator.job.section import Section, fault, given, one_of, written
from crawlfleet.coordinator.job.where import WAYS, JmesPath, XPath, refuse_several
from crawlfleet.shared.brief import CSS, DATA, ELEMENTS, OPENGRAPH, FieldRule
from crawlfleet.shared.dates import reader
from crawlfleet.shared.errors import UsageError
from crawlfleet.shared.field_types import (
    BOOL,
    DATE,
    DATETIME,
    DECIMAL,
    FIELD_TYPES,
    FLOAT,
    INT,
    JSON,
    PRICE,
    TEXT,
    URL,
    fits,
)
from crawlfleet.shared.web.patterns import check_regex

MAX_HINT_CHARS = 100

_NUMBERS = frozenset({INT, FLOAT, DECIMAL, PRICE})
_DATES = frozenset({DATE, DATETIME})
# Hint: the types that it is for.
_HINTS = {"format": _DATES, "languages": _DATES, "decimal_separator": _NUMBERS, "currency": frozenset({PRICE})}
_EXAMPLES = {
    TEXT: "a text, in quotes if it looks like a number",
    INT: "a whole number such as 0",
    FLOAT: "a number with a point such as 0.0",
    DECIMAL: 'a number in quotes such as "12.30"',
    BOOL: "true or false",
    DATE: "one such as 2031-12-31",
    DATETIME: "one such as 2031-12-31T23:59:00+00:00",
    URL: "an address such as https://example.org/",
    PRICE: '{amount: "12.30", currency: EUR}',
    JSON: "a plain value",
}


def _selector(value: str) -> str:
    parse_selector(value)
    return value


def _attribute(value: str) -> str:
    return parse_selector(f"::attr({value})").attr


def _regex(value: str) -> str:
    try:
        check_regex(value)
    except ValueError as error:
        raise ValueError(
            f"{value[:60]!r} cannot be used ({str(error)[:100]}): write what RE2 knows, without look-around, "
            "back references and large repeats"
        ) from error
    return value


def _hint(value: str) -> str:
    if not value or len(value) > MAX_HINT_CHARS:
        raise ValueError(f"wants 1 to {MAX_HINT_CHARS} characters")
    return value


def _default(value: object) -> object:
    return list(value) if isinstance(value, tuple) else given(value)


Hint = Annotated[str, AfterValidator(_hint)]
_ANYTHING = written(**{"not": {"type": "null"}})


class Field(Section):
    """A field with keys of its own. `css` may end in ::text, ::own-text or ::attr(name), as the short form."""

    css: Annotated[Annotated[str, AfterValidator(_selector)] | None, BeforeValidator(given)] = None
    xpath: Annotated[XPath | None, BeforeValidator(given)] = None
    jmespath: Annotated[JmesPath | None, BeforeValidator(given)] = None
    jsonld: Annotated[JmesPath | None, BeforeValidator(given)] = None
    microdata: Annotated[JmesPath | None, BeforeValidator(given)] = None
    opengraph: Annotated[Hint | None, BeforeValidator(given)] = None
    take: Annotated[Literal["text", "own-text", "markdown", "html"] | None, BeforeValidator(given)] = None
    attr: Annotated[Annotated[str, AfterValidator(_attribute)] | None, BeforeValidator(given)] = None
    re: Annotated[Annotated[str, AfterValidator(_regex)] | None, BeforeValidator(given)] = None
    type: Annotated[Annotated[str, one_of(lambda: FIELD_TYPES)] | None, BeforeValidator(given)] = None
    format: Annotated[Hint | None, BeforeValidator(given)] = None
    languages: tuple[Hint, ...] = ()
    decimal_separator: Annotated[Literal[".", ","] | None, BeforeValidator(given)] = None
    currency: Annotated[Hint | None, BeforeValidator(given)] = None
    list: Annotated[bool | None, BeforeValidator(given)] = None
    join: Annotated[str | None, BeforeValidator(given)] = None
    default: Annotated[Any, BeforeValidator(_default, json_schema_input_type=_ANYTHING)] = None
    required: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Field:
        self._check_source()
        self._check_hints()
        if self.join is not None and self.list:
            raise fault(("join",), "makes one text of all matches, and list asks for each: keep one of the two")
        if self.default is not None:
            self._check_default()
            if self.required:
                raise fault(("required",), "has no meaning beside a default, with which nothing is missing: keep one")
        return self

    @property
    def by(self) -> str:
        """How it is found: see `shared.brief`."""
        return next((way for way in (*WAYS, OPENGRAPH) if getattr(self, way) is not None), CSS)

    @property
    def kind(self) -> str:
        """Its type. A part of data is kept as it is unless the job says otherwise."""
        return self.type or (JSON if self.by in DATA else TEXT)

    def _check_source(self) -> None:
        refuse_several(self, (*WAYS, OPENGRAPH))
        for key in ("take", "attr"):
            if getattr(self, key) is not None and self.by not in ELEMENTS:
                raise fault((key,), f"is of elements, but {self.by} finds values: leave it away")
        if self.take is not None and self.attr is not None:
            raise fault(("take",), "and attr are two things to take: keep one of them")
        if self.css is not None and "::" in self.css and (self.take or self.attr) is not None:
            text = f"{self.css!r} says already what is taken: leave '::' and what follows, or the other key"
            raise fault((CSS,), text)

    def _check_hints(self) -> None:
        for key, types in _HINTS.items():
            if getattr(self, key) and self.kind not in types:
                wanted = " or ".join(kind for kind in FIELD_TYPES if kind in types)
                raise fault((key,), f"has no meaning for the type {self.kind}: it is for {wanted}")
        if self.format and self.languages:
            raise fault(("languages",), "are not looked at where there is a format: keep one of the two")
        if self.kind in _DATES:
            key = "format" if self.format else "languages" if self.languages else "type"
            try:
                reader(self.format or "", self.languages)
            except (UsageError, ValueError) as error:
                raise fault((key,), str(error)) from error

    def _check_default(self) -> None:
        values = self.default if self.list else [self.default]
        if not isinstance(values, list):
            raise fault(("default",), "wants a list, as the field is one: write [ ] around it")
        for value in values:
            if not fits(self.kind, value):
                text = f"{value!r:.60} is no {self.kind} as rows have it: write {_EXAMPLES[self.kind]}"
                raise fault(("default",), text)

    def rule(self, name: str) -> FieldRule:
        """Return the same for a worker."""
        found = parse_selector(self.css) if self.css is not None else Taking("")
        return self.spec(
            FieldRule,
            name=name,
            by=self.by,
            selector=found.css if self.by == CSS else getattr(self, self.by),
            take="attr" if self.attr is not None else self.take or found.take,
            attr=self.attr or found.attr,
            many=bool(self.list),
            type=self.kind,
            pattern=self.re or "",
            format=self.format or "",
            decimal_separator=self.decimal_separator or "",
            currency=self.currency or "",
        )
