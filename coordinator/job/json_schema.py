"""The JSON Schema of jobs, for editors and other programs: made of the models, in the words of the reference.

It accepts every job that `load` accepts. What it refuses, `load` refuses, too; the converse does not hold, since no
schema says whether a selector is CSS, or whether keys fit together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from crawlfleet.coordinator.job.job import Job
from crawlfleet.coordinator.job.reference import comment_at, reference_text
from crawlfleet.coordinator.job.yaml_source import KeyPath, parse

_NEEDED = "(needed)"


class _Generator(GenerateJsonSchema):
    """Says what may be written: no key accepts null, and defaults are told in the comments, as they are written."""

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  pydantic's way
        return False


def job_schema() -> dict[str, Any]:
    """Return the schema of a whole job."""
    made = Job.model_json_schema(schema_generator=_Generator)
    forms = made["$defs"]
    for each in (made, *forms.values()):
        for form in (each, *each.get("anyOf", ())):
            form.pop("title", None)
            form.pop("description", None)  # it is for those who read the code
    _describe(made)
    return {"$schema": _Generator.schema_dialect, "title": "A job of crawlfleet", **made}


def _describe(made: dict[str, Any]) -> None:
    """Add the comments of the reference to the keys of a schema."""
    text = reference_text()
    lines, document = text.splitlines(), parse(text)
    keys: dict[KeyPath, set[str]] = {}
    for path in document.keys:
        keys.setdefault(path[:-1], set()).add(str(path[-1]))
    for path, at in document.keys.items():
        said = comment_at(lines, at).removesuffix(_NEEDED).rstrip()
        for schema in _at(path[:-1], made, keys) if said else ():
            if path[-1] in schema.get("properties", ()):
                schema["properties"][path[-1]].setdefault("description", said)


def _at(path: KeyPath, made: dict[str, Any], keys: Mapping[KeyPath, set[str]]) -> list[dict[str, Any]]:
    """Return the schemas of the mapping or list at a path. `keys` has the keys of each mapping of the document."""
    schemas = [made]
    for index, step in enumerate(path):
        schemas = _fitting(schemas, made, keys.get(path[:index], set()))
        members = [schema["items"] for schema in schemas if "items" in schema and isinstance(step, int)]
        named = [schema["properties"][step] for schema in schemas if step in schema.get("properties", ())]
        others = [schema["additionalProperties"] for schema in schemas if schema.get("additionalProperties")]
        schemas = members or named or others
    return _fitting(schemas, made, keys.get(path, set()))


def _fitting(schemas: list[dict[str, Any]], made: dict[str, Any], keys: set[str]) -> list[dict[str, Any]]:
    """Return schemas, or what they refer to or consist of, that accept a mapping with these keys; without keys all."""
    plain: list[dict[str, Any]] = []
    waiting = list(schemas)
    while waiting:
        schema = waiting.pop(0)
        waiting += [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
        if "$ref" in schema:
            waiting.append(made["$defs"][schema["$ref"].rpartition("/")[2]])
        if schema.get("additionalProperties") or keys <= schema.get("properties", {}).keys():
            plain.append(schema)
    return plain
