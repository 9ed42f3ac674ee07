"""Which values may be sent over the wire, and their encoding: plain values and refusals, as msgpack.

Owns the list of types, the form of a request and of an answer, and the names of the errors that are raised again as
the same type. It must not know connections or messages.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeVar

import msgspec

from crawlfleet.shared.errors import (
    CrawlFailed,
    CrawlfleetError,
    CrawlLost,
    JoinError,
    NotOwner,
    RemoteError,
    Unreachable,
    UsageError,
    VersionError,
    WireError,
)

DEPTH_LIMIT = 64
#: Requests that are larger have few arguments, which are flat: an empty list has one byte, and takes sixty of memory.
NESTED_REQUEST_BYTES = 64 * 1024
MOST_FLAT_ARGUMENTS = 16
RETURN = "#RETURN"
ERROR = "#ERROR"

Request = tuple[str | None, str, list[Any], dict[str, Any]]
Answer = tuple[str, Any]
_Few = msgspec.Meta(max_length=MOST_FLAT_ARGUMENTS)
_FlatRequest = tuple[
    str | None, str, Annotated[list[msgspec.Raw], _Few], Annotated[dict[str, msgspec.Raw], msgspec.Meta(max_length=0)]
]
T = TypeVar("T")

_BUILTINS = (KeyError, ValueError, TypeError)
_TREE = (CrawlfleetError, UsageError, JoinError, VersionError, CrawlFailed, WireError, Unreachable, NotOwner)
_BY_NAME: dict[str, type[Exception]] = {kind.__name__: kind for kind in (*_BUILTINS, *_TREE)}

# How lists and dicts begin (msgpack: fixmap, fixarray, array 16 and 32, map 16 and 32).
_NESTED = frozenset({*range(0x80, 0xA0), *range(0xDC, 0xE0)})

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()
_request_decoder: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_flat_request_decoder: msgspec.msgpack.Decoder[_FlatRequest] = msgspec.msgpack.Decoder(_FlatRequest)
_answer_decoder: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


def refuse_odd(value: object, depth: int = DEPTH_LIMIT) -> None:
    """Raise `TypeError` or `ValueError` unless a value may be sent.

    Allowed are None, bool, int of 64 bits, finite float, str, bytes, and lists, tuples and dicts (keys: str)
    of these, to a depth of 64. A tuple arrives as a list.
    """
    kind = type(value)
    if kind is str or kind is bytes or kind is int or kind is bool or value is None:
        return
    if depth == 0:
        raise ValueError(f"a value nested deeper than {DEPTH_LIMIT} levels cannot be sent")
    if isinstance(value, float) and kind is float:
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot be sent: a number must be finite")
    elif isinstance(value, list | tuple) and kind in (list, tuple):
        for part in value:
            refuse_odd(part, depth - 1)
    elif isinstance(value, dict) and kind is dict:
        _refuse_odd_dict(value, depth)
    else:
        raise TypeError(f"a value of type {kind.__module__}.{kind.__qualname__} cannot be sent")


def _refuse_odd_dict(value: dict[Any, Any], depth: int) -> None:
    for key, part in value.items():
        if type(key) is not str:
            raise TypeError(f"a dict with a key of type {type(key).__qualname__} cannot be sent: keys are str")
        refuse_odd(part, depth - 1)


def dumps(value: object) -> bytes:
    """Encode a value; raise a `TypeError` that names the type, or a `ValueError`, if it may not be sent."""
    refuse_odd(value)
    try:
        return _encoder.encode(value)
    except OverflowError as error:
        raise ValueError("an integer of more than 64 bits cannot be sent") from error


def loads(frame: bytes) -> Any:
    """Decode plain values; raise `WireError` for anything else."""
    return _decode(_decoder, frame)


def loads_request(frame: bytes) -> Request:
    """Decode a request of a client: object, method, arguments; raise `WireError` for anything else."""
    if len(frame) > NESTED_REQUEST_BYTES:
        ident, method, arguments, _ = _decode(_flat_request_decoder, frame)
        return ident, method, [_flat(argument) for argument in arguments], {}
    return _decode(_request_decoder, frame)


def _flat(argument: msgspec.Raw) -> Any:
    """Decode an argument; raise `WireError` if it is a list or a dict."""
    data = bytes(argument)
    if data[0] in _NESTED:
        raise WireError(f"a request of more than {NESTED_REQUEST_BYTES:,} bytes has a list or a dict as an argument")
    return loads(data)


def loads_answer(frame: bytes) -> Answer:
    """Decode an answer of a server: its kind and a value, which is an exception if the kind is ERROR.

    Raise `WireError` for anything else.
    """
    kind, value = _decode(_answer_decoder, frame)
    if kind == RETURN:
        return kind, value
    if kind == ERROR:
        return kind, _as_error(value)
    raise WireError(f"the other side sent an answer of unknown kind {kind[:64]!r}")


def refusal(error: Exception) -> tuple[str, str]:
    """Return the name and text with which an error is sent."""
    if isinstance(error, RemoteError):
        return error.name, error.text
    if isinstance(error, NotOwner):
        return NotOwner.__name__, error.owner
    if isinstance(error, CrawlLost):  # its session goes on with whoever has the crawl next
        return NotOwner.__name__, ""
    builtin = next((kind.__name__ for kind in _BUILTINS if isinstance(error, kind)), None)
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return builtin or type(error).__name__, text


def _as_error(value: object) -> Exception:
    match value:
        case [str(name), str(text)]:
            kind = _BY_NAME.get(name)
            return kind(text) if kind is not None else RemoteError(name, text)
        case _:
            raise WireError("the other side sent an error without a name")


def _decode(decoder: msgspec.msgpack.Decoder[T], frame: bytes) -> T:
    try:
        return decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise WireError(f"the other side sent an invalid message: {error!s:.500}") from error
