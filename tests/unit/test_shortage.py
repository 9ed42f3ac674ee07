"""What counts as something that a machine lacked, among what a page or its hook may raise."""

from __future__ import annotations

import errno
import os

import pytest

from crawlfleet.shared.reasons import Reason
from crawlfleet.worker.extract.shortage import shortage_of


def caused(error: Exception, cause: BaseException) -> Exception:
    """Return an error that was raised from another."""
    try:
        raise error from cause
    except type(error) as raised:
        return raised


def raised_while(error: Exception, earlier: Exception) -> Exception:
    """Return an error that was raised while another was handled."""
    try:
        try:
            raise earlier
        except type(earlier):
            raise error  # noqa: B904  as hooks do
    except type(error) as raised:
        return raised


def of_number(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), Reason.OUT_OF_MEMORY),
        (of_number(errno.ENOMEM), Reason.OUT_OF_MEMORY),
        (of_number(errno.EMFILE), Reason.HOOK_DESCRIPTORS),
        (of_number(errno.ENFILE), Reason.HOOK_DESCRIPTORS),
        (of_number(errno.ENOSPC), Reason.HOOK_DISK),
        (of_number(errno.EDQUOT), Reason.HOOK_DISK),
        (SyntaxError("Memory allocation failed, line 1"), Reason.OUT_OF_MEMORY),
        (caused(ValueError("no"), MemoryError()), Reason.OUT_OF_MEMORY),
        (raised_while(KeyError("a"), of_number(errno.ENOSPC)), Reason.HOOK_DISK),
        (of_number(errno.ENOENT), None),
        (OSError("no number"), None),
        (ValueError("memory"), None),
    ],
)
def test_a_shortage_is_found_behind_other_errors(error: Exception, reason: Reason | None) -> None:
    assert shortage_of(error) is reason


def test_a_ring_of_errors_has_an_end() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert shortage_of(one) is None
