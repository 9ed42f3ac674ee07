"""What fuzzing has done so far, in a file: a run that is ended goes on from there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec


class Account(msgspec.Struct):
    """What one target has had: CPU time of its processes, inputs tried, finds, first ones mended since."""

    cpu_s: float = 0.0
    executions: int = 0
    finds: int = 0


class Ledger:
    """The accounts of all targets. `subjects` names the targets of each subject."""

    def __init__(self, path: Path, subjects: Mapping[str, Iterable[str]]) -> None:
        self._path = path
        self._subjects = {subject: tuple(names) for subject, names in subjects.items()}
        known = msgspec.json.decode(path.read_bytes(), type=dict[str, Account]) if path.exists() else {}
        self.accounts = {name: known.get(name, Account()) for names in self._subjects.values() for name in names}

    def next(self, closed: Iterable[str] = ()) -> str | None:
        """Return whose turn it is: of the subject with the least CPU time the target with the least; None if all are
        closed.
        """
        closed = frozenset(closed)
        spent = {
            subject: self.of(subject).cpu_s for subject, names in self._subjects.items() if not closed.issuperset(names)
        }
        if not spent:
            return None
        names = (name for name in self._subjects[min(spent, key=spent.__getitem__)] if name not in closed)
        return min(names, key=lambda name: self.accounts[name].cpu_s)

    def add(self, name: str, turn: Account) -> None:
        """Add what a turn of a target was, and write the file."""
        known = self.accounts[name]
        self.accounts[name] = Account(
            known.cpu_s + turn.cpu_s, known.executions + turn.executions, known.finds + turn.finds
        )
        part = self._path.with_suffix(".part")
        part.write_bytes(msgspec.json.format(msgspec.json.encode(self.accounts)))
        part.replace(self._path)

    def of(self, subject: str) -> Account:
        """Return the account of a subject: the sum of those of its targets."""
        found = [self.accounts[name] for name in self._subjects[subject]]
        return Account(
            sum(each.cpu_s for each in found), sum(each.executions for each in found), sum(each.finds for each in found)
        )

    def table(self) -> str:
        """Return all accounts as a table of Markdown."""
        rows = [
            f"| {subject} | {', '.join(names)} | {own.cpu_s / 60:.1f} | {own.executions:,} | {own.finds} |\n"
            for subject, names in self._subjects.items()
            for own in (self.of(subject),)
        ]
        head = "| subject | targets | CPU minutes | inputs | finds |\n| --- | --- | ---: | ---: | ---: |\n"
        return head + "".join(rows)
