"""Makes the starter job of a page: guesses rules, tries them on it, keeps what gives something, and writes the text.

Pure. The job that is returned loads, and gives rows on the page; without a rule it has a row for each page.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from crawlfleet.coordinator.job.job import brief, load_from
from crawlfleet.coordinator.job.source import JobSource, Setting
from crawlfleet.coordinator.job.yaml_source import parse
from crawlfleet.starter.fields import Guess
from crawlfleet.starter.job_text import Naming, job_text
from crawlfleet.starter.page_rules import rules_for
from crawlfleet.starter.rule import Rule
from crawlfleet.worker.extract.extractor import Extracted, Extractor
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.rules import is_empty
from crawlfleet.worker.fetch.port import Fetched

#: So many rows of a page are looked at.
MOST_ROWS = 1_000
_ROUNDS = 3


class Starter(NamedTuple):
    """A starter job: its text, its rules, and how many rows of each the page gives, `MOST_ROWS` at most of all."""

    text: str
    rules: tuple[Rule, ...]
    rows: Counter[str]

    @property
    def summary(self) -> str:
        """What was guessed, in words."""
        if not self.rules:
            return "no rule could be guessed from this page, so a crawl has a row for each page, with its title"
        rules = "1 item rule" if len(self.rules) == 1 else f"{len(self.rules)} item rules"
        each = (
            f"{self.rows[rule.name]:,} {'row' if self.rows[rule.name] == 1 else 'rows'} of {rule.name}"
            for rule in self.rules
        )
        more = " or more" if self.rows.total() >= MOST_ROWS else ""
        return f"{rules}, guessed from this page, with {', '.join(each)}{more} on it"


def starter_job(fetched: Fetched, name: str, file: str, schema: str = "") -> Starter:
    """Return a starter job for a page that was fetched. `name` is that of the crawl, `file` that of the job.

    `schema` is the file with the schema of jobs, for editors, if there is one.
    """
    page, job = Page(fetched), Naming(name, file, schema)
    rules, found = rules_for(page), Counter[str]()
    for _ in range(_ROUNDS):
        extracted = _tried(fetched, job_text(page, job, rules))
        found = Counter(row.item for row in extracted.rows)
        mended = [_mended(rule, extracted) for rule in rules]
        kept = [rule for rule in mended if rule.fields and found[rule.name]]
        if kept == rules:
            break
        rules = kept
    return Starter(job_text(page, job, rules), tuple(rules), found)


def _tried(fetched: Fetched, text: str) -> Extracted:
    """Return what a job gives on the page. Its rules are wanted, whatever the page asks of search engines."""
    job: Any = parse(text).value
    settings = [Setting(key, value, "init") for key, value in job.items()]
    ours = (Setting("links.noindex", "ignore", "init"), Setting("limits.rows", MOST_ROWS, "init"))
    loaded = load_from(JobSource(settings=(*settings, *ours)))
    return Extractor(brief(loaded)).extract(fetched)


def _mended(rule: Rule, extracted: Extracted) -> Rule:
    """Return a rule without the fields that are empty in all rows, and without types that do not fit."""
    rows = [row.fields for row in extracted.rows if row.item == rule.name]
    strange = {each.field for each in extracted.unconverted if each.item == rule.name}
    fields = [_untyped(guess) if guess.name in strange else guess for guess in rule.fields]
    filled = {guess.name for guess in fields if any(not is_empty(row[guess.name]) for row in rows)}
    return rule._replace(fields=[guess for guess in fields if guess.name in filled | strange])


def _untyped(guess: Guess) -> Guess:
    form = {key: value for key, value in guess.form.items() if key != "type"}
    return guess._replace(form=form["css"] if list(form) == ["css"] else form or "::text")
