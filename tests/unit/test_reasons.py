"""Every reason has one name, one sentence, and one row in the documents; product code writes none as a literal."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from crawlfleet.coordinator.core.retry import is_excused, is_passing
from crawlfleet.shared.messages import Outcome, Report, decode, encode
from crawlfleet.shared.reasons import BUDGETS, HOST_BUDGETS, LIMITS, SHORTAGES, TRAPS, Reason, of_status
from tests.unit.rule_turns import POLICY, host, page

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"\| `([a-z_]+)` \| ([^|]+) \|(?: (yes|no) \|)?")
OUTCOMES = {Reason.BODY_TOO_LARGE: Outcome.TOO_LARGE}
OUTCOMES |= {Reason.EXTRACT_ERROR: Outcome.EXTRACT_ERROR, Reason.SITEMAP_BROKEN: Outcome.EXTRACT_ERROR}
OUTCOMES |= {Reason.HOOK_WAITED: Outcome.HOOK_WAITED}
OUTCOMES |= dict.fromkeys(LIMITS | SHORTAGES, Outcome.EXTRACT_ERROR)
OUTCOMES |= {Reason.REPORT_TOO_LARGE: Outcome.REPORT_TOO_LARGE, Reason.INTERNAL_ERROR: Outcome.INTERNAL_ERROR}
# Decided by the coordinator from what a report says, or no failure.
DECIDED = {Reason.POISON, Reason.NOINDEX, Reason.REDIRECT_LOOP, Reason.TOO_MANY_REDIRECTS}
# Words that name other things, too: keys of jobs, parts of addresses, directives of pages.
COMMON = {"connect", "tls", "reset", "host", "include", "exclude", "length", "depth", "robots", "failed", "other"}
COMMON |= {"content_type", "noindex"}
EXEMPT = {
    "reasons.py",
    "messages.py",  # an outcome may have the name of a reason
    "file_format.py",  # names what older versions wrote
}


def _rows() -> list[tuple[str, str, str]]:
    return ROW.findall((ROOT / "docs/reference/reasons.md").read_text())


def test_every_reason_has_its_row_in_the_documents_and_no_other_has() -> None:
    assert sorted((name, meaning) for name, meaning, _ in _rows()) == sorted(
        (reason.value, reason.meaning) for reason in Reason
    )


@pytest.mark.parametrize(("name", "again"), [(name, again) for name, _, again in _rows() if again])
def test_the_documents_say_what_is_tried_again(name: str, again: str) -> None:
    reason = Reason(name)
    if reason in DECIDED:
        assert again == "no"
        return
    outcome = OUTCOMES.get(reason, Outcome.HTTP_ERROR if name.startswith("redirect_") else Outcome.NETWORK_ERROR)
    status = 302 if outcome is Outcome.HTTP_ERROR else 0
    sent = Report(lease=1, ref=b"", outcome=outcome, status=status, reason=reason)
    assert (is_passing(sent) or is_excused(sent, page("1"), host(), POLICY)) == (again == "yes")


def test_the_documents_say_which_statuses_are_tried_again() -> None:
    text = (ROOT / "docs/reference/reasons.md").read_text()
    (listed, but), more = re.findall(r"\| ((?:`http_[0-9x]+`(?:, )?)+)(?: but ([0-9 and]+))? \|", text)
    again = {int(number) for number in re.findall(r"_([0-9]{3})`", f"{listed}{more[0]}")}
    again |= set(range(500, 600)) - {int(number) for number in but.split(" and ")}
    statuses = range(100, 600)
    reports = [Report(lease=1, ref=b"", outcome=Outcome.HTTP_ERROR, status=status) for status in statuses]
    assert {report.status for report in reports if is_passing(report)} == again


def test_reasons_travel_as_plain_text() -> None:
    report = Report(lease=1, ref=b"", outcome=Outcome.NETWORK_ERROR, reason=Reason.TIMEOUT_TOTAL)
    assert type(decode(encode(report), Report).reason) is str
    assert decode(encode(report), Report) == report
    assert of_status(404) == "http_404"


def test_sentences_are_sentences() -> None:
    for reason in Reason:
        assert re.fullmatch(r"[A-Z`].*[^.]\.", reason.meaning), reason
    assert len({reason.meaning for reason in Reason}) == len(Reason)


def test_groups_are_those_that_their_names_say() -> None:
    assert {reason for reason in Reason if reason.startswith("budget_")} == BUDGETS
    assert {reason for reason in Reason if reason.startswith("budget_host_")} == HOST_BUDGETS
    assert {reason for reason in Reason if reason.startswith("trap_")} == TRAPS


@pytest.mark.parametrize("room", ["shared", "worker", "coordinator", "crawlfleet/fleet"])
def test_no_reason_is_written_as_a_literal(room: str) -> None:
    names = {"http_", *(reason.value for reason in Reason)} - COMMON
    written = {
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.value}"
        for path in (ROOT / room).rglob("*.py")
        if path.name not in EXEMPT
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    }
    assert not written
