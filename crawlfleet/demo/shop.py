"""The pages of the demo bookshop: pure text, the same in every run, and the expected result of a crawl of it.

Owns what is for sale, how pages link to each other and how they look. Must not listen, wait, count or use
chance: the server is `crawlfleet.demo.server`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from itertools import chain
from types import MappingProxyType

BOOKS_A_LIST = 20
LISTS = 12
ROBOTS_PATH = "/robots.txt"
STYLE_PATH = "/shop.css"
SLOW_PATH = "/stock.html"
SHAKY_PATH = "/events.html"
SHAKY_FAILURES = 2


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_QUALITIES = _words("Silent Crooked Amber Hollow Northern Patient Borrowed Salt Paper Distant Second Winter")
_THINGS = _words(
    "Harbour Orchard Clockmaker Meridian Lantern Archive Tide Cartographer Window Orchestra Ferry Garden "
    "Signal Bridge Letter Library Mountain Compass Mirror Weaver"
)
_FIRST = _words("Ada Björn Chidi Dolores Edith Farid")
_LAST = _words("Abara Lindqvist Moreau Okafor Tanaka")
TAGS = _words("adventure art biography classic cooking crime essays fantasy history maps nature poetry science travel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """One book for sale. `number` starts at 1; `price` is in pence; `copies` may be 0."""

    number: int
    title: str
    author: str
    price: int
    copies: int
    tags: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"/book/{_slug(self.title)}-{self.number}.html"

    @property
    def price_text(self) -> str:
        return f"£{self.price // 100}.{self.price % 100:02}"

    @property
    def availability(self) -> str:
        return f"In stock ({self.copies} copies)" if self.copies else "Out of stock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """How every address of the shop must end in a whole crawl that obeys robots.txt. Absolute URLs."""

    fetched: frozenset[str]
    not_found: frozenset[str]
    disallowed: frozenset[str]
    redirected: frozenset[str]


def _slug(text: str) -> str:
    return text.lower().replace("ö", "o").replace(" ", "-")


def _first_edition_path(book: Book) -> str:
    return f"/book/first-edition-{book.number}.html"


def _book(number: int) -> Book:
    index = number - 1
    quality, thing = _QUALITIES[index % len(_QUALITIES)], _THINGS[index // len(_QUALITIES) % len(_THINGS)]
    # 7 has no divisor in common with the number of authors: neighbours differ, and each author occurs.
    author = AUTHORS[index * 7 % len(AUTHORS)]
    tags = sorted({TAGS[(index * step + 3) % len(TAGS)] for step in (1, 5, 11)})
    price, copies = 499 + index * 137 % 3500, index * 5 % 23
    title = f"The {quality} {thing}"
    return Book(number=number, title=title, author=author, price=price, copies=copies, tags=tuple(tags))


AUTHORS = tuple(f"{first} {last}" for first in _FIRST for last in _LAST)
BOOKS = tuple(_book(number) for number in range(1, LISTS * BOOKS_A_LIST + 1))

# A page that no link names: it can be reached only through this chain.
_CHAIN_END = "/newsletter.html"
REDIRECTS: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "/catalogue": (301, "/catalogue/page-1.html"),
        "/book-of-the-day": (302, BOOKS[41].path),
        "/news": (301, "/newsletter"),
        "/newsletter": (302, _CHAIN_END),
    }
)
MISSING = tuple(_first_edition_path(book) for book in BOOKS[::80])
DISALLOWED = ("/admin/", "/admin/orders.html", "/admin/prices.html")
ROBOTS = "User-agent: *\nDisallow: /admin/\n"


def author_path(author: str) -> str:
    """Return the path of an author's page."""
    return f"/author/{_slug(author)}.html"


def tag_path(tag: str) -> str:
    """Return the path of the list of a tag's books."""
    return f"/tag/{tag}.html"


def list_path(number: int) -> str:
    """Return the path of a list of the catalogue; `number` starts at 1."""
    return f"/catalogue/page-{number}.html"


def pages() -> dict[str, str]:
    """Return every page that answers 200, path → HTML, including those that robots.txt forbids."""
    return dict(chain(_plain_pages(), _lists(), _books(), _shelves()))


def expected(base: str) -> Truth:
    """Return how each URL must end; `base` is the site's root, such as `http://127.0.0.1:8765/`."""

    def urls(paths: Iterable[str]) -> frozenset[str]:
        return frozenset(base.rstrip("/") + path for path in paths)

    return Truth(
        fetched=urls(path for path in pages() if path not in DISALLOWED),
        not_found=urls(MISSING),
        disallowed=urls(DISALLOWED),
        redirected=urls(REDIRECTS),
    )


def error_page(status: int, words: str) -> str:
    """Return the page of an error status."""
    return _page(words, f'<h1>{status}</h1><p class="lead">{escape(words)}</p>')


def _plain_pages() -> Iterator[tuple[str, str]]:
    lead = f'<p class="lead">{len(BOOKS)} books, none of which exist.</p>'
    picks = f"{lead}<h2>Picked for you</h2>{_shelf(BOOKS[::31])}"
    more = '<p><a href="/catalogue">All books</a> · <a href="/book-of-the-day">Book of the day</a></p>'
    yield "/", _page("The Loopback Bookshop", f"<h1>The Loopback Bookshop</h1>{picks}{more}")
    copies = sum(book.copies for book in BOOKS)
    prices = f'<p>{copies} copies, counted by hand. <a href="{DISALLOWED[2]}">Prices</a></p>'
    yield SLOW_PATH, _page("Stock", f"<h1>Stock</h1>{prices}")
    events = f'<p>A reading every Thursday, if the lights hold. <a href="{DISALLOWED[1]}">Orders</a></p>'
    yield SHAKY_PATH, _page("Events", f"<h1>Events</h1>{events}")
    for path in DISALLOWED:
        yield path, _page("Staff only", "<h1>Staff only</h1>")
    yield _CHAIN_END, _page("Newsletter", "<h1>Newsletter</h1><p>You found the page that moved twice.</p>")


def _lists() -> Iterator[tuple[str, str]]:
    for number in range(1, LISTS + 1):
        shelf = _shelf(BOOKS[(number - 1) * BOOKS_A_LIST : number * BOOKS_A_LIST], up="..")
        title = f"Catalogue, page {number} of {LISTS}"
        back = f'<a rel="prev" href="page-{number - 1}.html">Back</a>' if number > 1 else ""
        on = f'<a rel="next" href="page-{number + 1}.html">Next</a>' if number < LISTS else ""
        yield list_path(number), _page(title, f'<h1>{title}</h1>{shelf}<p class="pager">{back} {on}</p>')


def _books() -> Iterator[tuple[str, str]]:
    for book in BOOKS:
        catalogue = ("Catalogue", list_path((book.number - 1) // BOOKS_A_LIST + 1))
        yield book.path, _page(book.title, _detail(book), crumbs=(catalogue,))


def _shelves() -> Iterator[tuple[str, str]]:
    for author in AUTHORS:
        shelf = _shelf([book for book in BOOKS if book.author == author], up="..")
        yield author_path(author), _page(author, f"<h1>{escape(author)}</h1>{shelf}")
    for tag in TAGS:
        shelf = _shelf([book for book in BOOKS if tag in book.tags], up="..")
        yield tag_path(tag), _page(f"Books about {tag}", f"<h1>Books about {tag}</h1>{shelf}")


def _shelf(books: Iterable[Book], up: str = ".") -> str:
    return f'<div class="shelf">{"".join(_card(book, up) for book in books)}</div>'


def _card(book: Book, up: str) -> str:
    heading = f'<h3><a href="{up}{book.path}">{escape(book.title)}</a></h3>'
    return f'<article class="product">{_cover(book)}{heading}<p class="price">{book.price_text}</p></article>'


def _cover(book: Book, size: str = "") -> str:
    return f'<div class="cover c{book.number % 6} {size}" aria-hidden="true">{escape(book.title)}</div>'


def _detail(book: Book) -> str:
    tags = "".join(f'<li><a class="tag" href="..{tag_path(tag)}">{tag}</a></li>' for tag in book.tags)
    first = _first_edition_path(book)
    first_edition = f'<p><a href="{first}">First edition</a></p>' if first in MISSING else ""
    return (
        f'<div class="detail">{_cover(book, "big")}<div><h1>{escape(book.title)}</h1>'
        f'<p>by <a class="author" href="..{author_path(book.author)}">{escape(book.author)}</a></p>'
        f'<p class="price">{book.price_text}</p><p class="availability">{book.availability}</p>'
        f'{_facts(book)}<ul class="tags">{tags}</ul>{first_edition}'
        f'<p><a href="#top">To the top</a> · <a href="mailto:shop@loopback.invalid">Ask us</a></p>'
        f"</div></div>"
    )


def _facts(book: Book) -> str:
    facts = (("Number", f"{book.number:05}"), ("Pages", str(120 + book.number * 13 % 400)), ("Language", "English"))
    rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in facts)
    return f'<table class="product">{rows}</table>'


def _page(title: str, body: str, crumbs: tuple[tuple[str, str], ...] = ()) -> str:
    trail = (("Home", "/"), *crumbs)
    items = "".join(f'<li><a href="{path}">{escape(name)}</a></li>' for name, path in trail)
    tags = " ".join(f'<a href="{tag_path(tag)}">{tag}</a>' for tag in TAGS)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="{STYLE_PATH}">'
        f'</head><body id="top">'
        f'<header><a class="brand" href="/">The Loopback Bookshop</a><nav>{_NAV}</nav></header>'
        f'<main><ul class="breadcrumb">{items}</ul>{body}</main>'
        f'<footer><p>{tags}</p><p><a href="/admin/">Staff</a></p></footer></body></html>\n'
    )


_NAV = (
    '<a href="/catalogue/page-1.html">Catalogue</a><a href="/news">News</a>'
    f'<a href="{SHAKY_PATH}">Events</a><a href="{SLOW_PATH}">Stock</a>'
)
STYLE = """\
body { margin: 0; font: 16px/1.5 Georgia, serif; color: #2b2622; background: #faf6ef }
a { color: #7a3b1d; text-decoration: none }
a:hover { text-decoration: underline }
header { display: flex; justify-content: space-between; padding: 14px 6vw; background: #2f3e46 }
header a { color: #f3e9dc }
header .brand { font-size: 1.3em }
nav a { margin-left: 1.4em }
main { max-width: 1060px; margin: auto; padding: 12px 24px 40px }
h1 { font-weight: 500; margin: .3em 0 }
.lead { font-size: 1.15em }
.breadcrumb, .tags { list-style: none; display: flex; gap: .5em; padding: 0; font-size: .9em }
.breadcrumb li + li::before { content: "\\203A"; margin-right: .5em }
.shelf { display: grid; grid-template-columns: repeat(auto-fill, minmax(160px, 1fr)); gap: 20px }
.shelf .product { background: #fff; border: 1px solid #e6ddcf; border-radius: 6px; padding: 12px }
.product h3 { font-size: 1em; margin: .6em 0 0; font-weight: 500 }
.price { color: #386641; font-weight: 600; margin: .2em 0 }
.cover { display: flex; align-items: center; justify-content: center; height: 150px; padding: 10px;
  color: #fff; text-align: center; border-radius: 3px; box-shadow: inset 6px 0 0 rgba(0, 0, 0, .18) }
.c0 { background: #6b705c } .c1 { background: #9c6644 } .c2 { background: #457b9d }
.c3 { background: #774936 } .c4 { background: #3d5a80 } .c5 { background: #588157 }
.detail { display: grid; grid-template-columns: 240px 1fr; gap: 36px }
.big { height: 330px; font-size: 1.6em }
table.product { border-collapse: collapse; margin: 12px 0 }
.product th { text-align: left; padding: 3px 18px 3px 0; color: #777 }
.tag { background: #ece3d4; border-radius: 10px; padding: 2px 10px }
.pager { display: flex; justify-content: center; gap: 2em }
footer { border-top: 1px solid #e6ddcf; padding: 14px 6vw; font-size: .9em }
footer a { margin-right: .6em }
"""
