"""What the sections of a job are made of: their base, and the kinds of values that several of them hold. Pure."""

from __future__ import annotations

from functools import partial

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from crawlfleet.coordinator.job.yaml_source import KeyPath
from crawlfleet.shared.quantities import seconds, size_bytes

STRICT = ConfigDict(strict=True)


class Section(BaseModel):
    """Base of all sections: frozen, nothing unknown, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def given(value: object) -> object:
    """Refuse a key that is there without a value, which the type alone would take for `no limit`."""
    if value is None:
        raise ValueError("is empty")
    return value


def within(low: int, high: int) -> AfterValidator:
    """Accept whole numbers from low to high."""

    def check(value: int) -> int:
        if not low <= value <= high:
            raise ValueError(f"{value} is out of range: write a whole number from {low} to {high}")
        return value

    return AfterValidator(check)


def duration(low: str, high: str) -> BeforeValidator:
    """Read a duration, in seconds."""
    return BeforeValidator(partial(seconds, low=low, high=high))


def size(low: str, high: str) -> BeforeValidator:
    """Read a size, in bytes."""
    return BeforeValidator(partial(size_bytes, low=low, high=high))


def fault(loc: KeyPath, text: str) -> ValidationError:
    """Make an error that belongs to another place than the value under validation."""
    kind = PydanticCustomError("value_error", "{text}", {"text": text})
    return ValidationError.from_exception_data("job", [InitErrorDetails(type=kind, loc=loc, input=text)])
