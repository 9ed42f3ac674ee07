"""The items of a job: what is extracted, as a person wrote it, and as the rules that a worker goes by. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, GetJsonSchemaHandler, Tag, model_validator

from crawlfleet.coordinator.job import values as job_values
from crawlfleet.coordinator.job.css import parse_selector
from crawlfleet.coordinator.job.fields import Field
from crawlfleet.coordinator.job.scope import Patterns
from crawlfleet.coordinator.job.section import Plain, Section, Written, fault, given, repeated, tag_of
from crawlfleet.coordinator.job.where import Where, in_words_of_data
from crawlfleet.coordinator.job.yaml_source import KeyPath
from crawlfleet.shared.brief import CSS, ELEMENTS, JMESPATH, FieldRule, ItemRule


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

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler, /) -> dict[str, Any]:
        text = {"type": "string"}
        return {"anyOf": [text, {"type": "array", "items": text, "minItems": 1, "maxItems": 1}]}

    @property
    def by(self) -> str:
        """How it is found."""
        return CSS

    def rule(self, name: str) -> FieldRule:
        """Return the same for a worker."""
        return self.spec(FieldRule, name=name, selector=self.css)


class Nest(Section):
    """A field that is a list of objects, one for each match of `each`; without `list`, the object of the first."""

    each: Where
    fields: Annotated[dict[FieldName, Form], AfterValidator(_some_fields)]
    list: Annotated[bool | None, BeforeValidator(given)] = None
    required: bool = False

    @model_validator(mode="before")
    @classmethod
    def _of_data(cls, value: Any) -> Any:
        return in_words_of_data(value)

    @property
    def by(self) -> str:
        """How its objects are found."""
        return self.each.by

    def rule(self, name: str) -> FieldRule:
        """Return the same for a worker."""
        many, fields = self.list is not False, _field_rules(self.fields)
        return self.spec(FieldRule, name=name, by=self.by, selector=self.each.selector, many=many, fields=fields)


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


_NAME = {"pattern": job_values.ITEM_NAME, "maxLength": job_values.MAX_NAME_CHARS}
ItemName: TypeAlias = Annotated[str, AfterValidator(job_values.item_name), Written(lambda: _NAME)]
FieldName: TypeAlias = Annotated[str, AfterValidator(job_values.field_name)]
ItemFieldName: TypeAlias = Annotated[str, AfterValidator(job_values.item_field_name)]
# The tags show up in the paths of complaints and are left out of them by `problems`.
Form: TypeAlias = Annotated[
    Annotated[Pick, Tag(tag_of(Pick))] | Annotated[Field, Tag(tag_of(Field))] | Annotated[Nest, Tag("(nest)")],
    Discriminator(_form),
]
Nest.model_rebuild()  # it stands before what its fields are


_OF_DATA = "selects elements of pages, but what is found here is data: write jmespath"
_OF_PAGES = "reads JSON answers, but this item is found in pages: write css, xpath, jsonld or microdata"
_OF_ANSWERS = "looks into pages, but this item is found in JSON answers: write jmespath"


class Item(Section):
    """One kind of item: one for each match of `each`, or one of the whole page without it.

    It is looked for in pages whose address one of `urls` matches, and in which `when` finds something.
    """

    name: ItemName
    urls: Patterns = ()
    when: Annotated[Where | None, BeforeValidator(given)] = None
    each: Annotated[Where | None, BeforeValidator(given)] = None
    fields: Annotated[dict[ItemFieldName, Form], AfterValidator(_some_fields)]

    @model_validator(mode="before")
    @classmethod
    def _of_data(cls, value: Any) -> Any:
        return in_words_of_data(value)

    @model_validator(mode="after")
    def _of_one_kind(self) -> Item:
        of_fields = self.each is None and any(form.by == JMESPATH for form in self.fields.values())
        reads_json = of_fields or (self.each is not None and self.each.by == JMESPATH)
        is_of_data = reads_json or (self.each is not None and self.each.by not in ELEMENTS)
        for path, text in _strange(self.fields, is_of_data=is_of_data):
            raise fault(("fields", *path), text)
        if self.when is not None and (self.when.by == JMESPATH) != reads_json:
            raise fault(("when",), _OF_ANSWERS if reads_json else _OF_PAGES)
        return self

    def rule(self) -> ItemRule:
        """Return the same for a worker."""
        return self.spec(
            ItemRule,
            each=self.each.selector if self.each else "",
            by=self.each.by if self.each else CSS,
            when=self.when.selector if self.when else "",
            when_by=self.when.by if self.when else CSS,
            fields=_field_rules(self.fields),
        )


def _strange(fields: Mapping[str, Form], *, is_of_data: bool) -> Iterator[tuple[KeyPath, str]]:
    """Yield the places of fields that cannot be found where they stand, and what is wrong: elements in data, or the
    other way round."""
    for name, form in fields.items():
        if form.by in ELEMENTS if is_of_data else form.by == JMESPATH:
            yield (name,), _OF_DATA if is_of_data else _OF_PAGES
        elif isinstance(form, Nest):
            below = _strange(form.fields, is_of_data=form.by not in ELEMENTS)
            yield from (((name, "fields", *path), text) for path, text in below)


def check_items(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Refuse two items of one name."""
    index = repeated([item.name for item in items])
    if index is not None:
        raise fault((index, "name"), f"{items[index].name!r} is the name of an earlier rule: give each its own")
    return items


def leave_names(names: Collection[str], items: Sequence[Item], columns: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse fields and columns with names that rows have of a line of a seeds file."""
    of_rules: list[KeyPath] = [
        ("items", place, "fields", name) for place, item in enumerate(items) for name in item.fields
    ]
    declared: list[KeyPath] = [("columns", item, name) for item, fields in columns.items() for name in fields]
    for path in (*of_rules, *declared):
        if path[-1] in names:
            raise fault(path, "is a name that rows have of their line of a seeds file: give the field another")
