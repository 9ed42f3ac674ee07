"""Value and Array: numbers of the whole fleet, and what both have of `multiprocessing`."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from crawlfleet.shared.typecodes import SIZES, Number, fitted, from_plain, to_plain
from crawlfleet.worker.talk.objects.base import SharedObject, Source, release_after
from crawlfleet.worker.talk.objects.locks import RLock


class Synchronized(SharedObject):
    """An object with a recursive lock of its own, which its methods do not use: `with value.get_lock(): …`."""

    def get_lock(self) -> RLock:
        """Return the object's lock."""
        return _LOCKS[self.kind](self._source, self.name)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> int:
        """Hold the object's lock: see `RLock`."""
        return self.get_lock().acquire(blocking, timeout)

    def release(self) -> None:
        """Free the object's lock."""
        self.get_lock().release()

    def __enter__(self) -> int:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        release_after(error, self.release)


class Value(Synchronized):
    """A number that the whole fleet shares. Without a typecode it is an int of any size or a float.

    What does not fit the typecode raises `OverflowError`, and `TypeError` if it is of another type.
    """

    kind = "Value"

    def __init__(self, source: Source, name: str, typecode: Any = None, initial: Any = 0) -> None:
        code = code_of(typecode)
        super().__init__(source, name, code, 0 if initial == 0 else to_plain(number_of(code, initial)))

    def __str__(self) -> str:
        return f"Value({self._opened!r}, {self.get()!r})"

    @property
    def value(self) -> Any:
        """The number, or the character."""
        return self.get()

    @value.setter
    def value(self, value: Any) -> None:
        self.set(value)

    def get(self) -> Any:
        """Return the number, or the character."""
        return value_of(self._opened, from_plain(self._read("get")))

    def set(self, value: Any) -> None:
        """Set the number, or the character."""
        self._call("set", to_plain(number_of(self._opened, value)))

    def add(self, number: Number) -> Number:
        """Add to the number, in one step; return the sum."""
        return from_plain(self._call("add", to_plain(number_of("", number))))


class _ValueLock(RLock):
    kind = "ValueLock"


class _ArrayLock(RLock):
    kind = "ArrayLock"


_LOCKS: dict[str, type[RLock]] = {"Value": _ValueLock, "Array": _ArrayLock}


def code_of(typecode: Any) -> str:
    """Return the typecode that is meant by one, by a ctypes type, or by None (any number)."""
    if typecode is None:
        return ""
    code = getattr(typecode, "_type_", None) if isinstance(typecode, type) else typecode
    if not isinstance(code, str):
        raise TypeError(f"a typecode, or a ctypes type that has one, is expected, not {typecode!r}")
    if code not in SIZES:
        raise ValueError(f"there is no typecode {code!r}; there are {' '.join(SIZES)}")
    return code


def number_of(code: str, value: Any) -> Number:
    """Return the number that stands for a value; raise `TypeError` or `OverflowError` if it does not fit."""
    if code == "c" and isinstance(value, bytes | bytearray) and len(value) == 1:
        return value[0]
    if code == "u" and isinstance(value, str) and len(value) == 1:
        return ord(value)
    if code == "u" or not isinstance(value, int | float):
        expected = {"c": "one byte", "u": "one character"}.get(code, "a number")
        shown = "an int" if isinstance(value, int) else f"{value!r:.80}"  # a very long int cannot be shown
        raise TypeError(f"{expected} is expected, not {shown}")
    return fitted(code, int(value) if isinstance(value, bool) else value)


def value_of(code: str, number: Number) -> Any:
    """Return the value that a number stands for."""
    if code == "c":
        return bytes((int(number),))
    if code == "u":
        return chr(int(number))
    return bool(number) if code == "?" else number
