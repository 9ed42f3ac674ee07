"""Array: numbers of the whole fleet, as many as it was created with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import index as as_index
from typing import Any, SupportsIndex

from crawlfleet.shared.objects import CALL_BYTES
from crawlfleet.shared.typecodes import pack, unpack
from crawlfleet.worker.talk.objects.base import Source
from crawlfleet.worker.talk.objects.values import Synchronized, code_of, number_of, value_of


class Array(Synchronized):
    """Numbers of one typecode, as `multiprocessing.Array`: each index or slice is read or written in one step.

    An array of typecode `c` has also `value` and `raw`.
    """

    kind = "Array"

    def __init__(
        self, source: Source, name: str, typecode: Any = None, size_or_initializer: int | Iterable[Any] | None = None
    ) -> None:
        code, size, data = code_of(typecode), size_or_initializer, b""
        if not isinstance(size, int | None):
            values = list(size)
            size, data = len(values), _packed(code, values)
        super().__init__(source, name, (code, size, data))

    def __len__(self) -> int:
        size: int = self._opened[1]
        return size

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        if not isinstance(index, slice):
            at = self._at(index)
            return self._values(at, at + 1)[0]
        places = range(len(self))[index]
        if not places:
            return self._joined([])
        low, high = min(places[0], places[-1]), max(places[0], places[-1]) + 1
        return self._joined(self._values(low, high)[:: places.step])

    def __setitem__(self, index: SupportsIndex | slice, value: Any) -> None:
        if not isinstance(index, slice):
            self._write(self._at(index), 1, [value])
            return
        places, values = range(len(self))[index], list(value)
        if len(places) != len(values):
            raise ValueError("Can only assign sequence of same size")
        if places:
            self._write(places.start, places.step, values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values(0, len(self)))

    def __str__(self) -> str:
        return f"Array({self._code!r}, {self[:]!r})"

    @property
    def value(self) -> bytes:
        """The bytes of an array of typecode `c`, up to the first that is zero."""
        return self.raw.split(b"\0", 1)[0]

    @value.setter
    def value(self, value: bytes) -> None:
        self.raw = value + b"\0" * (len(value) < len(self))

    @property
    def raw(self) -> bytes:
        """All bytes of an array of typecode `c`."""
        self._require_bytes()
        return b"".join(self._pages(0, len(self)))

    @raw.setter
    def raw(self, value: bytes) -> None:
        self._require_bytes()
        if len(value) > len(self):
            raise ValueError("byte string too long")
        self._write(0, 1, list(value))

    @property
    def _code(self) -> str:
        code: str = self._opened[0]
        return code

    def _at(self, index: SupportsIndex) -> int:
        try:
            return range(len(self))[as_index(index)]
        except IndexError:
            raise IndexError("invalid index") from None

    def _values(self, start: int, stop: int) -> list[Any]:
        code = self._code
        return [value_of(code, number) for page in self._pages(start, stop) for number in unpack(code, page)]

    def _pages(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield packed numbers from `start` up to `stop`: up to 4 MB are read at one moment."""
        while start < stop:
            page: bytes = self._read("read", start, stop)
            yield page
            start += len(unpack(self._code, page))

    def _write(self, start: int, step: int, values: list[Any]) -> None:
        self._call("write", start, step, _packed(self._code, values))

    def _joined(self, values: list[Any]) -> Any:
        """Return what a slice is: bytes, a str, or a list of numbers."""
        if self._code == "c":
            return b"".join(values)
        return "".join(values) if self._code == "u" else values

    def _require_bytes(self) -> None:
        if self._code != "c":
            raise AttributeError(f"an Array of typecode {self._code!r} has neither value nor raw")


def _packed(code: str, values: list[Any]) -> bytes:
    if not code:
        raise TypeError("an Array takes a typecode with its first values")
    data = pack(code, [number_of(code, value) for value in values])
    if len(data) > CALL_BYTES:
        raise ValueError(f"the values of one call have more than {CALL_BYTES} bytes: pass fewer at a time")
    return data
