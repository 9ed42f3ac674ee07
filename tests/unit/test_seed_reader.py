"""The addresses of seeds files: which lines are some, what is said of the others, and where that is."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from crawlfleet.coordinator.core.seed_line import SeedLine
from crawlfleet.coordinator.job import seed_reader
from crawlfleet.coordinator.job.seed_reader import MAX_LINES_PER_RECORD, MAX_TOLD, SeedReader, look

A, B = "http://a.test/", "http://b.test/"


def reader(text: str | bytes, folder: Path, column: str | None = None, name: str = "urls") -> SeedReader:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return SeedReader(path, name, column, look(path, column, name))


def addresses(text: str, folder: Path, column: str | None = None) -> list[str]:
    return [url for url, _ in reader(text, folder, column)]


def test_a_line_is_an_address_and_blank_lines_and_comments_are_passed_over(tmp_path: Path) -> None:
    found = reader(
        "# mine\n\n  HTTP://A.test:80/x/../y?b#top \r\n\t\n#http://b.test/\nhttp://a.test/{1..3}\n", tmp_path
    )
    assert list(found) == [
        ("http://a.test/y?b", SeedLine("HTTP://A.test:80/x/../y?b#top")),
        ("http://a.test/%7B1..3%7D", SeedLine("http://a.test/{1..3}")),
    ]
    assert (found.addresses, found.bad, found.fault, list(found.findings())) == (2, 0, "", [])


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("a.test/x", "'a.test/x' has no scheme: write 'https://a.test/x'"),
        ("ftp://a.test/", "is no http or https address"),
        ("http://a.test/x y", "holds a space"),
        ("http://user:secret@a.test/", "holds a user name or password"),
        ("http://", "is no address that can be fetched"),
        ("http://a.test/\x1b[31m", "holds a space"),
        ("http://a.test/" + "x" * 9_000, "is longer than 8,192 characters"),
        ("http://a.test/" + "x" * 99_000, "the line is too long for an address"),
        ("http://a.test/\ufffd", "is not UTF-8 text"),
    ],
)
def test_a_line_that_is_no_address_is_told_with_its_place_and_skipped(line: str, why: str, tmp_path: Path) -> None:
    found = reader(f"{A}\n\n{line}\n{B}\n", tmp_path)
    assert [url for url, _ in found] == [A, B]
    (told,) = found.take_told()
    assert told.startswith("urls:3: ")
    assert why in told
    assert "secret" not in told
    assert told.isprintable()
    assert len(told) < 400
    assert (found.bad, found.first_bad, found.take_told()) == (1, told, [])
    assert list(found.findings()) == [f"urls: 1 line is skipped, such as {told}."]


def test_of_many_bad_lines_some_are_told_and_all_are_counted(tmp_path: Path) -> None:
    found = reader("bad\n" * 1_000, tmp_path)
    assert list(found) == []
    told = found.take_told()
    assert len(told) == MAX_TOLD + 1
    assert told[-1].endswith("; further bad lines are counted only")
    assert list(found.findings()) == [f"urls: 1,000 lines are skipped, such as {told[0]}.", "urls holds no address."]


def test_a_column_of_a_table_has_the_addresses_and_the_others_are_kept_as_they_are(tmp_path: Path) -> None:
    text = 'id,Address , note\n007,http://a.test/,"one, ""two"""\n\n,,\n8, http://b.test/ \n9,"http://c.test/?a,b","x\ny"\n'
    assert list(reader(text, tmp_path, "address")) == [
        (A, SeedLine(A, {"id": "007", "note": 'one, "two"'})),
        (B, SeedLine("http://b.test/", {"id": "8", "note": ""})),
        ("http://c.test/?a,b", SeedLine("http://c.test/?a,b", {"id": "9", "note": "x\ny"})),
    ]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_are_separated_by_comma_semicolon_or_tab(separator: str, tmp_path: Path) -> None:
    lines = [["n", "url"], ["1", "http://a.test/?x=1;2,3"]]
    text = "\n".join(separator.join(f'"{cell}"' for cell in line) for line in lines)
    assert [(url, line.columns) for url, line in reader(text, tmp_path, "url")] == [
        ("http://a.test/?x=1;2,3", {"n": "1"})
    ]


def test_a_packed_table_with_a_byte_order_mark_and_blank_lines_before_its_names(tmp_path: Path) -> None:
    data = gzip.compress("\ufeff\r\n\r\nurl\r\nhttp://a.test/\r\n".encode())
    assert [url for url, _ in reader(data, tmp_path, "url", "urls.csv.gz")] == [A]


def test_bad_records_are_told_by_the_line_on_which_they_begin_and_hide_no_other(tmp_path: Path) -> None:
    text = (
        'url,n\nhttp://a.test/,"x\ny"\n"http://b.test/,1\nhttp://c.test/,2\nhttp://d.test/?a,b,3\n"x"y,4\n,5\n'
        f"http://e.test/,{'z' * 17_000}\nhttp://f.test/,\ufffd\n{'y' * 70_000}\nhttp://g.test/,6\n"
    )
    found = reader(text, tmp_path, "url")
    assert [url for url, _ in found] == [A, "http://c.test/", "http://g.test/"]
    assert [told.removeprefix("urls:") for told in found.take_told()] == [
        "4: a quote is not closed: close it, or double it",
        "6: has 3 columns, the first line 2: put texts in quotes",
        "7: is no CSV (',' expected after '\"'): mend it",
        "8: the seed is empty: write an address such as https://example.org/",
        "9: has more than 16 KiB of text in its columns: shorten it",
        "10: is not UTF-8 text: save the file as UTF-8",
        "11: the line is too long for an address: shorten it",
    ]


def test_a_quote_that_is_never_closed_takes_no_more_than_a_few_lines_in_at_once(tmp_path: Path) -> None:
    text = "url\n" + '"open\n' + f"{A}\n" * (2 * MAX_LINES_PER_RECORD) + '"http://b.test/"\n'
    found = reader(text, tmp_path, "url")
    assert [url for url, _ in found] == [A] * (2 * MAX_LINES_PER_RECORD) + [B]
    assert found.bad == 1


def test_columns_without_a_name_or_with_one_that_is_there_already_are_left_out(tmp_path: Path) -> None:
    names = ["url", "", "Id", "id", "x" * 65, "a\x07", *(f"c{number}" for number in range(120))]
    path = tmp_path / "urls"
    path.write_text(",".join(names) + "\n")
    assert look(path, "url", "urls") == ("Id", *(f"c{number}" for number in range(99)))


@pytest.mark.parametrize(
    ("name", "column", "text", "why"),
    [
        (
            "u.csv",
            None,
            "a,b\n",
            r"'u.csv' is a CSV file: name the column that has the addresses, column: one of 'a', 'b'",
        ),
        ("u.txt", "c", "a;b\n", r"'u.txt' has no column 'c': its first line names 'a', 'b'"),
        ("u.tsv", "c", "", r"'u.tsv' has no column 'c': its first line names none"),
        ("u.csv", "c", ",".join(f"n{n}" for n in range(50)), r"names 'n0', .*'n9', \.\.\."),
        ("u.txt", None, "\0", "'u.txt' holds no text"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_at_its_beginning(
    name: str, column: str | None, text: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=why):
        look(tmp_path / name, column, name)


def test_what_is_read_of_a_file_that_is_cut_short_counts(tmp_path: Path) -> None:
    lines = "".join(f"http://a.test/{number * 7919 % 10_007}\n" for number in range(50_000))
    found = reader(gzip.compress(lines.encode())[:-50_000], tmp_path)
    number = sum(1 for _ in found)
    assert 0 < number < 50_000
    (said,) = found.findings()
    assert said.startswith("urls is cut short: its gzip data end in the middle; get the file again; nothing was taken")
    assert said.endswith(f"after line {found.number:,}.")
    assert found.number in (number, number + 1)


def test_a_file_that_goes_or_changes_while_it_is_read_is_told(tmp_path: Path) -> None:
    found = reader(f"{A}\n{B}\n" * 50_000, tmp_path)
    for place, _ in enumerate(found):
        if place == 10:
            with (tmp_path / "urls").open("ab") as file:
                file.write(b"http://a.te")
    assert next(iter(found.findings())) == "urls was changed while it was read: run the job again to take all of it."
    gone = reader(A, tmp_path)
    (tmp_path / "urls").unlink()
    assert list(gone) == []
    assert list(gone.findings()) == [
        "urls is not there: paths are relative to the job file; nothing was taken from it."
    ]


def test_a_table_whose_columns_have_changed_since_it_was_looked_at_says_so(tmp_path: Path) -> None:
    found = reader("url,n\n", tmp_path, "url")
    (tmp_path / "urls").write_text("address,n\nhttp://a.test/,1\n")
    assert list(found) == []
    assert list(found.findings()) == [
        "urls has no column 'url': its first line names 'address', 'n'; nothing was taken from it after line 1."
    ]


def test_only_columns_that_the_crawl_knows_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "urls"
    path.write_text("url,n,m\nhttp://a.test/,1,2\n")
    assert [line.columns for _, line in SeedReader(path, "urls", "url", ["n"])] == [{"n": "1"}]


def test_the_reader_says_how_far_it_is(tmp_path: Path) -> None:
    found = reader(f"{A}\n" * 100_000, tmp_path)
    assert (found.number, found.fraction) == (0, 0.0)
    some = iter(found)
    next(some)
    assert found.number == 1
    assert 0 < found.fraction < 1
    assert seed_reader.is_table("x.CSV.gz", None)
