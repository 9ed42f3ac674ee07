"""The decoders and encoders of the Encoding Standard, written down from its text: slow, and with its own indexes.

What our decoders are compared with. Its indexes are read from the vectors (`index-*.txt`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cache

from tests.conformance.vectors import vectors

FOLDER = "whatwg-encoding"
BAD = "\ufffd"
END = -1
#: A decoder gives, for the bytes from a place on, the text of what it reads next, and where to go on.
Step = tuple[str, int]


@cache
def index(name: str) -> dict[int, int]:
    """Return the code points of an index by their pointers."""
    lines = vectors(f"{FOLDER}/index-{name}.txt").read_text(encoding="utf-8").split("\n")
    rows = (line.split("\t") for line in lines if line.strip() and not line.startswith("#"))
    return {int(row[0]): int(row[1], 16) for row in rows}


def decoded(encoding: str, data: bytes) -> str:
    """Return the text of bytes in a legacy encoding of the standard, named in lower case."""
    if encoding == "iso-2022-jp":
        return "".join(_iso_2022_jp(data))
    step = _STEPS.get(encoding) or _single(encoding)
    texts, at = [], 0
    while at < len(data):
        text, at = step(data, at)
        texts.append(text)
    return "".join(texts)


def _byte(data: bytes, at: int) -> int:
    return data[at] if at < len(data) else END


def _single(encoding: str) -> Callable[[bytes, int], Step]:
    codes = index(encoding.removesuffix("-i"))

    def step(data: bytes, at: int) -> Step:
        byte = data[at]
        return (chr(byte) if byte < 0x80 else chr(codes.get(byte - 0x80, 0xFFFD))), at + 1

    return step


def _pair(data: bytes, at: int, code: int | None) -> Step:
    """End a sequence of two bytes (`at` is the second): an ASCII byte of one that stands for nothing is read again."""
    if code is not None:
        return chr(code), at + 1
    return BAD, at if _byte(data, at) < 0x80 else at + 1


def _gb18030(data: bytes, at: int) -> Step:
    lead = data[at]
    if lead < 0x80:
        return chr(lead), at + 1
    if lead == 0x80:
        return "\u20ac", at + 1
    second = _byte(data, at + 1)
    if lead == 0xFF:
        return BAD, at + 1
    if 0x30 <= second <= 0x39:
        third = _byte(data, at + 2)
        if third == END:
            return BAD, len(data)
        if not 0x81 <= third <= 0xFE:
            return BAD, at + 1
        fourth = _byte(data, at + 3)
        if fourth == END:
            return BAD, len(data)
        if not 0x30 <= fourth <= 0x39:
            return BAD, at + 1
        pointer = ((lead - 0x81) * 10 + second - 0x30) * 1260 + (third - 0x81) * 10 + fourth - 0x30
        code = _of_ranges(pointer)
        return (BAD if code is None else chr(code)), at + 4
    code = None
    if 0x40 <= second <= 0x7E or 0x80 <= second <= 0xFE:
        pointer = (lead - 0x81) * 190 + second - (0x40 if second < 0x7F else 0x41)
        code = index("gb18030").get(pointer)
    return _pair(data, at + 1, code)


@cache
def _ranges() -> tuple[list[int], list[int]]:
    rows = sorted(index("gb18030-ranges").items())
    return [pointer for pointer, _ in rows], [code for _, code in rows]


def _of_ranges(pointer: int) -> int | None:
    if 39419 < pointer < 189000 or pointer > 1237575:
        return None
    if pointer == 7457:
        return 0xE7C7
    pointers, codes = _ranges()
    at = bisect_right(pointers, pointer) - 1
    return codes[at] + pointer - pointers[at]


_BIG5_PAIRS = {1133: "\u00ca\u0304", 1135: "\u00ca\u030c", 1164: "\u00ea\u0304", 1166: "\u00ea\u030c"}


def _big5(data: bytes, at: int) -> Step:
    lead = data[at]
    if lead < 0x80:
        return chr(lead), at + 1
    if not 0x81 <= lead <= 0xFE:
        return BAD, at + 1
    trail, code = _byte(data, at + 1), None
    if 0x40 <= trail <= 0x7E or 0xA1 <= trail <= 0xFE:
        pointer = (lead - 0x81) * 157 + trail - (0x40 if trail < 0x7F else 0x62)
        if pointer in _BIG5_PAIRS:
            return _BIG5_PAIRS[pointer], at + 2
        code = index("big5").get(pointer)
    return _pair(data, at + 1, code)


def _euc_jp(data: bytes, at: int) -> Step:
    lead = data[at]
    if lead < 0x80:
        return chr(lead), at + 1
    if lead not in (0x8E, 0x8F) and not 0xA1 <= lead <= 0xFE:
        return BAD, at + 1
    second = _byte(data, at + 1)
    if lead == 0x8E and 0xA1 <= second <= 0xDF:
        return chr(0xFF61 - 0xA1 + second), at + 2
    table = "jis0208"
    if lead == 0x8F and 0xA1 <= second <= 0xFE:
        table, lead, at = "jis0212", second, at + 1
    trail, code = _byte(data, at + 1), None
    if 0xA1 <= lead <= 0xFE and 0xA1 <= trail <= 0xFE:
        code = index(table).get((lead - 0xA1) * 94 + trail - 0xA1)
    return _pair(data, at + 1, code)


def _shift_jis(data: bytes, at: int) -> Step:
    lead = data[at]
    if lead <= 0x80:
        return chr(lead), at + 1
    if 0xA1 <= lead <= 0xDF:
        return chr(0xFF61 - 0xA1 + lead), at + 1
    if not (0x81 <= lead <= 0x9F or 0xE0 <= lead <= 0xFC):
        return BAD, at + 1
    trail, code = _byte(data, at + 1), None
    if 0x40 <= trail <= 0x7E or 0x80 <= trail <= 0xFC:
        pointer = (lead - (0x81 if lead < 0xA0 else 0xC1)) * 188 + trail - (0x40 if trail < 0x7F else 0x41)
        code = 0xE000 - 8836 + pointer if 8836 <= pointer <= 10715 else index("jis0208").get(pointer)
    return _pair(data, at + 1, code)


def _euc_kr(data: bytes, at: int) -> Step:
    lead = data[at]
    if lead < 0x80:
        return chr(lead), at + 1
    if not 0x81 <= lead <= 0xFE:
        return BAD, at + 1
    trail, code = _byte(data, at + 1), None
    if 0x41 <= trail <= 0xFE:
        code = index("euc-kr").get((lead - 0x81) * 190 + trail - 0x41)
    return _pair(data, at + 1, code)


def _user_defined(data: bytes, at: int) -> Step:
    return chr(data[at] if data[at] < 0x80 else 0xF780 + data[at] - 0x80), at + 1


def _replacement(data: bytes, _at: int) -> Step:
    return BAD, len(data)


_STEPS: dict[str, Callable[[bytes, int], Step]] = {
    "gbk": _gb18030,
    "gb18030": _gb18030,
    "big5": _big5,
    "euc-jp": _euc_jp,
    "shift_jis": _shift_jis,
    "euc-kr": _euc_kr,
    "x-user-defined": _user_defined,
    "replacement": _replacement,
}
_MODES = {b"\x1b(B": "ascii", b"\x1b(J": "roman", b"\x1b(I": "katakana", b"\x1b$@": "lead", b"\x1b$B": "lead"}


def _iso_2022_jp(data: bytes) -> Iterator[str]:  # noqa: C901  # the standard's table of states
    mode, output, at = "ascii", False, 0
    while at < len(data):
        byte = data[at]
        if byte == 0x1B:
            found = _MODES.get(data[at : at + 3])
            if found:
                # "output" is set by an escape: two of them without anything between are an error.
                if output:
                    yield BAD
                mode, output, at = found, True, at + 3
                continue
            output = False
            yield BAD
            at += 1
            continue
        output = False
        if mode == "ascii" or mode == "roman":
            if byte < 0x80 and byte not in (0x0E, 0x0F):
                yield {0x5C: "\u00a5", 0x7E: "\u203e"}.get(byte, chr(byte)) if mode == "roman" else chr(byte)
            else:
                yield BAD
            at += 1
        elif mode == "katakana":
            yield chr(0xFF61 - 0x21 + byte) if 0x21 <= byte <= 0x5F else BAD
            at += 1
        elif not 0x21 <= byte <= 0x7E:
            yield BAD
            at += 1
        else:
            trail = _byte(data, at + 1)
            if trail == 0x1B:
                yield BAD
                at += 1
            elif 0x21 <= trail <= 0x7E:
                yield chr(index("jis0208").get((byte - 0x21) * 94 + trail - 0x21, 0xFFFD))
                at += 2
            else:
                yield BAD
                at += 2


@cache
def _pointers(name: str) -> dict[int, int]:
    """Return the first pointers of the code points of an index."""
    found: dict[int, int] = {}
    for pointer, code in sorted(index(name).items()):
        found.setdefault(code, pointer)
    return found


@cache
def _without(name: str, left_out: range) -> dict[int, int]:
    found: dict[int, int] = {}
    for pointer, code in sorted(index(name).items()):
        if pointer not in left_out:
            found.setdefault(code, pointer)
    return found


def encoded(encoding: str, code: int) -> bytes | None:  # noqa: C901  # the standard's cases
    """Return the bytes of a code point beyond ASCII in a legacy encoding without states; None if it has none."""
    if encoding == "x-user-defined":
        return bytes((code - 0xF780 + 0x80,)) if 0xF780 <= code <= 0xF7FF else None
    if encoding in ("gbk", "gb18030"):
        return _in_gb18030(code, encoding == "gbk")
    if encoding in ("euc-jp", "shift_jis"):
        if code == 0x80 and encoding == "shift_jis":
            return b"\x80"
        if code in (0xA5, 0x203E):
            return b"\\" if code == 0xA5 else b"~"
        if 0xFF61 <= code <= 0xFF9F:
            return (b"\x8e" if encoding == "euc-jp" else b"") + bytes((code - 0xFF61 + 0xA1,))
        code = 0xFF0D if code == 0x2212 else code
    if encoding == "euc-jp":
        pointer = _pointers("jis0208").get(code)
        return None if pointer is None else bytes((pointer // 94 + 0xA1, pointer % 94 + 0xA1))
    if encoding == "shift_jis":
        pointer = _without("jis0208", range(8272, 8836)).get(code)
        if pointer is None:
            return None
        lead, trail = divmod(pointer, 188)
        return bytes((lead + (0x81 if lead < 0x1F else 0xC1), trail + (0x40 if trail < 0x3F else 0x41)))
    if encoding == "euc-kr":
        pointer = _pointers("euc-kr").get(code)
        return None if pointer is None else bytes((pointer // 190 + 0x81, pointer % 190 + 0x41))
    if encoding == "big5":
        codes = _without("big5", range((0xA1 - 0x81) * 157))
        pointer = codes.get(code)
        if code in (0x2550, 0x255E, 0x2561, 0x256A, 0x5341, 0x5345):
            pointer = max(each for each, other in index("big5").items() if other == code)
        if pointer is None:
            return None
        lead, trail = divmod(pointer, 157)
        return bytes((lead + 0x81, trail + (0x40 if trail < 0x3F else 0x62)))
    pointer = _pointers(encoding.removesuffix("-i")).get(code)
    return None if pointer is None else bytes((pointer + 0x80,))


_SIDE = {0xE81E: 0xFE59, 0xE826: 0xFE61, 0xE82B: 0xFE66, 0xE82C: 0xFE67, 0xE832: 0xFE6D, 0xE843: 0xFE7E}
_SIDE |= {0xE854: 0xFE90, 0xE864: 0xFEA0, 0xE794: 0xA6EC, 0xE795: 0xA6ED, 0xE796: 0xA6F3}
_SIDE |= {0xE78D + number: 0xA6D9 + number for number in range(7)}


def _in_gb18030(code: int, is_gbk: bool) -> bytes | None:
    if code == 0xE5E5:
        return None
    if is_gbk and code == 0x20AC:
        return b"\x80"
    if code in _SIDE:
        return _SIDE[code].to_bytes(2, "big")
    pointer = _pointers("gb18030").get(code)
    if pointer is not None:
        lead, trail = divmod(pointer, 190)
        return bytes((lead + 0x81, trail + (0x40 if trail < 0x3F else 0x41)))
    if is_gbk:
        return None
    pointers, codes = _ranges()
    at = bisect_right(codes, code) - 1
    pointer = 7457 if code == 0xE7C7 else pointers[at] + code - codes[at]
    return bytes(
        (pointer // 12600 + 0x81, pointer // 1260 % 10 + 0x30, pointer // 10 % 126 + 0x81, pointer % 10 + 0x30)
    )
