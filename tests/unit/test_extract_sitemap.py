"""Sitemaps: every format, what is wrong with real ones, and what hostile ones cost."""

from __future__ import annotations

import gzip
import re
import time
import tracemalloc
from collections.abc import Callable

import pytest

from crawlfleet.shared.brief import ScopeSpec
from crawlfleet.shared.messages import Outcome, Report, decode, encode
from crawlfleet.shared.web.scope import Scope
from crawlfleet.worker.extract import sitemap as module
from crawlfleet.worker.extract.sitemap import MAX_BYTES, MAX_ENTRIES, Sitemap, read_sitemap

BASE = "http://a.test/maps/sitemap.xml"
XMLNS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


def read(body: bytes | str, *, base: str = BASE, hosts: tuple[str, ...] = ("a.test",), cut: bool = False) -> Sitemap:
    scope = Scope(ScopeSpec(hosts=hosts))
    encoded = body.encode() if isinstance(body, str) else body
    return read_sitemap(encoded, base, lambda url: None if scope.refuses(url) else url, cut=cut)


def urls(body: bytes | str, **options: object) -> list[str]:
    found = read(body, **options)  # type: ignore[arg-type]  # the caller's options
    assert not found.error
    return [entry.url for entry in found.pages]


def urlset(*entries: str, xmlns: str = XMLNS) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset {xmlns}>{"".join(entries)}</urlset>'


def url(path: str, more: str = "") -> str:
    return f"<url><loc>http://a.test{path}</loc>{more}</url>"


@pytest.mark.parametrize(
    "xmlns",
    [
        XMLNS,
        "",
        'xmlns="http://www.google.com/schemas/sitemap/0.84"',
        'xmlns="https://www.sitemaps.org/schemas/sitemap/0.9/"',
    ],
)
def test_a_urlset_is_read_in_any_namespace_and_in_none(xmlns: str) -> None:
    assert urls(urlset(url("/1"), url("/2"), xmlns=xmlns)) == ["http://a.test/1", "http://a.test/2"]


def test_prefixed_elements_are_read_and_those_of_extensions_are_not_taken_for_addresses() -> None:
    body = """<s:urlset xmlns:s="http://www.sitemaps.org/schemas/sitemap/0.9"
        xmlns:image="http://www.google.com/schemas/sitemap-image/1.1" xmlns:xhtml="http://www.w3.org/1999/xhtml">
        <s:url><image:image><image:loc>http://a.test/i.png</image:loc></image:image>
        <image:loc>http://a.test/j.png</image:loc><xhtml:link rel="alternate" href="http://a.test/de"/>
        <s:loc>http://a.test/1</s:loc></s:url></s:urlset>"""
    assert urls(body) == ["http://a.test/1"]


def test_blanks_escapes_and_cdata_in_an_address_are_read() -> None:
    body = urlset(
        "<url><loc>\n   http://a.test/1?a=1&amp;b=2\n </loc></url>",
        "<url><loc><![CDATA[ http://a.test/2?a=1&b=2 ]]></loc></url>",
        "<url><loc>http://a.test/&#xFC;</loc></url>",
    )
    assert urls(body) == ["http://a.test/1?a=1&b=2", "http://a.test/2?a=1&b=2", "http://a.test/%C3%BC"]


def test_addresses_are_made_canonical_and_repeats_no_addresses_and_other_hosts_left_out() -> None:
    body = urlset(
        url("/1"),
        "<url><loc>HTTP://A.test:80/x/../1#top</loc></url>",
        "<url><loc>http://x.test/</loc></url>",
        "<url><loc>ftp://a.test/</loc></url>",
        "<url><loc></loc></url>",
        "<url/>",
        f"<url><loc>http://a.test/{'a' * 9_000}</loc></url>",
        f"<url><loc>{BASE}</loc></url>",
        url("/2"),
    )
    assert urls(body) == ["http://a.test/1", "http://a.test/2"]


def test_an_index_lists_sitemaps_in_scope_or_not() -> None:
    body = f"""<sitemapindex {XMLNS}><sitemap><loc>http://a.test/1.xml.gz</loc><lastmod>2024-01-01</lastmod></sitemap>
        <sitemap><loc>http://cdn.test/2.xml</loc></sitemap><sitemap><loc>{BASE}</loc></sitemap></sitemapindex>"""
    found = read(body)
    assert (found.sitemaps, found.pages) == (("http://a.test/1.xml.gz", "http://cdn.test/2.xml"), ())


@pytest.mark.parametrize("flaw", ["", "&"])
def test_relative_addresses_count_from_the_base_of_their_element(flaw: str) -> None:
    atom = f"""<feed xmlns="http://www.w3.org/2005/Atom" xml:base="/blog/"><title>{flaw}</title>
        <entry><link href="1"/></entry><entry xml:base="old/"><link href="2"/></entry>
        <entry><link xml:base="new/" href="3"/></entry><entry><link href="4"/></entry>
        <entry xml:base="ftp://a.test/no/"><link href="5"/></entry>
        <entry xml:base="http://a.test/x/"><summary xml:base="/no/">s</summary><link href="6"/></entry></feed>"""
    places = ["blog/1", "blog/old/2", "blog/new/3", "blog/4", "blog/5", "x/6"]
    assert urls(atom) == [f"http://a.test/{place}" for place in places]
    rss = f"""<rss version="2.0"><channel xml:base="/blog/"><title>{flaw}</title><link>http://a.test/no/</link>
        <item><link>1</link></item><item><link xml:base="old/">2</link></item></channel></rss>"""
    assert urls(rss) == ["http://a.test/blog/1", "http://a.test/blog/old/2"]
    assert urls(urlset(f"<url><loc>1</loc><x>{flaw}</x></url>")) == [BASE.rpartition("/")[0] + "/1"]


def test_rss_atom_and_rdf_feeds_are_read() -> None:
    rss = """<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel><link>http://a.test/</link>
        <atom:link rel="self" href="http://a.test/rss"/>
        <item><title>t</title><link>http://a.test/1</link><pubDate>Mon, 01 Jan 2024 00:00:00 GMT</pubDate></item>
        <item><link>/2</link></item></channel></rss>"""
    atom = """<feed xmlns="http://www.w3.org/2005/Atom"><link href="http://a.test/"/><entry>
        <link rel="self" href="http://a.test/self"/><link href="http://a.test/1"/><link href="http://a.test/no"/>
        <updated>2024-01-01T00:00:00Z</updated></entry><entry><link rel="alternate" href="../2"/></entry></feed>"""
    rdf = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/">
        <channel><link>http://a.test/</link></channel><item><link>http://a.test/1</link></item></rdf:RDF>"""
    assert urls(rss) == ["http://a.test/1", "http://a.test/2"]
    assert urls(atom) == ["http://a.test/1", "http://a.test/2"]
    assert urls(rdf) == ["http://a.test/1"]
    assert read(rss).pages[0].lastmod == read(atom).pages[0].lastmod == 1_704_067_200


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_text_has_one_address_a_line(end: str) -> None:
    text = end.join(["http://a.test/1", "", "  http://a.test/2  ", "# remark", "HTTP://A.test/3", "http://x.test/"])
    assert urls(text) == ["http://a.test/1", "http://a.test/2", "http://a.test/3"]
    assert urls(b"\xef\xbb\xbf" + text.encode()) == ["http://a.test/1", "http://a.test/2", "http://a.test/3"]
    assert urls(text.encode("utf-16")) == ["http://a.test/1", "http://a.test/2", "http://a.test/3"]


def test_a_byte_order_mark_and_blanks_before_the_declaration_are_passed_over() -> None:
    body = urlset(url("/ü"))
    expected = ["http://a.test/%C3%BC"]
    assert urls(b"\xef\xbb\xbf" + body.encode()) == expected
    assert urls("\n \n" + body) == expected
    assert urls(body.encode("utf-16")) == expected
    assert urls(body.replace("UTF-8", "utf-16").encode()) == expected


@pytest.mark.parametrize("label", ["ISO-8859-1", "windows-1252", "GBK", "Shift_JIS", "rot13", "idna", "nonsense"])
def test_the_declared_encoding_counts_if_it_is_one_of_the_web(label: str) -> None:
    text = urlset(url("/1")).replace("UTF-8", label)
    assert urls(text.encode("ascii")) == ["http://a.test/1"]
    if label == "GBK":
        assert urls(text.replace("/1", "/中").encode("gbk")) == ["http://a.test/%E4%B8%AD"]


@pytest.mark.parametrize("pack", [gzip.compress, lambda body: gzip.compress(body[:90]) + gzip.compress(body[90:])])
def test_gzip_is_known_by_its_first_bytes_whatever_the_name(pack: Callable[[bytes], bytes]) -> None:
    packed = pack(urlset(url("/1")).encode())
    assert urls(packed) == ["http://a.test/1"]
    assert urls(gzip.compress(b"http://a.test/1\nhttp://a.test/2"), base="http://a.test/s.txt") == [
        "http://a.test/1",
        "http://a.test/2",
    ]
    assert urls(urlset(url("/1")), base="http://a.test/already-unpacked.xml.gz") == ["http://a.test/1"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [("0.0", -5), ("0.5", 0), ("0.8", 3), ("1.0", 5), (" 1 ", 5), ("", 0), ("high", 0), ("nan", 0), ("7", 0)],
)
def test_priorities_are_whole_numbers_around_the_default(written: str, expected: int) -> None:
    (entry,) = read(urlset(url("/1", f"<priority>{written}</priority>"))).pages
    assert entry.priority == expected


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2024", 1_704_067_200),
        ("2024-01", 1_704_067_200),
        ("2024-01-01", 1_704_067_200),
        ("2024-01-01T01:00+01:00", 1_704_067_200),
        ("2024-01-01T00:00:00Z", 1_704_067_200),
        (" 2024-01-01T00:00:00.25+00:00 ", 1_704_067_200),
        ("2024-01-01 00:00:00", 1_704_067_200),
        ("Mon, 1 Jan 2024 00:00:00 +0000", 1_704_067_200),
        ("1 Jan 2024 00:00:00 GMT", 1_704_067_200),
        ("1 Jan 2024 00:00:00", 1_704_067_200),
        ("Mon, 1 Jan 2024 00:00:00 -0000", 1_704_067_200),
        ("01 Jan 24 01:00:00 +0100", 1_704_067_200),
        ("0001-01-01", 0),
        ("2024-13-01", 0),
        ("yesterday", 0),
        ("", 0),
        ("9" * 1_000, 0),
    ],
)
@pytest.mark.usefixtures("far_from_utc")
def test_dates_are_read_in_all_their_variants(written: str, expected: int) -> None:
    (entry,) = read(urlset(url("/1", f"<lastmod>{written}</lastmod>"))).pages
    assert entry.lastmod == expected


def test_the_newest_come_first_and_those_without_a_date_last_as_they_stand() -> None:
    body = urlset(
        url("/none"),
        url("/old", "<lastmod>2001</lastmod>"),
        url("/new", "<lastmod>2024</lastmod>"),
        url("/none2"),
    )
    assert [entry.url[13:] for entry in read(body).pages] == ["/new", "/old", "/none", "/none2"]


# What is wrong


@pytest.mark.parametrize(
    "body",
    [
        urlset(url("/1"), "<url><loc>http://a.test/2?a&b</loc></url>", url("/3")),
        urlset(url("/1"), url("/2?a&b"), "<image:image><image:loc>/x</image:loc></image:image>", url("/3")),
        urlset(url("/1"), url("/2?a&amp;b", "<title>\x03\x00</title>"), url("/3")),
        "<!-- made by a tool -->\n" + urlset(url("/1"), url("/2?a&amp;b"), url("/3")),
        "<br />\n<b>Warning</b>: no cache in x.php\n" + urlset(url("/1"), url("/2?a&amp;b"), url("/3")),
        "Warning: no cache in x.php\n" + urlset(url("/1"), url("/2?a&amp;b"), url("/3")),
        urlset(url("/1"), "<url><loc>http://a.test/2?a&amp;b</url>", url("/3")),
        urlset(url("/1"), "<url><loc>http://a.test/2?a&amp;b</loc>", url("/3")),
        urlset(url("/1"), url("/2?a&amp;b"), "</url></x>", url("/3")),
        urlset(url("/1"), "<url><loc><![CDATA[http://a.test/2?a&b]]></loc></url>", "a < b", url("/3")),
        urlset(url("/1"), "<url><loc>http&#58;//a.test/2?a&#x26;b&</loc></url>", url("/3")).replace(
            "b&<", "b<!--&--><"
        ),
        urlset(url("/1"), url("/2?a&b", "<changefreq x='1' y=\"&lt;\"/>"), "<!-- & -->", url("/3")),
    ],
    ids=[
        *("bare ampersand", "undeclared prefix", "forbidden characters", "comment before the declaration"),
        *("element before", "text before", "field not closed", "entry not closed", "closed too often", "bare bracket"),
        *("references", "attributes"),
    ],
)
def test_a_flaw_in_the_middle_is_passed_over(body: str) -> None:
    assert urls(body) == ["http://a.test/1", "http://a.test/2?a&b", "http://a.test/3"]


@pytest.mark.parametrize(
    "end", ["<url><loc>http://a.test/3</loc>", "<url><loc>http://a", "<!-- for ever", "<![CDATA[", "</"]
)
def test_of_a_file_that_ends_early_every_closed_entry_counts_and_the_line_is_told(end: str) -> None:
    found = read(urlset(url("/1"), url("/2?a&b")).removesuffix("</urlset>") + end)
    assert ([entry.url for entry in found.pages], found.entries) == (["http://a.test/1", "http://a.test/2?a&b"], 2)
    assert "the XML is broken" in found.error
    assert re.search("ends within <(urlset|url|loc)>, in line 2", found.error)
    assert urls(urlset(url("/1"), url("/2")).removesuffix("</urlset>") + end, cut=True)[1] == "http://a.test/2"


def test_roots_within_roots_are_read() -> None:
    inner = f"<urlset>{url('/1')}{url('/2')}</urlset>"
    assert urls(f"<urlset {XMLNS}>{inner}{inner}</urlset>") == ["http://a.test/1", "http://a.test/2"]
    assert read(
        "<sitemapindex><sitemapindex><sitemap><loc>/x.xml</loc></sitemap></sitemapindex></sitemapindex>"
    ).sitemaps


def test_an_address_that_stands_in_its_entry_itself_is_read() -> None:
    index = "<sitemapindex><sitemap> http://a.test/x.xml </sitemap><sitemap/><sitemap>none</sitemap></sitemapindex>"
    found = read(index)
    assert (found.sitemaps, found.entries) == (("http://a.test/x.xml",), 3)


def test_an_item_of_rss_without_a_link_leads_to_the_guid_that_is_a_permanent_one() -> None:
    items = (
        "<item><guid>http://a.test/1</guid></item>",
        '<item><guid isPermaLink="true">http://a.test/2</guid></item>',
        '<item><guid isPermaLink="false">http://a.test/no</guid></item>',
        "<item><guid>urn:3</guid></item>",
        "<item><guid>http://a.test/no</guid><link>http://a.test/4</link></item>",
    )
    rss = f"<rss><channel><link>http://a.test/</link>{''.join(items)}</channel></rss>"
    assert urls(rss) == ["http://a.test/1", "http://a.test/2", "http://a.test/4"]


@pytest.mark.parametrize(("more", "is_taken"), [(3_000, True), (8_178, True), (8_179, False)])
def test_a_long_address_is_taken_as_that_of_a_seed_is(more: int, is_taken: bool) -> None:
    assert len(urls(urlset(url("/" + "a" * more), url("/x")))) == 1 + is_taken


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "it is empty"),
        (b" \n\t ", "it is empty"),
        (b"<!DOCTYPE html><title>Not found</title>", "DOCTYPE"),
        (b"<!doctype html><title>Not found</title>", "the XML is broken"),
        (b"<html><body><url><loc>http://a.test/1</loc></url></body></html>", "root element 'html'"),
        (b"%PDF-1.7 \x00\xff", "neither XML nor a list"),
        (b"hello\nworld", "neither XML nor a list"),
        (b"<", "the XML is broken"),
        (b"\x1f\x8b", "gzip data are broken"),
        (b"\x1f\x8b\x08nonsense-that-is-no-deflate", "gzip data are broken"),
        pytest.param(gzip.compress(gzip.compress(b"http://a.test/1")), "neither XML nor a list", id="packed twice"),
        (b"<urlset>" + b"<a>" * 1_000, "nested more than"),
    ],
)
def test_what_is_no_sitemap_is_told_in_a_sentence(body: bytes, said: str) -> None:
    found = read(body)
    assert said in found.error
    assert (found.pages, found.sitemaps) == ((), ())


@pytest.mark.parametrize("rest", [b"\n", b"\x1f", b"\x1f\x8b and more", b"<!-- cached -->" * 10_000])
def test_what_follows_the_end_of_gzip_data_is_ignored(rest: bytes) -> None:
    found = read(gzip.compress(urlset(*(url(f"/{number}") for number in range(5_000))).encode()) + rest)
    assert (len(found.pages), found.error, found.left_out) == (5_000, "", 0)


def test_what_is_cut_off_in_gzip_data_is_broken_and_what_came_before_counts() -> None:
    packed = gzip.compress(urlset(*(url(f"/{number}") for number in range(5_000))).encode())
    found = read(packed[: len(packed) // 2])
    assert "gzip data are broken" in found.error
    assert len(found.pages) > 1_000


def test_entities_are_refused_whatever_they_stand_for() -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY l0 "ha">{laughs}]><urlset><url><loc>&l9;</loc></url></urlset>'
    external = '<!DOCTYPE u [<!ENTITY x SYSTEM "file:///etc/passwd">]><urlset><url><loc>&x;</loc></url></urlset>'
    remote = '<!DOCTYPE u SYSTEM "http://127.0.0.1:1/x.dtd"><urlset/>'
    for body in (bomb, external, remote):
        assert "DOCTYPE" in read(body).error
    assert urls(urlset("<url><loc>http://a.test/&x;</loc></url>")) == ["http://a.test/&x;"]


# What is large


def test_what_is_longer_than_the_protocol_allows_has_more_at_least_one_entry() -> None:
    found = read(gzip.compress(b"\0" * (60 * 1024 * 1024)))
    assert (found.left_out, type(found.left_out)) == (1, int)  # it is reported as a number


def test_more_addresses_than_the_protocol_allows_are_left_out() -> None:
    found = read(urlset(*(url(f"/{number}") for number in range(60_000))))
    assert (len(found.pages), found.left_out, found.error) == (MAX_ENTRIES, 10_000, "")
    text = read("\n".join(f"http://a.test/{number}" for number in range(60_000)))
    assert (len(text.pages), text.left_out, text.error) == (MAX_ENTRIES, 10_000, "")
    exact = read(urlset(*(url(f"/{number}") for number in range(MAX_ENTRIES))))
    assert (len(exact.pages), exact.left_out) == (MAX_ENTRIES, 0)


def test_what_follows_fifty_mebibytes_is_left_out() -> None:
    filler = f"<!--{' ' * (MAX_BYTES // 2)}-->"
    found = read(urlset(url("/1"), filler, url("/2"), filler, url("/3")))
    assert [entry.url[13:] for entry in found.pages] == ["/1", "/2"]
    assert (found.left_out, found.error) == (1, "")


def test_how_much_was_left_out_can_be_sent() -> None:
    left_out = read(urlset(url("/1")), cut=True).left_out
    report = Report(lease=1, ref=b"r", outcome=Outcome.FETCHED, links_left_out=left_out)
    assert decode(encode(report), Report).links_left_out == 1


def test_a_body_that_was_cut_by_a_limit_is_no_broken_one() -> None:
    body = urlset(url("/1"), url("/2")).encode()[:-20]
    assert (read(body, cut=True).left_out, read(body, cut=True).error) == (1, "")
    assert "broken" in read(body).error


@pytest.mark.parametrize(
    "bomb",
    [
        b"\0" * (80 * 1024 * 1024),
        b"<urlset>" + b" " * (80 * 1024 * 1024),
        b"<urlset><url><loc>" + b"a" * (80 * 1024 * 1024),
        b"<urlset><url>" + b"<loc/>" * (10 * 1024 * 1024),
        b"http://a.test/" + b"a" * (80 * 1024 * 1024),
        b"a\n" * (60 * 1024 * 1024),
        b"<urlset " + b"a='" + b"b" * (60 * 1024 * 1024),
        b"<urlset>&" + b"<" * (4 * 1024 * 1024) + b">",
        b"<urlset>&" + b"<a" * (4 * 1024 * 1024) + b">",
        b"<urlset>&<!--" + b"-" * (60 * 1024 * 1024),
    ],
    ids=["zeros", "blanks", "address", "elements", "line", "lines", "attribute", "brackets", "tags", "comment"],
)
def test_a_bomb_costs_bounded_time_and_memory(bomb: bytes) -> None:
    packed = gzip.compress(bomb, 1)
    del bomb
    started = time.process_time()
    found = read(packed)
    assert found.pages == ()
    assert time.process_time() - started < 10


def test_reading_keeps_only_a_few_blocks_of_a_large_sitemap_in_memory() -> None:
    packed = gzip.compress(urlset(url("/1"), f"<!--{' ' * 1_000}-->" * 40_000).encode())
    tracemalloc.start()
    try:
        read(packed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * module.BLOCK_BYTES


def test_a_sitemap_in_a_legacy_encoding_is_read_as_the_standard_says() -> None:
    body = f"<?xml version='1.0' encoding='euc-jp'?>\n<urlset {XMLNS}><url><loc>http://a.test/".encode()
    body += b"\xad\xa1</loc></url></urlset>"
    assert urls(body) == ["http://a.test/%E2%91%A0"]
