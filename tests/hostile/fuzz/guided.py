"""One process that fuzzes one target by coverage, with atheris and libFuzzer, or looks at one input again.

    python -m tests.hostile.fuzz.guided TARGET --corpus DIR --finds DIR --current FILE --seconds 90
    python -m tests.hostile.fuzz.guided TARGET --look FILE

The first ends when the time is over, or at the first find, whose input is in the folder of finds then. If the process
dies, or does not end, the file `--current` has the input. The second makes a find as short as it can, says what it is,
and ends with 1; with 0 if the input is none (any more).
"""

from __future__ import annotations

import argparse
import mmap
import re
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.hostile.fuzz.target import Target

MOST_CPU_S = 2.0
MOST_BYTES = 4096
_SIZE_BYTES = 4
MOST_MEMORY_MB = 2_000
#: Of a find; longer ones are left as they are then.
MOST_SHORTENING_S = 60.0
#: libFuzzer takes no longer entries of a dictionary.
MOST_ENTRY_BYTES = 64
# Parsers in Python, whose branches count, too; what is compiled is fuzzed without a view of its branches.
INSTRUMENTED = ("crawlfleet", "protego", "jmespath", "price_parser", "dateutil", "markdownify")

_EXECUTIONS = re.compile(r"^stat::number_of_executed_units: +([0-9]+)", re.MULTILINE)


class SlowInput(AssertionError):
    """Reading an input took too much CPU time."""


def attempt(target: Target, data: bytes, most_cpu_s: float = MOST_CPU_S) -> None:
    """Try an input; raise what is found."""
    value = target.inputs.read(data)
    started = time.thread_time()
    target.holds(value)
    took_s = time.thread_time() - started
    if took_s > most_cpu_s:
        raise SlowInput(f"{took_s:.1f} s")


def dictionary(target: Target) -> str:
    """Return the pieces of a target's inputs as libFuzzer reads a dictionary."""
    pieces = (piece for piece in target.inputs.pieces if 0 < len(piece) <= MOST_ENTRY_BYTES)
    return "".join('"' + "".join(rf"\x{byte:02x}" for byte in piece) + '"\n' for piece in pieces)


def executions_in(said: str) -> int:
    """Return how many inputs libFuzzer says that it has tried."""
    match = _EXECUTIONS.search(said)
    return int(match[1]) if match else 0


def shortened(data: bytes, fails: Callable[[bytes], bool], ends_at: float) -> bytes:
    """Return the shortest input found that still fails: without all parts, large ones first, that can be left out."""
    size = len(data) // 2
    while size:
        at = 0
        while at < len(data) and time.monotonic() < ends_at:
            shorter = data[:at] + data[at + size :]
            if fails(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def look(target: Target, file: Path) -> str:
    """Try the input of a find again, and shorten it; return what it is, empty if it is none any more."""
    data = file.read_bytes()
    try:
        attempt(target, data)
    except Exception as error:  # noqa: BLE001  # whatever is raised is a find
        kind = type(error)
    else:
        return ""

    def fails(shorter: bytes) -> bool:
        try:
            attempt(target, shorter)
        except Exception as error:  # noqa: BLE001  # as above
            return type(error) is kind
        return False

    data = shortened(data, fails, time.monotonic() + MOST_SHORTENING_S)
    file.write_bytes(data)
    said = ""
    try:
        attempt(target, data)
    except Exception:  # noqa: BLE001  # as above
        said = traceback.format_exc()
    return f"{target.inputs.read(data)!r}\n{said}"


class Current:
    """A file with the input that is tried, in memory that survives the process."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_SIZE_BYTES + MOST_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def put(self, data: bytes) -> None:
        """Take the place of the input before."""
        self._map[:_SIZE_BYTES] = len(data).to_bytes(_SIZE_BYTES)
        self._map[_SIZE_BYTES : _SIZE_BYTES + len(data)] = data

    @staticmethod
    def read(path: Path) -> bytes:
        """Return the input in a file."""
        data = path.read_bytes()
        return data[_SIZE_BYTES:][: int.from_bytes(data[:_SIZE_BYTES])]


def fuzz(name: str, corpus: Path, finds: Path, current: Path, seconds: int) -> None:
    """Fuzz a target until the time is over; never return."""
    import atheris

    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        from tests.hostile.fuzz.targets import TARGETS

        target = TARGETS[name]
        # What is imported when it is used is instrumented, too.
        for number, sample in enumerate(target.inputs.samples):
            (corpus / f"sample-{number}").write_bytes(sample)
            with suppress(Exception):  # libFuzzer tries them again, and keeps what is found
                attempt(target, sample)
    options = [
        f"-max_total_time={seconds}", f"-artifact_prefix={finds}/", f"-max_len={MOST_BYTES}",
        f"-timeout={10 * seconds}",  # whoever runs this ends it before; 0 would be over at once
        f"-rss_limit_mb={MOST_MEMORY_MB}", "-print_final_stats=1", "-verbosity=0", "-reload=0",
    ]  # fmt: skip
    if target.inputs.pieces:  # libFuzzer takes no empty dictionary
        entries = corpus.with_suffix(".dict")
        entries.write_text(dictionary(target), encoding="ascii")
        options.append(f"-dict={entries}")
    kept = Current(current)

    def once(data: bytes) -> None:
        kept.put(data)
        attempt(target, data, 2 * MOST_CPU_S)  # what is instrumented takes longer

    atheris.Setup([sys.argv[0], *options, str(corpus)], once)
    atheris.Fuzz()


def main() -> None:
    """Fuzz, or look."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz.guided")
    parser.add_argument("target")
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--finds", type=Path)
    parser.add_argument("--current", type=Path)
    parser.add_argument("--seconds", type=int, default=90)
    parser.add_argument("--look", type=Path)
    options = parser.parse_args()
    if options.look is None:
        fuzz(options.target, options.corpus, options.finds, options.current, options.seconds)
    from tests.hostile.fuzz.targets import TARGETS

    found = look(TARGETS[options.target], options.look)
    if found:
        print(found, flush=True)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
