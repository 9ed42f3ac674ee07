"""Array: a fixed number of numbers of one typecode, packed in blocks. A block that is missing consists of zeros."""

from __future__ import annotations

from collections.abc import Iterator

from crawlfleet.coordinator.core.objects.desk import MAX_BYTES_OF_SESSION, Desk, Method, ObjectKind, Refused, part_bytes
from crawlfleet.coordinator.core.objects.rows import ObjectRow
from crawlfleet.shared.objects import PAGE_BYTES
from crawlfleet.shared.ranges import shown
from crawlfleet.shared.typecodes import SIZES, unpack

BLOCK_BYTES = 4096


class ArrayRow(ObjectRow, frozen=True, kw_only=True):
    """An array."""

    typecode: str
    size: int


def open_array(
    desk: Desk, row: ArrayRow | None, name: str, number: int, wanted: tuple[str, int | None, bytes]
) -> tuple[str, int]:
    """Create an array of a typecode and a size, of zeros after the given bytes; return its typecode and size."""
    typecode, size, data = wanted
    if row is not None:
        _check_agreement(row, typecode, size)
        return row.typecode, row.size
    if typecode not in SIZES or size is None:
        raise Refused(ValueError, f"there is no Array {shown(name)} yet: it takes a typecode and a size")
    if not 0 <= size * SIZES[typecode] <= MAX_BYTES_OF_SESSION:
        raise Refused(ValueError, f"an Array has 0 to {MAX_BYTES_OF_SESSION // SIZES[typecode]} items of {typecode!r}")
    created = ArrayRow(name=name, number=number, typecode=typecode, size=size)
    write(desk, created, 0, 1, data)
    desk.put(created)
    return typecode, size


def read(desk: Desk, row: ArrayRow, start: int, stop: int) -> bytes:
    """Return packed numbers from `start` up to `stop`, or as many of them as a page has."""
    width = SIZES[row.typecode]
    start = max(0, start)
    stop = min(stop, row.size, start + PAGE_BYTES // width)
    found = bytearray()
    for index in range(start * width // BLOCK_BYTES, -(-stop * width // BLOCK_BYTES)):
        found += _block(desk, row, index)
    offset = start * width % BLOCK_BYTES
    return bytes(found[offset : offset + max(0, stop - start) * width])


def write(desk: Desk, row: ArrayRow, start: int, step: int, data: bytes) -> None:
    """Write packed numbers, the first to the index `start` and each other one `step` further."""
    width = SIZES[row.typecode]
    try:
        count = len(unpack(row.typecode, data))
    except ValueError as error:
        raise Refused(ValueError, str(error)) from error
    last = start + (count - 1) * step
    if count and not (0 <= start < row.size and 0 <= last < row.size):
        raise Refused(IndexError, "invalid index")
    changed: dict[int, bytearray] = {}
    for at, piece in _pieces(start * width, step * width, width, data):
        index, offset = divmod(at, BLOCK_BYTES)
        if index not in changed:
            changed[index] = bytearray(_block(desk, row, index))
        changed[index][offset : offset + len(piece)] = piece
    new = [index for index in changed if desk.part(row, _subkey(index)) is None]
    desk.check_room(len(new) * part_bytes(_subkey(0), bytes(BLOCK_BYTES)))
    for index, block in changed.items():
        desk.add_part(row, _subkey(index), bytes(block), place=index)


def _pieces(start: int, step: int, width: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Divide bytes into pieces that lie in one block each, with the place of each in the array."""
    if step != width:
        for index in range(0, len(data), width):
            yield start + index // width * step, data[index : index + width]
        return
    index = 0
    while index < len(data):
        length = BLOCK_BYTES - (start + index) % BLOCK_BYTES
        yield start + index, data[index : index + length]
        index += length


def _check_agreement(row: ArrayRow, typecode: str, size: int | None) -> None:
    if typecode not in ("", row.typecode) or size not in (None, row.size):
        has, given = f"{row.size} of typecode {row.typecode!r}", f"{size} of typecode {typecode!r}"
        raise Refused(ValueError, f"the Array {shown(row.name)} has {has}, not {given}")


def _block(desk: Desk, row: ArrayRow, index: int) -> bytes:
    part = desk.part(row, _subkey(index))
    return bytes(BLOCK_BYTES) if part is None else part.value


def _subkey(index: int) -> bytes:
    return index.to_bytes(4)


ARRAY = ObjectKind(
    row=ArrayRow,
    table="object_arrays",
    open=open_array,
    options=tuple[tuple[str, int | None, bytes]],
    methods={
        "read": Method(read, tuple[int, int], reads=True),
        "write": Method(write, tuple[int, int, bytes]),
    },
)
