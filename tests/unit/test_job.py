"""A job file becomes a frozen job, or every problem in it is reported at once."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pydantic
import pytest

from crawlfleet.coordinator.job.job import Job, as_data, brief, load
from crawlfleet.coordinator.job.seed_ranges import MAX_SEEDS
from crawlfleet.coordinator.job.seeds import pages_of, sitemaps_of
from crawlfleet.shared.brief import FetchSpec, FieldRule, HookSpec, ItemRule, LinkSpec, ParseSpec, ScopeSpec, UrlSpec
from crawlfleet.shared.errors import JobError
from crawlfleet.shared.web.url_policy import TRACKING

HEAD = "name: t\nseeds: [https://e.org/]\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder the working directory, so that errors name files by short paths."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def job(text: str) -> Job:
    """Load a job from text; `folder` must be the working directory."""
    Path("job.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
    return load(Path("job.yaml"))


def problems(text: str) -> tuple[str, ...]:
    """Return the problems of a job's text."""
    with pytest.raises(JobError) as caught:
        job(text)
    return caught.value.problems


def problem(text: str) -> str:
    """Return the only problem of a job's text, without its file name."""
    (only,) = problems(text)
    return only.removeprefix("job.yaml:")


@pytest.mark.usefixtures("folder")
class TestDefaults:
    def test_name_and_seeds_are_enough(self) -> None:
        found = job(HEAD)
        assert (found.name, found.seeds) == ("t", ("https://e.org/",))
        assert (found.scope.hosts, found.scope.depth, found.scope.pages) == ("same", None, None)
        assert (found.politeness.delay_s, found.politeness.per_host) == (1.0, 1)
        assert (found.fetch.timeout_s, found.fetch.retries, found.fetch.max_size_bytes) == (20.0, 3, 10 * 2**20)
        assert (found.items, found.follow, found.hooks, found.sinks) == ((), None, None, ("items.jsonl",))
        assert found.lease_s == 15.0
        assert found.politeness.user_agent.startswith("crawlfleet/")

    def test_job_is_frozen(self) -> None:
        with pytest.raises(pydantic.ValidationError):
            job(HEAD).name = "other"

    def test_headers_do_not_show_in_the_representation(self) -> None:
        found = job(HEAD + "fetch: {headers: {Authorization: hunter2}}\n")
        assert "hunter2" not in repr(found)


@pytest.mark.usefixtures("folder")
class TestSeeds:
    @pytest.mark.parametrize(
        ("seed", "expected"),
        [
            ("HTTPS://E.org:443/a#top", ["https://e.org/a"]),
            ("https://e.org/{1..3}", ["https://e.org/1", "https://e.org/2", "https://e.org/3"]),
            ("https://e.org/{08..10}", ["https://e.org/08", "https://e.org/09", "https://e.org/10"]),
            ("https://s{1..2}.e.org/{5..6}", [f"https://s{s}.e.org/{n}" for s in (1, 2) for n in (5, 6)]),
            ("https://e.org/?q={x}", ["https://e.org/?q={x}"]),
        ],
    )
    def test_seeds_are_canonical_and_ranges_expanded(self, seed: str, expected: list[str]) -> None:
        assert job(f"name: t\nseeds: ['{seed}']\n").seeds == tuple(expected)

    def test_range_needs_no_quotes_in_block_form(self) -> None:
        assert len(job("name: t\nseeds:\n  - https://e.org/{1..50}\n").seeds) == 50

    def test_same_seed_counts_once(self) -> None:
        assert job("name: t\nseeds: [https://e.org, https://E.org/#x]\n").seeds == ("https://e.org/",)

    @pytest.mark.parametrize(
        ("seed", "said"),
        [
            ("e.org/x", "'e.org/x' has no scheme: write 'https://e.org/x'"),
            ("//e.org", "'//e.org' has no scheme: write 'https://e.org'"),
            ("localhost:8000/", "'localhost:8000/' has no scheme: write 'https://localhost:8000/'"),
            ("http:/e.org", "'http:/e.org' is no address: write 'http://e.org'"),
            ("ftp://e.org/", "is no http or https address"),
            ("file:/etc/passwd", "is no http or https address"),
            ("https://e.org/a b", "holds a space or a line end"),
            ("https://", "is no address that can be fetched"),
            ("https://e.org:99999/", "is no address that can be fetched"),
            ("https://e.org/{5..1}", "counts down: write {1..5}"),
            ("https://e.org/{a..c}", "is no range: write such as {1..50}"),
            ("https://e.org/{1..999999999}", "make too many seeds: 100000 at most"),
            ("https://e.org/{1..1000}/{1..1000}", "make too many seeds: 100000 at most"),
            ("https://e.org/" + "{1..2}" * 20_000, "make too many seeds"),
            ("https://e.org/{1..99999999}{5..1}", "counts down: write {1..5}"),
            ("https://e.org/#p{1..50}", "follows '#', which no server is sent"),
            ("https://e.org/" + "a" * 8200, "is longer than 8,192 characters"),
            ("", "the seed is empty"),
        ],
    )
    def test_every_bad_seed_is_told_with_a_remedy(self, seed: str, said: str) -> None:
        found = problem(f"name: t\nseeds:\n  - '{seed}'\n")
        assert found.startswith("3:5: seeds[0]: ")
        assert said in found

    def test_user_name_and_password_are_refused(self) -> None:
        found = problem("name: t\nseeds:\n  - https://me:hunter2@e.org/x\n")
        assert "write 'https://e.org/x', and log in by headers below sites" in found

    @pytest.mark.parametrize("start", ["https://", "ftp://", "", " https://", "http:/", "HTTPS://x@"])
    def test_password_is_never_repeated(self, start: str) -> None:
        assert "hunter2" not in problem(f"name: t\nseeds: ['{start}me:hunter2@e.org/']\n")

    def test_each_bad_seed_has_its_own_line(self) -> None:
        found = problems("name: t\nseeds:\n  - a.org\n  - https://e.org/\n  - 5\n  - b.org\n")
        assert [line.split(": ")[0] for line in found] == ["job.yaml:3:5", "job.yaml:5:5", "job.yaml:6:5"]

    @pytest.mark.parametrize("seeds", ["[https://e.org/{1..50}]", "\n  - {1..50}", "[{1..50}]"])
    def test_range_in_flow_form_says_that_ranges_need_quotes(self, seeds: str) -> None:
        assert "ranges need quotes or block form" in problem(f"name: t\nseeds: {seeds}\n")

    def test_sitemaps_are_seeds_too_with_ranges(self) -> None:
        found = job("name: t\nseeds:\n  - https://e.org/\n  - sitemap: HTTPS://M.org/s{1..2}.xml\n")
        assert pages_of(found.seeds) == ("https://e.org/",)
        assert sitemaps_of(found.seeds) == ("https://m.org/s1.xml", "https://m.org/s2.xml")
        assert brief(found).scope.hosts == ("e.org", "m.org")
        assert as_data(found)["seeds"] == ["https://e.org/", *({"sitemap": url} for url in sitemaps_of(found.seeds))]

    def test_sitemap_alone_is_enough_and_may_lie_outside_of_the_scope(self) -> None:
        found = job("name: t\nseeds: [{sitemap: https://cdn.org/s.xml}]\nscope: {hosts: [e.org], sitemaps: true}\n")
        assert (pages_of(found.seeds), brief(found).scope.hosts) == ((), ("e.org",))
        assert found.scope.sitemaps

    @pytest.mark.parametrize(
        ("seed", "said"),
        [
            ("sitemap: e.org/s.xml", "seeds[0].sitemap: 'e.org/s.xml' has no scheme: write 'https://e.org/s.xml'"),
            ("sitemap:", "seeds[0].sitemap: is empty: give it a value"),
            ("sitemaps: https://e.org/", "seeds[0].sitemaps: is not a known key: did you mean 'sitemap'?"),
            ("sitmap: https://e.org/", "seeds[0].sitmap: is not a known key: did you mean 'sitemap'?"),
            ("sitemap: [https://e.org/]", "seeds[0].sitemap: wants text, not a list"),
            ("sitemap: https://e.org/{1..999999999}", "make too many seeds"),
        ],
    )
    def test_bad_sitemap_is_told_with_a_remedy(self, seed: str, said: str) -> None:
        assert any(said in line for line in problems(f"name: t\nseeds:\n  - {seed}\n"))

    def test_too_many_seeds_together_are_refused(self) -> None:
        seeds = "".join(f"  - https://e.org/{n}/{{1..60000}}\n" for n in (1, 2))
        assert f"make 120000 addresses: {MAX_SEEDS} at most" in problem(f"name: t\nseeds:\n{seeds}")

    @pytest.mark.parametrize(
        ("seeds", "said"),
        [("[]", "holds no seed"), ("https://e.org/", "wants a list, not"), ("", "is empty: give it a value")],
    )
    def test_seeds_are_a_list_of_at_least_one(self, seeds: str, said: str) -> None:
        assert said in problem(f"name: t\nseeds: {seeds}\n")

    def test_a_job_for_programs_alone_needs_no_seeds_but_the_key(self) -> None:
        assert "or serve programs alone with --wait" in problem("name: t\nseeds: []\n")
        assert load(Path("job.yaml"), needs_seeds=False).seeds == ()
        Path("job.yaml").write_text("name: t\n")
        with pytest.raises(JobError, match="seeds"):
            load(Path("job.yaml"), needs_seeds=False)


@pytest.mark.usefixtures("folder")
class TestValues:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("0", 0.0), ("0s", 0.0), ("250ms", 0.25), ("1.5s", 1.5), ("2m", 120.0), ("1h", 3600.0), ("24h", 86400.0)],
    )
    def test_durations_are_seconds(self, text: str, seconds: float) -> None:
        assert job(HEAD + f"politeness: {{delay: {text}}}\n").politeness.delay_s == seconds

    @pytest.mark.parametrize(
        ("text", "size"), [("1KiB", 1024), ("500KB", 500_000), ("1.5MiB", 1_572_864), ("1GB", 10**9)]
    )
    def test_sizes_are_bytes(self, text: str, size: int) -> None:
        assert job(HEAD + f"fetch: {{max_size: {text}}}\nlimits: {{bodies: 1GB}}\n").fetch.max_size_bytes == size

    @pytest.mark.parametrize(("text", "size"), [("2000", 2000), ("2KiB", 2048), ("1MB", 1_000_000)])
    def test_a_key_that_says_bytes_takes_a_whole_number_of_them_too(self, text: str, size: int) -> None:
        limits = job(f"{HEAD}limits: {{row_bytes: {text}, report_bytes: {text}, rows: 5, links: 6}}").limits
        assert (limits.row_bytes, limits.report_bytes, limits.rows, limits.links) == (size, size, 5, 6)

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("politeness: {delay: 1}", "politeness.delay: 1 has no unit (ms, s, m, h, d): write a duration such as"),
            ("politeness: {delay: true}", "has no number with a unit"),
            ("politeness: {delay: -1s}", "has no number with a unit"),
            ("politeness: {delay: 1 s}", "has no number with a unit"),
            ("politeness: {delay: 25h}", "25h is out of range: write from 0s to 24h"),
            ("politeness: {per_host: 0}", "0 is out of range: write a whole number from 1 to 1000"),
            ("politeness: {per_host: yes}", "politeness.per_host: wants a whole number, not 'yes'"),
            ("politeness: {per_host: true}", "wants a whole number, not true"),
            ("politeness: {per_host: 1.0}", "wants a whole number, not the number 1.0"),
            ("politeness: {user_agent: 'bot\t1'}", "is no user agent"),
            ("politeness: {robots_wait: 8d}", "politeness.robots_wait: 8d is out of range: write from 0s to 7d"),
            ("politeness: {ignore_robots: true}", "politeness.ignore_robots: wants a list, not true"),
            ("politeness: {ignore_robots: [e.org]}", "politeness.ignore_robots[0]: wants a mapping, not 'e.org'"),
            ("politeness: {ignore_robots: [{host: e.org}]}", "politeness.ignore_robots[0].reason: is missing: add it"),
            (
                "politeness: {ignore_robots: [{host: '*.e.org', reason: x}]}",
                "politeness.ignore_robots[0].host: '*.e.org' is no single host: write one such as example.org",
            ),
            (
                "politeness: {ignore_robots: [{host: '*', reason: x}]}",
                "'*' is no single host: write one such as example.org",
            ),
            ("politeness: {ignore_robots: [{host: e.org, reason: ' '}]}", "wants one line of 1 to 200 characters: say"),
            ("politeness: {ignore_robots: [{host: e.org, reason: }]}", "ignore_robots[0].reason: is empty"),
            (
                "politeness: {ignore_robots: [{host: e.org, reason: y, why: x}]}",
                "not a known key: known here are host, reason",
            ),
            (
                "politeness: {ignore_robots: [{host: e.org, reason: x}, {host: E.org, reason: y}]}",
                "ignore_robots[1].host: 'e.org' is listed twice",
            ),
            ("politeness: {obey_robots: false}", "politeness.obey_robots: is not a known key"),
            ("fetch: {timeout: 0s}", "0s is out of range: write from 100ms to 10m"),
            ("fetch: {timeout: 12:30}", "'12:30' has no number with a unit"),
            ("fetch: {retries: 010}", "wants a whole number, not '010'"),
            ("fetch: {retries: ten}", "wants a whole number, not 'ten'"),
            ("fetch: {retries: 21}", "21 is out of range: write a whole number from 0 to 20"),
            ("fetch: {max_size: 10}", "10 has no unit (B, KB, MB, GB, KiB, MiB, GiB): write a size such as"),
            ("fetch: {max_size: 2GiB}", "out of range: write from 1KiB to 1GiB"),
            (
                "fetch: {max_size: 512MiB}",
                "fetch.max_size: 512MiB is more than all bodies of a worker may have together (256MiB): write "
                "limits.bodies, too",
            ),
            (
                "limits: {bodies: 1500KB}",
                "limits.bodies: 1500000B is less than one page may have (fetch.max_size, 10MiB): write that or more",
            ),
            ("limits: {head: 257KiB}", "limits.head: 257KiB is out of range: write from 1KiB to 256KiB"),
            ("fetch: {engine: curly}", "fetch.engine: wants 'auto', 'curl' or 'requests', not 'curly'"),
            ("scope: {depth: -1}", "-1 is out of range: write a whole number from 0 to 10000"),
            ("scope: {depth: }", "scope.depth: is empty: give it a value or take the line away"),
            ("scope: {pages: 0}", "0 is out of range"),
            ("scope: {bytes: 1}", "scope.bytes: 1 has no unit"),
            ("scope: {time: 10000h}", "scope.time: 10000h is out of range: write from 1s to 8760h"),
            ("scope: {per_host: {pages: 0}}", "scope.per_host.pages: 0 is out of range"),
            ("scope: {per_host: {page: 1}}", "scope.per_host.page: is not a known key: did you mean 'pages'?"),
            (
                "scope: {per_host: 1}",
                "scope.per_host: wants a mapping, not the number 1: write keys with values; known here",
            ),
            ("scope: {per_host: 1}", "known here are pages, bytes, time"),
            ("scope: {hosts: e.org}", "write same, subdomains, any, or a list such as [example.org]"),
            (
                "scope: {hosts: any}",
                "scope.hosts: 'any' has no end without a budget for the whole crawl: write one beside it, such as "
                "pages: 100000, bytes: 10GiB or time: 8h",
            ),
            ("scope: {hosts: any, depth: 2, per_host: {pages: 10, time: 1h}}", "scope.hosts: 'any' has no end without"),
            ("scope: {hosts: [any]}", "scope.hosts: 'e.org' is the host of a seed and not among them"),
            ("scope: {hosts: ['*.e.org', e.org]}", "scope.hosts[0]: '*.e.org' is no host name: list 'e.org'"),
            ("scope: {hosts: ['https://a.b/', e.org]}", "'https://a.b/' is no host name alone: write 'a.b'"),
            ("scope: {hosts: ['e.org:80', e.org]}", "'e.org:80' is no host name alone: write 'e.org'"),
            ("scope: {hosts: [a.org]}", "scope.hosts: 'e.org' is the host of a seed and not among them: add it"),
            ("scope: {include: /x}", "scope.include: wants a list, not '/x'"),
            ("scope: {include: [/ü]}", "scope.include[0]: '/ü' matches nothing, since URLs are percent-escaped: "),
            ("scope: {exclude: [/%7e]}", "write '/%7E'"),
            ("scope: {exclude: ['https://e.org/x']}", "names a site, but path and query are matched"),
            ("scope: {exclude: ['']}", "is empty or too long for a pattern"),
            ("scope: {exclude: ['/x#y']}", "holds a '#'"),
            ("scope:", "scope: is empty: give it a value or take the line away"),
            ("scope: same", "scope: wants a mapping, not 'same'"),
            ("scope: {include: ['re:(a']}", "'re:(a' cannot be used (missing ): (a): write what RE2 knows"),
            ("scope: {include: ['re:(a)\\1']}", "invalid escape sequence"),
            ("scope: {exclude: ['re:(?<=a)b']}", "cannot be used"),
            ("scope: {exclude: ['re:(a{1,300}){1,300}']}", "cannot be used"),
            ("scope: {exclude: ['re:/ü']}", "URLs are percent-escaped: write it in ASCII"),
            ("scope: {exclude: ['re:" + "a" * 3000 + "']}", "is empty or too long for a pattern"),
            ("priorities: [{match: /a, priority: 1001}]", "priorities[0].priority: 1001 is out of range"),
            ("priorities: [{match: /a}]", "priorities[0].priority: is missing: add it"),
            ("priorities: [{match: /a, prio: 1, priority: 1}]", "did you mean 'priority'?"),
            ("fetch: {types: [html]}", "fetch.types[0]: 'html' is no content type: write one such as text/html"),
            ("fetch: {types: }", "fetch.types: is empty"),
            (
                "fetch: {allow_private: [10.0.0.1/8]}",
                "fetch.allow_private[0]: '10.0.0.1/8' is not how that network is written: write 10.0.0.0/8",
            ),
            ("fetch: {types: []}", "fetch.types: lists none, and no page would be read"),
            ("urls: {sort_query: yes}", "urls.sort_query: wants true or false, not 'yes'"),
            ("urls: {drop_query: ['a=b']}", "'a=b' is no name of a query parameter"),
            ("urls: {drop_query: ['*']}", "'*' names every parameter"),
            ("urls: {index_pages: [/index.html]}", "'/index.html' is no name of a page"),
            ("follow: a", "follow: wants a list, not 'a'"),
            ("follow:", "follow: is empty"),
            ("follow: ['a::attr(href)']", "takes text, but elements are wanted"),
            ("follow: ['a..b']", "follow[0]: the selector 'a..b' is not CSS"),
            ("sinks: [items.xyz]", "is no known kind of sink: name a file that ends in .jsonl"),
            ("sinks: [.jsonl]", "is no known kind of sink"),
            ("sinks: [../x.jsonl]", "leaves the crawl's folder"),
            ("sinks: [/x.jsonl]", "leaves the crawl's folder"),
            (
                "sinks: ['mongo://db/shop']",
                "sinks[0]: no sink writes to mongo://: there are",
            ),
            (
                "sinks: ['postgresql://me:secret@db/shop']",
                "has a password, which the crawl's folder would",
            ),
            ("sinks: [{to: 'postgresql://db/shop?password=x'}]", "sinks[0].to: the address has a password"),
            ("sinks: [{to: items.jsonl}]", "sinks[0].to: 'items.jsonl' is no address"),
            ("sinks: [{to: 'postgresql://db/a b'}]", "sinks[0].to: is no address: write"),
            (
                "sinks: [{to: 'postgresql://db/shop', formulas: keep}]",
                "sinks[0].formulas: is for .csv, .tsv, ",
            ),
            ("sinks: [{to: 'postgresql://db/shop', schema: ''}]", "sinks[0].schema: is empty"),
            ('sinks: [{to: "postgresql://db/shop", prefix: "a\\tb"}]', "sinks[0].prefix: wants printable characters"),
            (
                "sinks: [{to: 'postgresql://db/shop', shema: x}]",
                "sinks[0].shema: is not a known key: did you",
            ),
            ("sinks: ['https://me:secret@e.org/']", "has a password, which the crawl's folder would keep: write it"),
            ("sinks: [{to: 'https://e.org/', prefix: x}]", "sinks[0].prefix: is for postgresql: leave it out"),
            ("sinks: [{to: 'postgres://e/x', headers: {A: b}}]", "sinks[0].headers: is for https: leave it out"),
            ("sinks: [{to: 'https://e.org/', headers: {Host: b}}]", "is set by crawlfleet itself: take it away"),
            ("sinks: [{to: 'https://e.org/', headers: {a b: c}}]", "is no header name: write letters"),
            ('sinks: [{to: "https://e.org/", headers: {A: "s3cr\\tet\\n"}}]', "is no header value: write one line"),
            ("sinks: [{file: 's3://b/a.csv'}]", "sinks[0].file: is an address, not a file: write it under `to`"),
            ("sinks: [{file: a.csv, schema: x}]", "sinks[0].schema: is not a known key"),
            ("sinks: ['postgres://db/shop', 'postgres://db/shop']", "sinks[1]: 'postgres://db/shop' is listed twice"),
            ("sinks: [log.jsonl]", "is the crawl's own file"),
            ("sinks: [a.jsonl, A.jsonl]", "sinks[1]: 'A.jsonl' is listed twice"),
            ("tables: {urls: ../x.jsonl}", "tables.urls: '../x.jsonl' leaves the crawl's folder"),
            ("tables: {urls: x.zip}", "tables.urls: 'x.zip' is no known kind of sink"),
            ("tables: {urls: }", "tables.urls: is empty"),
            ("tables: {pages: x.jsonl}", "pages: is not a known key"),
            ("tables: {urls: Items.jsonl}", "tables.urls: 'Items.jsonl' is the sink 'items.jsonl' already"),
            ("tables: {urls: a.jsonl, links: A.jsonl}", "'A.jsonl' is the file of the table urls already"),
            ("lease: 500ms", "lease: 500ms is out of range: write from 1s to 1h"),
        ],
    )
    def test_bad_value_is_told_with_its_key_and_a_remedy(self, line: str, said: str) -> None:
        found = problem(HEAD + line + "\n")
        assert found.startswith("3:")
        assert said in found

    def test_a_crawl_that_is_not_stored_has_no_tables(self) -> None:
        found = problem(f"{HEAD}tables: {{urls: urls.jsonl}}\ndurability: none\n")
        assert "tables: are made from a stored crawl: choose another `durability` than none" in found

    def test_a_name_must_fit_the_database_that_it_goes_to(self) -> None:
        found = problem(HEAD + f"columns: {{{'a' * 64}: {{x: text}}}}\nsinks: ['postgres://db/shop']\n")
        assert found.startswith("4:")
        assert "sinks[0]: postgresql has names of 63 bytes at most: shorten 'aaa" in found

    @pytest.mark.parametrize("name", ["Quotes", "-a", "a b", "", "a" * 65, "ü", "../x"])
    def test_name_must_fit_a_folder(self, name: str) -> None:
        assert "name: wants 1 to 64 of" in problem(f"name: '{name}'\nseeds: [https://e.org/]\n")

    def test_number_where_text_is_wanted_needs_quotes(self) -> None:
        assert "name: wants text, not the number 2024: put it in quotes" in problem(
            "name: 2024\nseeds: [https://e.org/]\n"
        )

    @pytest.mark.parametrize(
        ("header", "said"),
        [
            ("Host: x", "fetch.headers.Host: is set by the fetcher itself"),
            ("user-agent: x", "write politeness.user_agent"),
            ('"a b": c', "is no header name"),
            ('"": c', "a key is missing before the colon"),
            ('X: "hunter2\\r\\nEvil: 1"', "fetch.headers.X: is no header value"),
            ("X: ' hunter2'", "is no header value"),
            ("X: hünter2", "is no header value"),
            ("X: 52", "fetch.headers.X: wants text: put the value in quotes"),
            ("{x: 1, X: y, x-a: b}", "wants text"),
            ("{X: a, x: b}", "fetch.headers.x: is written twice, with other capitals"),
        ],
    )
    def test_bad_header_is_told_and_its_value_is_not(self, header: str, said: str) -> None:
        flow = header if header.startswith("{") else f"{{{header}}}"
        found = problem(HEAD + f"fetch: {{headers: {flow}}}\n")
        assert said in found
        assert "nter2" not in found


@pytest.mark.usefixtures("folder")
class TestItems:
    def test_fields_take_text_attributes_lists_and_objects(self) -> None:
        found = brief(
            job(
                HEAD
                + """\
items:
  - name: quote
    each: div.quote
    fields:
      text: span.text::text
      plain: h1
      link: "::attr(href)"
      tags: [a.tag::attr(title)]
      parts: {each: li, fields: {word: b}}
"""
            )
        )
        assert found.items == (
            ItemRule(
                name="quote",
                each="div.quote",
                fields=(
                    FieldRule(name="text", selector="span.text"),
                    FieldRule(name="plain", selector="h1"),
                    FieldRule(name="link", take="attr", attr="href"),
                    FieldRule(name="tags", selector="a.tag", take="attr", attr="title", many=True),
                    FieldRule(name="parts", selector="li", many=True, fields=(FieldRule(name="word", selector="b"),)),
                ),
            ),
        )

    @pytest.mark.parametrize(
        ("item", "said"),
        [
            ("{name: a, fields: {url: h1}}", "items[0].fields.url: is a name that every row has already"),
            ("{name: a, fields: {item: h1}}", "is a name that every row has already"),
            ("{name: a, fields: {}}", "items[0].fields: has no field"),
            ("{name: a}", "items[0].fields: is missing: add it"),
            ("{name: a, fields: {t: 5}}", "items[0].fields.t: is no field: write a selector"),
            ("{name: a, fields: {t: }}", "items[0].fields.t: is empty"),
            ("{name: a, fields: {t: [a, b]}}", "items[0].fields.t: is no field"),
            ("{name: a, fields: {t: 'h1..x::text'}}", "items[0].fields.t: the selector 'h1..x' is not CSS"),
            ("{name: a, fields: {t: ['']}}", "items[0].fields.t: the selector is empty"),
            ("{name: a, each: 'p::text', fields: {t: h1}}", "items[0].each: 'p::text' takes text"),
            ("{name: a, fields: {t: {each: p, fields: {u: 'x >'}}}}", "items[0].fields.t.fields.u: the selector"),
            ("{name: a, fields: {t: {each: p, fields: {u: h1}, css: x}}}", "items[0].fields.t.css: is not a known"),
            ("{name: 'a b', fields: {t: h1}}", "items[0].name: wants 1 to 64 letters"),
            ("{name: a, fields: {t: h1}, eech: p}", "items[0].eech: is not a known key: did you mean 'each'?"),
            ("{name: a, fields: {t: h1}}\n  - {name: a, fields: {t: h1}}", "items[1].name: 'a' is the name of an"),
        ],
    )
    def test_bad_rule_is_told_with_its_line(self, item: str, said: str) -> None:
        found = problem(HEAD + f"items:\n  - {item}\n")
        assert found.startswith(("4:", "5:"))
        assert said in found

    def test_nested_fields_may_have_any_name(self) -> None:
        found = job(HEAD + "items: [{name: a, fields: {t: {each: p, fields: {url: a, item: b}}}}]\n")
        assert [field.name for field in brief(found).items[0].fields[0].fields] == ["url", "item"]


class TestHooks:
    def load(self, folder: Path, source: str | bytes) -> Job:
        data = source.encode() if isinstance(source, str) else source
        (folder / "hook.py").write_bytes(data)
        return job(HEAD + "hooks: hook.py\n")

    @pytest.mark.parametrize(
        "source",
        [
            "def parse(page): ...\n",
            "def parse(page, *more): ...\n",
            "parse = lambda page: None\n",
            "from somewhere import parse\n",
            "from somewhere import *\n",
            "try:\n    import x\nexcept ImportError:\n    def parse(page): ...\n",
            "class parse:\n    def __init__(self, page): ...\n",
            "\ufeff# coding: utf-8\r\ndef parse(page): ...\r\n",
        ],
    )
    def test_hook_that_defines_parse_is_taken_without_running_it(self, folder: Path, source: str) -> None:
        ran = folder / "ran"
        found = self.load(folder, source + f"open({str(ran)!r}, 'w')\n")
        assert found.hooks == (folder / "hook.py").resolve()
        assert not ran.exists()

    def test_brief_carries_the_text_that_was_checked(self, folder: Path) -> None:
        found = self.load(folder, "def parse(page): ...\n")
        (folder / "hook.py").write_text("changed")
        hook = brief(found).hook
        assert hook is not None
        assert (hook.path, hook.source) == (str((folder / "hook.py").resolve()), "def parse(page): ...\n")

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ("def parse(page):\n    return (\n", "hook.py:2: "),
            ("x = 1\nreturn\n", "hook.py:2: 'return' outside function"),
            ("def other(page): ...\n", "hook.py defines no parse: write def parse(page)"),
            ("class A:\n    def parse(self): ...\n", "hook.py defines no parse"),
            ("x = 1\nasync def parse(page): ...\n", "hook.py:2: parse is async"),
            ("def parse(): ...\n", "hook.py:1: parse must take the page"),
            ("def parse(page, fleet): ...\n", "hook.py:1: parse must take the page"),
            ("def parse(page, *, fleet): ...\n", "hook.py:1: parse must take the page"),
            (b"x = '\xff'\n", "hook.py is not UTF-8 text"),
            (b"# coding: nonsense\n", "hook.py is not UTF-8 text"),
            ("x = '\0'\n", "hook.py"),
            ("", "hook.py defines no parse"),
            ("#" * 1024 * 1025, "is larger than 1024 KiB"),
        ],
    )
    def test_hook_that_cannot_work_is_told_with_its_own_line(
        self, folder: Path, source: str | bytes, said: str
    ) -> None:
        with pytest.raises(JobError) as caught:
            self.load(folder, source)
        (found,) = caught.value.problems
        assert found.startswith("job.yaml:3:8: hooks: ")
        assert said in found

    @pytest.mark.parametrize(
        ("path", "said"),
        [
            ("no.py", "there is no file"),
            ("hook.txt", "is no Python file"),
            ("dir.py", "cannot be read (Is a directory)"),
            ("5", "hooks: wants"),
            ("", "hooks: is empty"),
        ],
    )
    def test_hook_that_is_no_file_is_reported(self, folder: Path, path: str, said: str) -> None:
        (folder / "dir.py").mkdir()
        assert said in problem(HEAD + f"hooks: {path}\n")

    def test_a_hook_may_name_its_function(self, folder: Path) -> None:
        (folder / "hook.py").write_text("def books(page): ...\n")
        found = job(HEAD + "hooks: hook.py:books\n")
        assert found.hook == HookSpec(
            path=str((folder / "hook.py").resolve()), source="def books(page): ...\n", function="books"
        )
        assert brief(found).hook == found.hook
        assert as_data(found)["hooks"] == f"{(folder / 'hook.py').resolve()}:books"
        assert "hook.py defines no parse" in problem(HEAD + "hooks: hook.py\n")
        assert "hook.py defines no quotes: write def quotes(page)" in problem(HEAD + "hooks: hook.py:quotes\n")

    def test_an_engine_without_sessions_to_prepare_is_reported(self, folder: Path) -> None:
        (folder / "hook.py").write_text("def parse(page): ...\ndef session(session): ...\n")
        for engine in ("auto", "requests"):
            assert job(HEAD + f"hooks: hook.py\nfetch: {{engine: {engine}}}\n").fetch.engine == engine
        found = problem(HEAD + "hooks: hook.py\nfetch: {engine: curl}\n")
        assert found.startswith("4:17: fetch.engine: 'curl' has no session for the hook's session()"), found


@pytest.mark.usefixtures("folder")
class TestProblems:
    def test_all_are_told_at_once_in_the_order_of_the_file(self) -> None:
        found = problems(
            "name: t\nsceope: {}\nseeds: [x.org]\ndelay: 1s\nfetch: {retries: x, retries: 1}\nlease: *no\nitems: []\n"
        )
        assert [line.split(": ")[:2] for line in found] == [
            ["job.yaml:2:1", "sceope"],
            ["job.yaml:3:9", "seeds[0]"],
            ["job.yaml:4:1", "delay"],
            ["job.yaml:5:18", "fetch.retries"],
            ["job.yaml:5:21", "fetch.retries"],
            ["job.yaml:6:8", "lease"],
        ]

    def test_unknown_key_names_the_nearest_or_its_section(self) -> None:
        assert "seed: is not a known key: did you mean 'seeds'?" in problems(HEAD + "seed: x\n")[0]
        assert "itmes: is not a known key: did you mean 'items'?" in problems(HEAD + "itmes: []\n")[0]
        assert "depth: is not a known key here: it belongs under scope" in problem(HEAD + "depth: 3\n")
        top = "is not a known key here: it belongs at the top level, without indentation"
        assert f"scope.items: {top}" in problem(HEAD + "scope: {items: []}\n")
        assert "fields: is not a known key here: it belongs in an entry of items" in problem(HEAD + "fields: {a: b}\n")
        assert "scope.per_host.depth: is not a known key here: it belongs under scope" in problem(
            HEAD + "scope: {per_host: {depth: 3}}\n"
        )
        assert "known here are hosts, include" in problem(HEAD + "scope: {zzz: 1}\n")
        assert "known here are sitemap" in problem("name: t\nseeds: [{sitemap: https://e.org/, zzz: 1}]\n")
        inner = "{each: i, zzz: 1, fields: {c: d}}"
        nested = f"{{name: a, fields: {{each: {{each: h, fields: {{b: {inner}}}}}}}}}"
        assert "known here are each, fields" in problem(HEAD + f"items: [{nested}]\n")

    def test_missing_keys_are_reported(self) -> None:
        assert problems("lease: 15s\n") == (
            "job.yaml:1:1: name: is missing: add it",
            "job.yaml:1:1: seeds: is missing: add it",
        )

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "1:1: the file is empty"),
            ("# nothing\n", "1:1: the file is empty"),
            ("---\n", "1:1: the file is empty"),
            ("*all\n", "1:1: the alias *all is not accepted"),
            ("- a\n", "1:1: wants a mapping, not a list"),
            ("text\n", "1:1: wants a mapping, not 'text'"),
            ("a: b: c\n", "1:5: this is not YAML"),
        ],
    )
    def test_file_that_holds_no_mapping_is_reported(self, text: str, said: str) -> None:
        assert problem(text).startswith(said)

    def test_missing_file_is_told_by_its_name(self) -> None:
        with pytest.raises(JobError) as caught:
            load(Path("no/job.yaml"))
        assert caught.value.problems == ("no/job.yaml: there is no such file: check the path",)
        assert caught.value.exit_code == 2

    def test_no_control_code_reaches_the_terminal(self) -> None:
        found = problem(HEAD + '"a\\e]0;x\\n": 1\n')
        assert found.isprintable()

    def test_long_values_are_shortened(self) -> None:
        assert len(problem(HEAD + f"fetch: {{retries: {'x' * 5000}}}\n")) < 200
        assert len(problem(f"name: t\nseeds: [{'x' * 5000}]\n")) < 400
        assert len(problem(HEAD + f"{'x' * 5000}: 1\n")) < 2000


@pytest.mark.usefixtures("folder")
class TestBrief:
    def test_scope_same_is_the_hosts_of_the_seeds(self) -> None:
        found = brief(job("name: t\nseeds: [https://b.org/, http://a.org:81/, https://b.org/x]\n"))
        assert found.scope == ScopeSpec(hosts=("b.org", "a.org"))

    def test_scope_subdomains_lets_in_what_is_below(self) -> None:
        found = brief(job(HEAD + "scope: {hosts: subdomains, include: [/a], exclude: [/b]}\n"))
        assert found.scope == ScopeSpec(hosts=("e.org",), subdomains=True, include=("/a",), exclude=("/b",))

    @pytest.mark.parametrize("budget", ["pages: 10", "bytes: 1MiB", "time: 1h"])
    def test_any_host_is_in_scope_within_a_budget(self, budget: str) -> None:
        found = job(HEAD + f"scope: {{hosts: any, {budget}}}\n")
        assert brief(found).scope == ScopeSpec(hosts=("e.org",), any_host=True)
        assert not found.scope.grows

    def test_listed_hosts_are_canonical(self) -> None:
        found = brief(job(HEAD + "scope: {hosts: [E.org, 例え.jp]}\n"))
        assert found.scope == ScopeSpec(hosts=("e.org", "xn--r8jz45g.jp"))

    def test_urls_carry_what_is_left_out_of_addresses(self) -> None:
        lines = "urls: {drop_query: [ref], drop_tracking: true, sort_query: true, strip_session_ids: true}\n"
        found = brief(job(HEAD + lines)).urls
        assert found == UrlSpec(drop_query=("ref", *TRACKING), sort_query=True, strip_session_ids=True)
        assert brief(job(HEAD)).urls == UrlSpec()
        assert brief(job(HEAD + "urls: {index_pages: [index.html]}\n")).urls == UrlSpec(index_pages=("index.html",))

    def test_fetch_carries_user_agent_and_headers(self) -> None:
        found = brief(
            job(
                HEAD
                + "politeness: {user_agent: bot/1}\n"
                + "fetch: {engine: requests, timeout: 1s, max_size: 1KiB, headers: {A: b}, types: [Text/HTML]}\n"
            )
        )
        assert found.fetch == FetchSpec(
            engine="requests",
            timeout_s=1.0,
            max_size_bytes=1024,
            user_agent="bot/1",
            headers=(("A", "b"),),
            types=("text/html",),
        )

    def test_follow_is_every_link_some_or_none(self) -> None:
        assert brief(job(HEAD)).follow is None
        assert brief(job(HEAD + "follow: []\n")).follow == ()
        assert (brief(job(HEAD)).links, brief(job(HEAD)).parse) == (LinkSpec(), ParseSpec())
        assert brief(job(HEAD + "parse: {engine: bs4}\n")).parse.engine == "bs4"
        ignoring = job(HEAD + "links: {assets: true, nofollow: ignore, noindex: ignore}\n")
        assert brief(ignoring).links == LinkSpec(assets=True, obey_nofollow=False, obey_noindex=False)
        assert brief(job(HEAD + "follow: [' a.next ']\n")).follow == ("a.next",)
