"""Header fields in a job: which of them are secrets, and where the value of one is read that the job only names.

A secret stands in a job as a `Secret`. So whoever shows, compares or keeps a job meets what is written of it, or a
checksum; its value is for those alone who send it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BeforeValidator, PlainValidator, TypeAdapter, ValidationInfo

from crawlfleet.coordinator.job import values as job_values
from crawlfleet.coordinator.job.named_files import read_secret
from crawlfleet.coordinator.job.section import STRICT, fault, repeated

ENVIRONMENT, FILE = "env:", "file:"
# Enough to notice another value; too little to find one out by trying.
CHECKSUM_BYTES = 2

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = r"authorization|auth|cookie|credentials?|jwt|(?:api)?key|passw(?:or)?d|secret|session|signature|token"
_SECRET_NAME = re.compile(rf"(?:.*[-_.])?(?:{_WORDS})", re.IGNORECASE)


class Secret(str):
    """What a job may show of a secret: where it is read, or a checksum. `value` is what is sent."""

    __slots__ = ("value",)
    value: str

    @classmethod
    def of(cls, value: str, source: str = "") -> Secret:
        """Return the secret of this value, which is read from a source, or written in the job itself."""
        checksum = blake2b(value.encode(), digest_size=CHECKSUM_BYTES).hexdigest()
        secret = cls(source or f"(a secret, checksum {checksum})")
        secret.value = value
        return secret


def is_secret_name(name: str) -> bool:
    """Say whether a header field of this name probably holds a secret."""
    return _SECRET_NAME.fullmatch(name) is not None


def names_source(value: str) -> bool:
    """Say whether a value is not written in the job, which says where to read it."""
    return value.startswith((ENVIRONMENT, FILE))


def harmless(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the header fields that are no secrets."""
    return tuple((name, value) for name, value in headers if not isinstance(value, Secret))


def secret(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the header fields that are secrets, with the values that are sent."""
    return tuple((name, value.value) for name, value in headers if isinstance(value, Secret))


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("wants text: put the value in quotes")  # noqa: TRY004  pydantic's way
    return value


def _value(value: str, info: ValidationInfo) -> str:
    """Return a value as it is written, or read where it says; no error repeats it, but where it is read."""
    if not names_source(value):
        return job_values.header_value(value)
    found = (_variable(value) if value.startswith(ENVIRONMENT) else _file(value, info)).strip()
    try:
        return Secret.of(job_values.header_value(found), value)
    except ValueError as error:
        raise ValueError(f"{value} holds no header value: one line of printable ASCII (RFC 9110)") from error


def _variable(value: str) -> str:
    name = value.removeprefix(ENVIRONMENT)
    if not _VARIABLE.fullmatch(name):
        raise ValueError(f"{ENVIRONMENT} is followed by the name of an environment variable: write such as env:TOKEN")
    found = os.environ.get(name)
    if found is None:
        raise ValueError(f"the environment has no {name}: set it where the coordinator runs")
    return found


def _file(value: str, info: ValidationInfo) -> str:
    assert info.context is not None
    return read_secret(Path(os.path.realpath(info.context["folder"] / value.removeprefix(FILE))))


_Value = Annotated[str, AfterValidator(_value), BeforeValidator(_text)]
_OF_PAGES: TypeAdapter[dict[str, str]] = TypeAdapter(
    dict[Annotated[str, AfterValidator(job_values.header_name)], _Value], config=STRICT
)
_OF_ROWS: TypeAdapter[dict[str, str]] = TypeAdapter(
    dict[Annotated[str, AfterValidator(job_values.sent_header_name)], _Value], config=STRICT
)


def _read(adapter: TypeAdapter[dict[str, str]], value: object, info: ValidationInfo) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise ValueError("wants a mapping of names and values, such as {Accept-Language: en}")  # noqa: TRY004  as above
    headers = adapter.validate_python(value, context=info.context)
    index = repeated(name.lower() for name in headers)
    if index is not None:
        raise fault((list(headers)[index], "[key]"), "is written twice, with other capitals: keep one")
    return tuple(headers.items())


def _kept_secret(value: str) -> Secret:
    return value if isinstance(value, Secret) else Secret.of(value)


def _of_all_hosts(value: object, info: ValidationInfo) -> tuple[tuple[str, str], ...]:
    headers = _read(_OF_PAGES, value, info)
    return tuple((name, _kept_secret(each) if is_secret_name(name) else each) for name, each in headers)


def _of_a_site(value: object, info: ValidationInfo) -> tuple[tuple[str, str], ...]:
    return tuple((name, _kept_secret(each)) for name, each in _read(_OF_PAGES, value, info))


def _of_rows(value: object, info: ValidationInfo) -> tuple[tuple[str, str], ...]:
    return tuple((name, _kept_secret(each)) for name, each in _read(_OF_ROWS, value, info))


def _headers(read: Any) -> Any:
    return PlainValidator(read, json_schema_input_type=dict[str, str])


#: Header fields of requests for pages: those that are secrets by name or source are `Secret`.
Headers: TypeAlias = Annotated[tuple[tuple[str, str], ...], _headers(_of_all_hosts)]
#: The same of a site, and those that are sent with rows: all are `Secret`.
SiteHeaders: TypeAlias = Annotated[tuple[tuple[str, str], ...], _headers(_of_a_site)]
RowHeaders: TypeAlias = Annotated[tuple[tuple[str, str], ...], _headers(_of_rows)]
