"""Plain models of what holds values: Value, Array, dict, list, set, Namespace."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import strategies as st

from crawlfleet.coordinator.core.objects.rows import PartRow
from crawlfleet.shared.wire.values import decode
from tests.property.object_model import Call, KindModel, ObjectModel, Op, Outcome, Raised, named

NUMBERS = st.integers(-3, 3)
INDEXES = st.integers(-3, 3)
ENDS = st.one_of(st.none(), INDEXES)
SLICES = st.builds(slice, ENDS, ENDS, st.sampled_from([None, 1, 2, -1]))
KEYS = st.sampled_from([1, True, 1.0, "a", (1, "b"), None])


class ValueModel(KindModel):
    """A number."""

    kind = "Value"
    operations = st.one_of(named("add", NUMBERS), named("set", NUMBERS), named("get"))
    reads = frozenset({"get"})
    last_reads = (("get", ()),)

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.value = 0

    def do_get(self, _call: Call) -> Outcome:
        return self.value

    def do_set(self, _call: Call, value: int) -> Outcome:
        self.value = value

    def do_add(self, _call: Call, value: int) -> Outcome:
        self.value += value
        return self.value

    def check(self, row: Any, _parts: list[PartRow]) -> None:
        assert row.value == self.value


class ArrayModel(KindModel):
    """Three small numbers."""

    kind = "Array"
    operations = st.one_of(
        named("__getitem__", st.integers(-3, 2)),
        named("__getitem__", st.sampled_from([slice(None), slice(None, None, -1), slice(1, 3)])),
        named("__setitem__", st.integers(-3, 2), NUMBERS),
        named("__setitem__", st.just(slice(None)), st.lists(NUMBERS, min_size=3, max_size=3)),
        named("__setitem__", st.just(slice(None, None, -2)), st.lists(NUMBERS, min_size=2, max_size=2)),
    )
    reads = frozenset({"__getitem__"})
    last_reads = (("__getitem__", (slice(None),)),)
    options = ("h", 3)

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.contents = [0] * self.options[1]

    def run(self, call: Call) -> Outcome:
        return getattr(self.contents, call.op.method)(*call.op.args)

    def check(self, row: Any, parts: list[PartRow]) -> None:
        packed = b"".join(part.value for part in parts)[:6]
        assert list(struct.unpack("<3h", packed or bytes(6))) == self.contents
        assert row.size == len(self.contents)


class DictModel(KindModel):
    """A dict of Python."""

    kind = "dict"
    proxy_errors = frozenset({"KeyError"})
    operations = st.one_of(
        named("__setitem__", KEYS, NUMBERS),
        named("__setitem__", KEYS, NUMBERS),
        named("__getitem__", KEYS),
        named("__delitem__", KEYS),
        named("__contains__", KEYS),
        named("__len__"),
        named("get", KEYS, NUMBERS),
        named("setdefault", KEYS, NUMBERS),
        named("pop", KEYS, NUMBERS),
        named("pop", KEYS),
        named("popitem"),
        named("update", st.dictionaries(KEYS, NUMBERS, max_size=3)),
        named("clear"),
        named("copy"),
    )
    reads = frozenset({"__getitem__", "__contains__", "__len__", "get", "copy"})
    last_reads = (("copy", ()), ("__len__", ()))

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.contents: dict[Any, Any] = {}

    def run(self, call: Call) -> Outcome:
        try:
            return getattr(self.contents, call.op.method)(*call.op.args)
        except KeyError:
            return Raised("KeyError")

    def check(self, row: Any, parts: list[PartRow]) -> None:
        entries = [(decode(part.name), decode(part.value)) for part in parts]
        assert repr(entries) == repr(list(self.contents.items()))
        assert row.size == len(self.contents)


class ListModel(KindModel):
    """A list of Python."""

    kind = "list"
    proxy_errors = frozenset({"ValueError"})
    operations = st.one_of(
        named("append", NUMBERS),
        named("append", NUMBERS),
        named("extend", st.lists(NUMBERS, max_size=3)),
        named("insert", INDEXES, NUMBERS),
        named("pop"),
        named("pop", INDEXES),
        named("remove", NUMBERS),
        named("index", NUMBERS),
        named("count", NUMBERS),
        named("reverse"),
        named("sort"),
        named("clear"),
        named("copy"),
        named("__len__"),
        named("__contains__", NUMBERS),
        named("__getitem__", st.one_of(INDEXES, SLICES)),
        named("__setitem__", INDEXES, NUMBERS),
        named("__setitem__", SLICES, st.lists(NUMBERS, max_size=3)),
        named("__delitem__", st.one_of(INDEXES, SLICES)),
    )
    reads = frozenset({"index", "count", "copy", "__len__", "__contains__", "__getitem__"})
    last_reads = (("copy", ()), ("__len__", ()))

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.contents: list[Any] = []

    def run(self, call: Call) -> Outcome:
        try:
            return getattr(self.contents, call.op.method)(*call.op.args)
        except (IndexError, ValueError) as error:
            return Raised(type(error).__name__)


class SetModel(KindModel):
    """A set of Python, which remembers the order in which members were added."""

    kind = "set"
    proxy_errors = frozenset({"KeyError"})
    operations = st.one_of(
        named("add", KEYS),
        named("add", KEYS),
        named("discard", KEYS),
        named("remove", KEYS),
        named("pop"),
        named("__contains__", KEYS),
        named("__len__"),
        named("update", st.lists(KEYS, max_size=1)),
        named("difference_update", st.lists(KEYS, max_size=3)),
        named("intersection_update", st.lists(KEYS, max_size=3)),
        named("symmetric_difference_update", st.lists(KEYS, max_size=1)),
        named("clear"),
        named("copy"),
    )
    reads = frozenset({"__contains__", "__len__", "copy"})
    last_reads = (("copy", ()), ("__len__", ()))

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.members: dict[Any, None] = {}

    def run(self, call: Call) -> Outcome:
        if call.op.method == "pop":
            return self.members.popitem()[0] if self.members else Raised("KeyError")
        plain = set(self.members)
        try:
            outcome = getattr(plain, call.op.method)(*call.op.args)
        except KeyError:
            return Raised("KeyError")
        stay = {member: None for member in self.members if member in plain}
        self.members = {**stay, **dict.fromkeys(plain - stay.keys())}
        return outcome

    def check(self, row: Any, parts: list[PartRow]) -> None:
        assert repr([decode(part.name) for part in parts]) == repr(list(self.members))
        assert row.size == len(self.members)


class NamespaceModel(KindModel):
    """Attributes."""

    kind = "Namespace"
    proxy_errors = frozenset({"AttributeError"})
    operations = st.one_of(
        named("set", st.sampled_from("xy"), NUMBERS),
        named("get", st.sampled_from("xy")),
        named("delete", st.sampled_from("xy")),
    )
    reads = frozenset({"get"})

    def __init__(self, model: ObjectModel, name: str) -> None:
        super().__init__(model, name)
        self.contents: dict[str, Any] = {}

    @staticmethod
    def perform(proxy: Any, op: Op) -> Outcome:
        if op.method == "set":
            return setattr(proxy, *op.args)
        return getattr(proxy, *op.args) if op.method == "get" else delattr(proxy, *op.args)

    def do_set(self, _call: Call, name: str, value: Any) -> Outcome:
        self.contents[name] = value

    def do_get(self, _call: Call, name: str) -> Outcome:
        return self.contents.get(name, Raised("AttributeError"))

    def do_delete(self, _call: Call, name: str) -> Outcome:
        return None if self.contents.pop(name, None) is not None else Raised("AttributeError")

    def check(self, _row: Any, parts: list[PartRow]) -> None:
        assert {decode(part.name): decode(part.value) for part in parts} == self.contents
