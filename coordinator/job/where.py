"""Which elements of a page, or which parts of data, are meant: the ways to say that in a job. Pure."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, GetJsonSchemaHandler, model_validator

from crawlfleet.coordinator.job import values as job_values
from crawlfleet.coordinator.job.section import Section, fault, given
from crawlfleet.shared import json_paths, xpaths
from crawlfleet.shared.brief import CSS, DATA, JMESPATH, JSONLD, MICRODATA, OPENGRAPH, XPATH

#: The ways to find elements or data, by their keys.
WAYS = (CSS, XPATH, JMESPATH, JSONLD, MICRODATA)


def _xpath(value: str) -> str:
    xpaths.compiled(value)
    return value


def _jmespath(value: str) -> str:
    json_paths.compiled(value)
    return value


Selector = Annotated[str, AfterValidator(job_values.plain_selector)]
XPath = Annotated[str, AfterValidator(_xpath)]
JmesPath = Annotated[str, AfterValidator(_jmespath)]


def refuse_several(section: Section, keys: tuple[str, ...]) -> None:
    """Refuse two ways to find the same."""
    written = [key for key in keys if getattr(section, key) is not None]
    if len(written) > 1:
        raise fault((written[1],), f"and {written[0]} are two ways to find the same: keep one of them")


class Where(Section):
    """What is found: by a CSS selector alone, or by a mapping that says how."""

    css: Annotated[Selector | None, BeforeValidator(given)] = None
    xpath: Annotated[XPath | None, BeforeValidator(given)] = None
    jmespath: Annotated[JmesPath | None, BeforeValidator(given)] = None
    jsonld: Annotated[JmesPath | None, BeforeValidator(given)] = None
    microdata: Annotated[JmesPath | None, BeforeValidator(given)] = None

    @model_validator(mode="before")
    @classmethod
    def _css_alone(cls, value: object) -> object:
        if not isinstance(value, str | dict | Where):
            text = "wants a selector such as div.product, or a mapping such as {xpath: //article}"
            raise ValueError(text)  # noqa: TRY004  pydantic's way
        return {CSS: value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler, /) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, {**handler(core), "minProperties": 1, "maxProperties": 1}]}

    @model_validator(mode="after")
    def _one_way(self) -> Where:
        refuse_several(self, WAYS)
        if all(getattr(self, way) is None for way in WAYS):
            raise ValueError(f"says nothing: write one of {', '.join(WAYS)}")
        return self

    @property
    def by(self) -> str:
        """How it is found: see `shared.brief`."""
        return next(way for way in WAYS if getattr(self, way) is not None)

    @property
    def selector(self) -> str:
        """What is found in that way."""
        return str(getattr(self, self.by))

    def __str__(self) -> str:
        return self.selector


def in_words_of_data(value: Any) -> Any:
    """Return an item, or a nested field, whose `each` finds data: there a short form is JMESPath, not CSS."""
    each, fields = (value.get("each"), value.get("fields")) if isinstance(value, dict) else (None, None)
    if not isinstance(each, dict) or not isinstance(fields, dict) or not DATA & each.keys():
        return value
    return {**value, "fields": {name: _of_data(field) for name, field in fields.items()}}


def _of_data(field: Any) -> Any:
    if isinstance(field, str):
        return {JMESPATH: field}
    if isinstance(field, tuple) and len(field) == 1 and isinstance(field[0], str):
        return {JMESPATH: field[0], "list": True}
    if isinstance(field, dict) and isinstance(field.get("each"), str):
        return {**field, "each": {JMESPATH: field["each"]}}
    if isinstance(field, dict) and not {"each", "fields", *WAYS, OPENGRAPH} & field.keys():
        return {JMESPATH: "@", **field}
    return field
