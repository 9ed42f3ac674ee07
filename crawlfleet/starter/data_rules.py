"""Rules from what a page says in data: JSON-LD, microdata, OpenGraph, or a JSON answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from crawlfleet.shared.brief import JMESPATH, JSONLD, MICRODATA, OPENGRAPH
from crawlfleet.starter import words
from crawlfleet.starter.fields import MOST_FIELDS, Guess
from crawlfleet.starter.rule import Rule
from crawlfleet.worker.extract.data import GRAPH, TYPE

MIN_MEMBERS = 3
MOST_STEPS = 5_000

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9]{1,39}")
_KEY_CHARS = 60
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d.*)?")
# What is about the site, not about what the page is about.
_OF_SITES_WORDS = """
WebSite WebPage CollectionPage BreadcrumbList ListItem Organization ImageObject SearchAction
SiteNavigationElement WPHeader WPFooter Person AggregateRating Rating Offer PostalAddress Brand
"""
_OF_SITES = frozenset(_OF_SITES_WORDS.split())
# Parts of an object that are worth a field of their own, by the keys that they have there.
_PARTS = {"offers": ("price", "priceCurrency", "availability"), "aggregateRating": ("ratingValue", "reviewCount")}
_NAMES = ("name", "url", "@id", "value")
#: OpenGraph: property and name of the field.
_GRAPH_FIELDS = {
    "og:title": "title",
    "og:description": "description",
    "og:type": "kind",
    "og:image": "image",
    "article:published_time": "published",
    "product:price:amount": "price",
}


def of_objects(by: str, objects: Mapping[str, Any]) -> Rule | None:
    """Return a rule for the objects of a page's JSON-LD or microdata; None if they say nothing of its subject."""
    graph = [each for each in objects.get(GRAPH, ()) if isinstance(each, dict)]
    listed = objects.get("ItemList")
    entries = listed.get("itemListElement") if isinstance(listed, dict) else None
    if isinstance(entries, list) and len(entries) >= MIN_MEMBERS and all(isinstance(each, dict) for each in entries):
        inner = [each["item"] for each in entries if isinstance(each.get("item"), dict)]
        path, members = ("[].item", inner) if len(inner) == len(entries) else ("[]", entries)
        return _listed(by, f"ItemList.itemListElement{path}", members)
    kinds = [(kind, [each for each in graph if kind in _kinds(each)]) for kind in objects if _TYPE.fullmatch(kind)]
    kinds = [(kind, found) for kind, found in kinds if found and (kind not in _OF_SITES and kind != "ItemList")]
    if not kinds:
        return None
    kind, found = max(kinds, key=lambda each: len(each[1]) * len(each[1][0]))
    if len(found) >= MIN_MEMBERS:
        return _listed(by, f'"{GRAPH}"[?"{TYPE}"==\'{kind}\']', found)
    fields = list(_fields(found[0], lambda path: {by: f"{kind}.{path}"}))
    return Rule(words.slug("_".join(words.words_of(kind))), fields=fields, when={by: kind}) if fields else None


def _listed(by: str, path: str, members: list[dict[str, Any]]) -> Rule | None:
    fields = list(_fields(members[0], lambda path: path))
    kind = next(iter(_kinds(members[0])), "entry")
    name = words.slug("_".join(words.words_of(kind))) if _TYPE.fullmatch(kind) else "entry"
    return Rule(name, each={by: path}, fields=fields) if fields else None


def of_json(document: Any) -> Rule | None:
    """Return a rule for a JSON answer: one for each object of its longest list, or one for the whole."""
    found = max(_lists(document), key=lambda each: len(each[1]) * len(each[1][0]), default=None)
    if found is not None:
        path, members = found
        fields = list(_fields(members[0], lambda path: path))
        last = path.removesuffix("[]").rpartition(".")[2]
        name = words.item_name([last] if _PLAIN.fullmatch(last) else [], "entry")
        return Rule(name, each={JMESPATH: path}, fields=fields) if fields else None
    if isinstance(document, dict):
        fields = list(_fields(document, lambda path: {JMESPATH: path}))
        return Rule("answer", fields=fields) if fields else None
    return None


def of_open_graph(properties: Mapping[str, list[str]]) -> list[Guess]:
    """Return fields for the OpenGraph properties of a page."""
    return [
        Guess(name, {OPENGRAPH: key, **({"type": "url"} if name == "image" else {})}, properties[key][0])
        for key, name in _GRAPH_FIELDS.items()
        if properties.get(key) and properties[key][0]
    ]


def _lists(document: Any) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the lists of objects in a document, and the paths that find them."""
    waiting: list[tuple[str, Any]] = [("", document)]
    for path, value in waiting:
        if isinstance(value, list) and value and all(isinstance(each, dict) and each for each in value[:100]):
            yield f"{path or '@'}[]", value
        elif isinstance(value, dict) and path.count(".") < 4:
            for key, below in value.items():
                if len(key) <= _KEY_CHARS and len(waiting) < MOST_STEPS and (step := _step(key)):
                    waiting.append((f"{path}.{step}" if path else step, below))


def _fields(found: Mapping[str, Any], form: Any) -> Iterator[Guess]:
    """Yield fields for what an object has: `form(path)` is how a path in it is written in the job."""
    taken: set[str] = set()
    for path, key, value in _paths(found):
        if len(taken) == MOST_FIELDS:
            return
        name = words.unique(words.slug("_".join(words.words_of(key))) or "value", taken)
        taken.add(name)
        yield Guess(name, _typed(form(path), key, value), value if isinstance(value, str) else str(value))


def _typed(form: Any, key: str, value: Any) -> Any:
    kind = _type_of(key.lower(), value) if isinstance(value, str) else ""
    if not kind:
        return form
    return {**form, "type": kind} if isinstance(form, dict) else {JMESPATH: form, "type": kind}


def _type_of(key: str, value: str) -> str:
    if value.startswith(("http://", "https://")) and key.endswith(("url", "link", "image", "id")):
        return "url"
    if _ISO.fullmatch(value) and ("date" in key or "time" in key):
        return "datetime" if "T" in value else "date"
    return ""


def _paths(found: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield the paths in an object that are worth a field, the key of each, and what is there."""
    for key, value in found.items():
        step = _step(key)
        if not step or key.startswith("@") or len(key) > _KEY_CHARS or value in (None, "", [], {}):
            continue
        if isinstance(value, list) and isinstance(value[0], dict):
            yield from ((f"{step}[0].{path}", name, part) for path, name, part in _part(key, value[0]))
        elif isinstance(value, dict):
            yield from ((f"{step}.{path}", name, part) for path, name, part in _part(key, value))
        else:
            yield step, key, value


def _part(key: str, value: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield what is worth a field of an object in an object: what is known of its kind, or its name."""
    wanted = [name for name in _PARTS.get(key, ()) if value.get(name) not in (None, "", [], {})]
    if wanted:
        yield from ((name, name, value[name]) for name in wanted)
        return
    name = next((name for name in _NAMES if isinstance(value.get(name), str | int | float)), None)
    if name is not None:
        yield _step(name), key, value[name]


def _kinds(found: Mapping[str, Any]) -> list[str]:
    kinds = found.get(TYPE)
    each = kinds if isinstance(kinds, list) else [kinds]
    return [re.split(r"[/#]", kind.rstrip("/#"))[-1] for kind in each if isinstance(kind, str)]


def _step(key: str) -> str:
    """Return a key as a step of JMESPath; empty if it cannot be one."""
    if _PLAIN.fullmatch(key):
        return key
    return f'"{key}"' if key.isprintable() and not set('"\\`') & set(key) and key else ""


#: What the data of a page is called, for the comments of a job.
CALLED = {JSONLD: "JSON-LD", MICRODATA: "microdata", JMESPATH: "JSON"}
