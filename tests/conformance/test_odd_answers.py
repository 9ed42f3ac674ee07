"""Generated answers, odd in every place: fetch engines say the same of them, and what the standards say."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.conformance.answer_grammar import answer_of
from tests.conformance.answer_rules import RULES, Rule
from tests.conformance.compare_answers import Compared, compared, main, told
from tests.conformance.vectors import PUBLISHED

ANSWERS = 2_500
SHOWN = 5


@pytest.fixture(scope="module")
def answers() -> list[Compared]:
    return list(compared(range(ANSWERS)))


def shown(some: list[Compared]) -> str:
    return "\n".join([f"{len(some)} answers", *map(told, some[:SHOWN])])


def test_engines_say_the_same_of_every_answer(answers: list[Compared]) -> None:
    apart = [each for each in answers if each.is_told_apart]
    assert not apart, shown(apart)


def test_every_answer_counts_as_the_rules_say(answers: list[Compared]) -> None:
    misread = [each for each in answers if each.is_misread]
    assert not misread, shown(misread)


def test_every_rule_counts_for_some_answers(answers: list[Compared]) -> None:
    counts = Counter(rule for each in answers for rule in each.answer.rules)
    assert {rule.name for rule in RULES if counts[rule] < SHOWN} == set()


def test_engines_differ_where_a_rule_says_so(answers: list[Compared]) -> None:
    for rule in RULES:
        if rule.otherwise is not None:
            assert any(each.is_excused for each in answers if rule in each.answer.rules), rule.name


def test_the_published_table_has_every_rule() -> None:
    published = PUBLISHED.read_text(encoding="utf-8").splitlines()
    assert [row for row in map(row_of, RULES) if row not in published] == []


def test_a_seed_makes_the_same_answer_again() -> None:
    assert [answer_of(seed) for seed in range(100)] == [answer_of(seed) for seed in range(100)]


def test_the_command_says_how_many_differ(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "0:50"]) == 0
    assert "50 answers, 0 told apart, " in capsys.readouterr().out


def row_of(rule: Rule) -> str:
    verdict = f"`{rule.verdict}`" if rule.verdict else "read"
    if rule.otherwise is not None:
        verdict += f"; `{rule.otherwise.verdict}` by {rule.otherwise.engine}: {rule.otherwise.why}"
    return f"| {rule.place.value} | {rule.name} | {verdict} | {rule.section} |"
