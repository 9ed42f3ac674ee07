"""The encoding that a page declares: where it stands within the part that is looked through makes no difference."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from crawlfleet.worker.extract.charset import declared_encoding

# What the prescan tells apart, in pieces; so many blanks push a page out of the part that is looked at first.
PIECES = [
    b"<meta ",
    b"<p ",
    b"<!--",
    b"-->",
    b"<?",
    b"charset",
    b"=",
    b"koi8-r",
    b"'",
    b'"',
    b">",
    b"/",
    b" content=",
    b" ",
]
BLANKS = b" " * 1024


@given(st.lists(st.sampled_from(PIECES), max_size=24).map(b"".join))
@example(b'<meta content="charset>" charset=koi8-r>')
@example(b"<!-- charset> <meta charset=koi8-r>")
def test_what_comes_first_is_read_as_what_comes_late(markup: bytes) -> None:
    assert declared_encoding(markup, "") == declared_encoding(BLANKS + markup, "")
