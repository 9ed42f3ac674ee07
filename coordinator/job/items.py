"""The items of a job: what is extracted, as a person wrote it, and as the rules that a worker goes by. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag, model_validator

from crawlfleet.coordinator.job import values as job_values
from crawlfleet.coordinator.job.css import parse_selector
from crawlfleet.coordinator.job.fields import Field
from crawlfleet.coordinator.job.section import Plain, Section, fault, given, repeated, tag_of
from crawlfleet.shared.brief import FieldRule, ItemRule

Selector = Annotated[str, AfterValidator(job_values.plain_selector)]


class Pick(Plain):
    """A field that takes text or an attribute, of the first match or of all (`many`). It has no keys in YAML."""

    css: str
    take: str
    attr: str
    many: bool

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: object) -> dict[str, object]:
        many = isinstance(value, tuple)
        text = value[0] if isinstance(value, tuple) and len(value) == 1 else value
        if isinstance(text, str):
            return {**parse_selector(text)._asdict(), "many": many}
        raise ValueError("is no field: write a selector, [selector] for a list, or a mapping such as {css: h1}")

    def rule(self, name: str) -> FieldRule:
        """Return the same for a worker."""
        return self.spec(FieldRule, name=name, selector=self.css)


class Nest(Section):
    """A field that is a list of objects, one for each match of `each`; without `list`, the object of the first."""

    each: Selector
    fields: Annotated[dict[FieldName, Form], AfterValidator(_some_fields)]
    list: bool | None = None
    required: bool = False

    def rule(self, name: str) -> FieldRule:
        """Return the same for a worker."""
        return self.spec(
            FieldRule, name=name, selector=self.each, many=self.list is not False, fields=_field_rules(self.fields)
        )


def _form(value: object) -> str:
    if isinstance(value, dict):
        return tag_of(Nest if "fields" in value or "each" in value else Field)
    return tag_of(type(value) if isinstance(value, Nest | Field) else Pick)


def _some_fields(fields: dict[str, Form]) -> dict[str, Form]:
    if not fields:
        raise ValueError("has no field: write one such as title: h1::text")
    return fields


def _field_rules(fields: Mapping[str, Form]) -> tuple[FieldRule, ...]:
    return tuple(form.rule(name) for name, form in fields.items())


FieldName: TypeAlias = Annotated[str, AfterValidator(job_values.field_name)]
ItemFieldName: TypeAlias = Annotated[str, AfterValidator(job_values.item_field_name)]
# The tags show up in the paths of complaints and are left out of them by `problems`.
Form: TypeAlias = Annotated[
    Annotated[Pick, Tag(tag_of(Pick))] | Annotated[Field, Tag(tag_of(Field))] | Annotated[Nest, Tag("(nest)")],
    Discriminator(_form),
]
Nest.model_rebuild()  # it stands before what its fields are


class Item(Section):
    """One kind of item: one for each match of `each`, or one of the whole page without it."""

    name: Annotated[str, AfterValidator(job_values.item_name)]
    each: Annotated[Selector | None, BeforeValidator(given)] = None
    fields: Annotated[dict[ItemFieldName, Form], AfterValidator(_some_fields)]

    def rule(self) -> ItemRule:
        """Return the same for a worker."""
        return self.spec(ItemRule, each=self.each or "", fields=_field_rules(self.fields))


def check_items(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Refuse two items of one name."""
    index = repeated([item.name for item in items])
    if index is not None:
        raise fault((index, "name"), f"{items[index].name!r} is the name of an earlier rule: give each its own")
    return items
