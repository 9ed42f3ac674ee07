"""Rules for a page of HTML: of what repeats in it, of what it says in data, or of the page itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crawlfleet.shared.brief import JSONLD, MICRODATA
from crawlfleet.starter import words
from crawlfleet.starter.data_rules import CALLED, of_json, of_objects, of_open_graph
from crawlfleet.starter.fields import MOST_FIELDS, Guess, guessed
from crawlfleet.starter.leaves import Blocks
from crawlfleet.starter.outline import Outline
from crawlfleet.starter.repeats import LEAST_SHARE, Group, anchor_of, repeated_blocks
from crawlfleet.starter.rule import Rule
from crawlfleet.worker.extract.page import Page
from crawlfleet.worker.extract.sheet import Sheet

MOST_TABLES = 3
#: Who has fewer fields by data than this gets a rule by elements, too.
ENOUGH_FIELDS = 3
#: If its fields have a smaller share of a block's text than this, there is one for all of it.
LEAST_CAUGHT = 0.5
MOST_MARKDOWN_CHARS = 50_000


def rules_for(page: Page) -> list[Rule]:
    """Return the rules for a page; none if there is nothing to name in it."""
    sheet = Sheet(page)
    if page.root is None:
        rule = of_json(sheet.document)
        return [] if rule is None else [rule._replace(about="from a JSON answer")]
    outline = Outline(page.engine, page.root)
    found: list[Rule] = []
    group = repeated_blocks(outline)
    if group is not None and (blocks := _of_blocks(outline, group)):
        found.append(blocks)
    if data := _of_data(sheet, is_list=bool(found)):
        found.append(data)
    is_aside = group is not None and group.share < LEAST_SHARE
    if not found or is_aside or (not found[0].each and len(found[0].fields) < ENOUGH_FIELDS):
        found += _of_page(sheet, outline, taken={rule.name for rule in found})
    return found


def _of_data(sheet: Sheet, *, is_list: bool) -> Rule | None:
    """Return a rule of the page's own data. Of a list of things the elements are enough."""
    for by, objects in ((JSONLD, sheet.linked_data), (MICRODATA, sheet.microdata)):
        rule = of_objects(by, objects)
        if rule is not None and not (is_list and (rule.each or by == MICRODATA)):
            return rule._replace(about=f"from the page's {CALLED[by]}")
    return None


def _of_blocks(outline: Outline, group: Group) -> Rule | None:
    nodes = outline.nodes
    group = _without_heads(outline, group)
    first = nodes[group.members[0]]
    outer = [nodes[each].names[0] for each in outline.above(first.parent) if nodes[each].names]
    name = words.item_name([*first.names, *outer[:1]], "entry")
    own = {word for each in first.names for word in words.words_of(words.value_of(each))}
    heads = _heads(outline, group.members[0])
    fields = guessed(Blocks(outline, group.members).leaves(0.4), own, heads)
    if fields and sum(len(guess.sample) for guess in fields) < LEAST_CAUGHT * outline.text_chars(group.members[0]):
        fields.append(Guess(words.unique("text", {guess.name for guess in fields}), "::text"))
    about = f"{len(group.members)} of them on this page"
    return Rule(name, fields, each=group.selector, about=about) if fields else None


def _without_heads(outline: Outline, group: Group) -> Group:
    """Return the rows of a table without those of its head, which have no cells of data."""
    rows = [each for each in group.members if any(outline.nodes[below].tag == "td" for below in outline.below(each))]
    if outline.nodes[group.members[0]].tag != "tr" or len(rows) in (0, len(group.members)):
        return group
    return group._replace(selector=f"{group.selector}:has(td)", members=tuple(rows))


def _heads(outline: Outline, member: int) -> dict[int, str]:
    """Return the heads of the columns of the table that a row is in, by their numbers."""
    nodes = outline.nodes
    table = next((each for each in outline.above(member) if nodes[each].tag == "table"), None)
    if nodes[member].tag != "tr" or table is None:
        return {}
    row = next((each for each in outline.below(table) if nodes[each].tag == "tr"), table)
    cells = [each for each in outline.below(row) if nodes[each].tag == "th" and nodes[each].parent == row]
    return {nodes[each].nth: name for each in cells if (name := words.slug(outline.text(each)))}


def _of_page(sheet: Sheet, outline: Outline, taken: set[str]) -> list[Rule]:
    """Return a rule for the page as a whole. If what has its text can be told by a name, that must be there."""
    page, content = sheet.page, _content(outline)
    fields = _page_fields(page, outline, content) if outline.nodes else []
    for guess in of_open_graph(sheet.open_graph):
        if guess.name not in {each.name for each in fields}:
            fields.append(guess)
    if not any(guess.name == "title" for guess in fields) and page.title:
        fields.insert(0, Guess("title", "title", page.title))
    described = page.engine.first(page.root, "meta[name=description]")
    text = (page.engine.attributes(described).get("content") or "").strip() if described is not None else ""
    if text and not any(guess.name == "description" for guess in fields):
        fields.append(Guess("description", "meta[name=description]::attr(content)", text))
    tag = re.match(r"[\w-]*", content)
    own = content.removeprefix(tag[0] if tag else "")
    name = words.unique(words.item_name([own], "page"), taken)
    about = "one for each page of this kind" if own else "one for each page"
    return [Rule(name, fields[:MOST_FIELDS], when=content if own else None, about=about)] if fields else []


def _page_fields(page: Page, outline: Outline, content: str) -> list[Guess]:
    nodes = outline.nodes
    around = frozenset(index for index, node in enumerate(nodes) if node.is_around)
    tables = list(_facts(outline))
    inside = frozenset(index for table, _ in tables for index in (table, *outline.below(table)))
    blocks = Blocks(outline, [0], [page.root], around | inside)
    fields = guessed(blocks.leaves(1.0, named=True), of_one=True)[: MOST_FIELDS - MOST_TABLES - 1]
    for _, selector in tables:
        name = words.unique("facts", {guess.name for guess in fields})
        fields.append(Guess(name, {"each": selector, "fields": {"name": "th", "value": "td"}}))
    if content:
        name = words.unique("text", {guess.name for guess in fields})
        # Markdown of much text takes long.
        is_long = outline.chars[-1] > MOST_MARKDOWN_CHARS
        fields.append(Guess(name, content if is_long else {"css": content, "take": "markdown"}))
    return fields


def _facts(outline: Outline) -> Iterator[tuple[int, str]]:
    """Yield the tables of names and values in a page, and selectors of their rows."""
    seen: set[str] = set()
    for index, node in enumerate(outline.nodes):
        if node.tag != "table" or node.is_around or len(seen) == MOST_TABLES:
            continue
        rows = [each for each in outline.below(index) if outline.nodes[each].tag == "tr"]
        cells = [
            [each.tag for each in outline.nodes[row + 1 : outline.nodes[row].end] if each.tag in ("th", "td")]
            for row in rows
        ]
        selector = f"{anchor_of(node) or 'table'} tr"
        if rows and sum(kinds == ["th", "td"] for kinds in cells) * 2 > len(rows) and selector not in seen:
            seen.add(selector)
            yield index, selector


def _content(outline: Outline) -> str:
    """Return a selector of the smallest element that can be named and has most of the page's text."""
    whole = outline.content_chars
    found = ""
    for index, node in enumerate(outline.nodes):
        if whole and not node.is_around and outline.text_chars(index) >= 0.6 * whole and (anchor := anchor_of(node)):
            found = anchor
    return found
