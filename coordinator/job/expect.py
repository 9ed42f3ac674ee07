"""What a person expects of a crawl, and is told at its end if it does not hold: a section of the job. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, TypeAdapter

from crawlfleet.coordinator.job import values as job_values
from crawlfleet.coordinator.job.section import STRICT, Section, fault, given, within, written

#: Stands for all items together.
ALL = ""

_PERCENT = re.compile(r"^([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%\Z")

Rows = Annotated[int, within(0, 10**12)]
ItemName = Annotated[str, AfterValidator(job_values.item_name)]


def _share(value: object) -> float:
    match = _PERCENT.match(value) if isinstance(value, str) else None
    if match is None or float(match[1]) > 100:
        raise ValueError("wants a share from 0% to 100%: write one such as 95%")
    return float(match[1]) / 100


def _rows(value: object) -> object:
    if isinstance(value, dict):
        return _ROWS_OF_ITEMS.validate_python(value)
    return {ALL: _ROWS.validate_python(value)}


def _item_and_field(value: str) -> str:
    item, dot, field = value.partition(".")
    if not item or not dot or not field:
        raise ValueError("names no field of an item: write both, with a point between, such as product.price")
    return value


_ROWS: TypeAdapter[int] = TypeAdapter(Rows, config=STRICT)
_ROWS_OF_ITEMS: TypeAdapter[dict[str, int]] = TypeAdapter(dict[ItemName, Rows], config=STRICT)

_PERCENTAGE = written(type="string", pattern=_PERCENT.pattern.replace(r"\Z", "$"))
Share = Annotated[float, BeforeValidator(_share, json_schema_input_type=_PERCENTAGE)]


class Expectations(Section):
    """What must hold at the end of a crawl. `rows` is how many there are at least, by item, or under `ALL`.

    `filled` is in which share of an item's rows a field has a value at least, `failed` which share of pages fails at
    most.
    """

    rows: Annotated[dict[str, int], BeforeValidator(_rows, json_schema_input_type=Rows | dict[ItemName, Rows])] = {}
    filled: dict[Annotated[str, AfterValidator(_item_and_field)], Share] = {}
    failed: Annotated[Share | None, BeforeValidator(given)] = None


def check_names(expect: Expectations, fields: Mapping[str, Collection[str]]) -> None:
    """Refuse an item, or a field, that the rules of a job do not have: `fields` of each item, by name."""
    for name in expect.rows:
        if name != ALL and name not in fields:
            raise _unknown(("rows", name), name, fields)
    known = [f"{item}.{field}" for item, names in fields.items() for field in names]
    for name in expect.filled:
        if name not in known:
            raise _unknown(("filled", name), name, known)


def _unknown(path: tuple[str, str], name: str, known: Collection[str]) -> Exception:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    advice = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return fault(("expect", *path, "[key]"), f"is no name of the rules of this job: {advice}")
