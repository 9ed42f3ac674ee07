"""What servers may answer, place by place, and how each of it counts by RFC 9110, RFC 9112 and the Fetch standard.

`answer_grammar` makes answers of it, `docs/conformance.md` has the same table. The first rule of each place is the
usual way. In samples, names in `<>` stand for what depends on the answer: `<status>`, `<size>` and `<hex>` of the data
that are sent, `<more>` for one byte more, `<data>` themselves, `<chunks>` for them in chunks.
"""

from __future__ import annotations

from enum import Enum
from itertools import groupby
from typing import NamedTuple

from crawlfleet.shared.reasons import Reason


class Place(Enum):
    """A place in an answer, in order. Of the places of a body there is one, by how its end is told."""

    INTERIM = "before the answer"
    STATUS_LINE = "first line"
    STATUS = "status"
    FIRST_FIELD = "second line"
    FIELD = "field"
    CODING = "Content-Encoding"
    LENGTH = "Content-Length"
    CHUNKED = "Transfer-Encoding"
    UNTIL_CLOSE = "no length"
    END_OF_HEAD = "end of the head"
    CHUNKS = "chunks"
    END = "end of the answer"


class Otherwise(NamedTuple):
    """The verdict of one engine, and why."""

    engine: str
    verdict: Reason
    why: str


class Rule(NamedTuple):
    """How a kind of answers counts: as read, which `verdict` None says, or as broken.

    `of_body` says that it only counts where the body is wanted. `packed` names the codings of the data that are sent.
    `otherwise` is the verdict of an engine that cannot be brought to it.
    """

    place: Place
    name: str
    verdict: Reason | None
    section: str
    samples: tuple[bytes, ...]
    of_body: bool = False
    packed: tuple[str, ...] = ()
    otherwise: Otherwise | None = None


RULES = (
    Rule(Place.INTERIM, "nothing", None, "RFC 9112, 2.1", (b"",)),
    Rule(
        Place.INTERIM,
        "interim answers",
        None,
        "RFC 9110, 15.2",
        (
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n",
            b"HTTP/1.1 102\r\n\r\n",
            b"HTTP/1.1 199 \n\n",
            b"HTTP/1.0 100 Continue\r\n\r\n",
        ),
    ),
    Rule(
        Place.INTERIM,
        "an interim answer that tells of a body",
        None,
        "RFC 9112, 6.3",
        (
            b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\nContent-Encoding: gzip\r\n\r\n",
        ),
    ),
    Rule(
        Place.INTERIM,
        "interim answers with two Locations",
        None,
        "RFC 9110, 15.2",
        (
            b"HTTP/1.1 103 Early Hints\r\nLocation: /a\r\n\r\nHTTP/1.1 103 Early Hints\r\nLocation: /b\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLocation: /a\r\nLocation: /b\r\n\r\n",
        ),
        otherwise=Otherwise("curl", Reason.BAD_HEADER, "libcurl refuses two, whatever the status"),
    ),
    Rule(
        Place.INTERIM,
        "an interim answer with a broken field",
        Reason.BAD_HEADER,
        "RFC 9112, 5",
        (
            b"HTTP/1.1 103 Early Hints\r\nnonsense\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\nX-Nul: a\0b\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\nX-Return: a\rb\r\n\r\n",
        ),
    ),
    Rule(
        Place.INTERIM,
        "anything else",
        Reason.BAD_STATUS_LINE,
        "RFC 9112, 2.1",
        (b"\r\n", b"\n", b" ", b"x\r\n", b"\xef\xbb\xbf", b"HTTP/1.1 1 Continue\r\n\r\n", b"\0"),
    ),
    Rule(Place.STATUS_LINE, "version, status, phrase", None, "RFC 9112, 4", (b"HTTP/1.1 <status> OK\r\n",)),
    Rule(
        Place.STATUS_LINE,
        "HTTP/1.0, no phrase, any phrase",
        None,
        "RFC 9112, 4",
        (
            b"HTTP/1.0 <status> OK\r\n",
            b"HTTP/1.1 <status>\r\n",
            b"HTTP/1.1 <status> \r\n",
            b"HTTP/1.1 <status>  a  b \r\n",
            b"HTTP/1.1 <status> \xe9 \xc3\xa9 \xff\r\n",
            b"HTTP/1.1 <status> " + b"long " * 200 + b"\r\n",
            b"HTTP/1.1 <status> a\tb\x01\x7f\r\n",
            b"HTTP/1.1 <status> 404 Not Found: x\r\n",
        ),
    ),
    Rule(Place.STATUS_LINE, "a line feed alone ends it", None, "RFC 9112, 2.2", (b"HTTP/1.1 <status> OK\n",)),
    Rule(Place.STATUS_LINE, "a tab before the phrase", None, "RFC 9112, 4", (b"HTTP/1.1 <status>\tOK\r\n",)),
    Rule(
        Place.STATUS_LINE,
        "another version",
        Reason.BAD_STATUS_LINE,
        "RFC 9112, 2.3",
        (
            b"HTTP/2 <status> OK\r\n",
            b"HTTP/2 <status> \r\n",
            b"HTTP/2.0 <status> OK\r\n",
            b"HTTP/3 <status> OK\r\n",
            b"HTTP/1.2 <status> OK\r\n",
            b"HTTP/1.10 <status> OK\r\n",
            b"HTTP/0.9 <status> OK\r\n",
            b"HTTP/1 <status> OK\r\n",
            b"HTTP/1. <status> OK\r\n",
            b"HTTP/01.1 <status> OK\r\n",
            b"HTTP/9.9 <status> OK\r\n",
        ),
    ),
    Rule(
        Place.STATUS_LINE,
        "another protocol, or none",
        Reason.BAD_STATUS_LINE,
        "RFC 9112, 2.3",
        (
            b"ICY <status> OK\r\n",
            b"http/1.1 <status> OK\r\n",
            b"Http/1.1 <status> OK\r\n",
            b"HTTPS/1.1 <status> OK\r\n",
            b"HTTP /1.1 <status> OK\r\n",
            b"HTTP\\1.1 <status> OK\r\n",
            b"HTTP <status> OK\r\n",
            b"<status> OK\r\n",
            b"<!doctype html><title>none</title>\r\n",
            b"H\r\n",
        ),
    ),
    Rule(
        Place.STATUS_LINE,
        "other blanks",
        Reason.BAD_STATUS_LINE,
        "RFC 9112, 4",
        (
            b"HTTP/1.1  <status> OK\r\n",
            b"HTTP/1.1\t<status> OK\r\n",
            b"\tHTTP/1.1 <status> OK\r\n",
            b"HTTP/1.1\x0b<status> OK\r\n",
            b"HTTP/1.1<status> OK\r\n",
            b"HTTP/1.1: <status> OK\r\n",
        ),
    ),
    Rule(
        Place.STATUS_LINE,
        "no number of three digits, from 100 on",
        Reason.BAD_STATUS_LINE,
        "RFC 9112, 4",
        (
            b"HTTP/1.1 <status>OK\r\n",
            b"HTTP/1.1 <status>0 OK\r\n",
            b"HTTP/1.1 <status>: OK\r\n",
            b"HTTP/1.1 <status>.5 OK\r\n",
            b"HTTP/1.1 20 OK\r\n",
            b"HTTP/1.1 2\r\n",
            b"HTTP/1.1 099 OK\r\n",
            b"HTTP/1.1 000 OK\r\n",
            b"HTTP/1.1 +20 OK\r\n",
            b"HTTP/1.1 -20 OK\r\n",
            b"HTTP/1.1 2x0 OK\r\n",
            b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa0 OK\r\n",
            b"HTTP/1.1 OK\r\n",
            b"HTTP/1.1 \r\n",
            b"HTTP/1.1\r\n",
        ),
    ),
    Rule(
        Place.STATUS_LINE,
        "a NUL, or a carriage return that ends no line",
        Reason.BAD_STATUS_LINE,
        "RFC 9112, 2.2; RFC 9110, 5.5",
        (
            b"HTTP/1.1 <status> O\0K\r\n",
            b"HTTP/1.1 <status> OK\0\r\n",
            b"HTTP/1.1 <status>\0OK\r\n",
            b"HTTP/1.1 <status> O\rK\r\n",
            b"HTTP/1.1 <status> OK\r\r\n",
            b"HTTP/1.1 <status>\rOK\r\n",
        ),
    ),
    Rule(Place.STATUS, "a page", None, "RFC 9110, 15.3", (b"200",)),
    Rule(Place.STATUS, "another answer with a body", None, "RFC 9110, 15", (b"203", b"206", b"404", b"503", b"999")),
    Rule(Place.STATUS, "an answer without a body", None, "RFC 9112, 6.3", (b"204", b"304", b"101")),
    Rule(
        Place.STATUS,
        "a redirect",
        None,
        "RFC 9110, 15.4",
        (
            b"301Location: /a\r\n",
            b"302Location: /a\r\nLocation: /a\r\n",
            b"307",
            b"308Location:\r\n",
            b"302Location: /caf\xc3\xa9\r\n",
        ),
    ),
    Rule(
        Place.STATUS,
        "a redirect with two targets",
        Reason.BAD_HEADER,
        "RFC 9110, 5.3",
        (b"301Location: /a\r\nLocation: /b\r\n", b"302Location: /a\r\nX-Other: 1\r\nlocation: /b\r\n"),
    ),
    Rule(
        Place.STATUS,
        "a Location of an answer that is no redirect",
        None,
        "RFC 9110, 10.2.2",
        (b"200Location: /a\r\n", b"201Location: /a\r\nLocation: /a\r\n", b"404Location: /a\r\n"),
    ),
    Rule(
        Place.STATUS,
        "two Locations of an answer that is no redirect",
        None,
        "Fetch, HTTP-redirect fetch",
        (b"200Location: /a\r\nLocation: /b\r\n", b"404Location: /a\r\nX-Other: 1\r\nLocation: /b\r\n"),
        otherwise=Otherwise("curl", Reason.BAD_HEADER, "libcurl refuses two, whatever the status"),
    ),
    Rule(Place.FIRST_FIELD, "a field", None, "RFC 9112, 2.1", (b"",)),
    Rule(
        Place.FIRST_FIELD,
        "a line that begins with a blank",
        Reason.BAD_HEADER,
        "RFC 9112, 2.2",
        (b" X-First: a\r\n", b"\tX-First: a\r\n", b" Content-Length: 3\r\n", b" \r\n", b"  nonsense\r\n"),
    ),
    Rule(Place.FIELD, "a name, a colon, a value", None, "RFC 9112, 5", (b"X-Usual: a\r\n",)),
    Rule(
        Place.FIELD,
        "any blanks around a value, none at all, any bytes in it",
        None,
        "RFC 9112, 5.1",
        (
            b"X-Blanks:a\r\n",
            b"X-Blanks:\t a \t b\t \r\n",
            b"X-Empty:\r\n",
            b"X-Empty: \r\n",
            b"X-Colons: a: b:c\r\n",
            b"X-Bytes: \xe9\xff\r\n",
            b"X-Text: caf\xc3\xa9\r\n",
            b"X-Controls: \x01\x0b\x0c\x1c\x7f a\x0c\r\n",
            b"X-Long: " + b"x" * 20_000 + b"\r\n",
            b"!#$%&'*+-.^_`|~09: a\r\n",
        ),
    ),
    Rule(Place.FIELD, "a line feed alone ends it", None, "RFC 9112, 2.2", (b"X-Feed: a\n", b"X-Empty:\n")),
    Rule(
        Place.FIELD,
        "a line that goes on in the next",
        None,
        "RFC 9112, 5.2",
        (
            b"X-Fold: a\r\n b\r\n",
            b"X-Fold: a\r\n\t  b \r\n c\r\n",
            b"X-Fold:\r\n a\r\n",
            b"X-Fold: a\n b\n",
            b"X-Fold: a\r\n \r\n b\r\n",
            b"X-Fold: a\r\n Content-Length: 3\r\n",
        ),
    ),
    Rule(
        Place.FIELD,
        "a blank before the colon",
        None,
        "RFC 9112, 5.1",
        (b"X-Blank : a\r\n", b"X-Blank\t: a\r\n", b"X-Blank  \t :a\r\n"),
    ),
    Rule(
        Place.FIELD,
        "no name",
        None,
        "RFC 9110, 5.1",
        (b": a\r\n", b":\r\n", b":: a\r\n"),
    ),
    Rule(
        Place.FIELD,
        "a name that is no token",
        None,
        "RFC 9110, 5.1",
        (
            b"X Odd: a\r\n",
            b"(X-Odd): a\r\n",
            b"X-\xe9: a\r\n",
            b'"X-Odd": a\r\n',
            b"X-Odd\x01: a\r\n",
            b"HTTP/1.1: a\r\n",
        ),
    ),
    Rule(
        Place.FIELD,
        "no colon",
        Reason.BAD_HEADER,
        "RFC 9112, 5",
        (b"nonsense\r\n", b"X-None a\r\n", b"<html>\r\n", b"HTTP/1.1 200 OK\r\n"),
    ),
    Rule(
        Place.FIELD,
        "a NUL, or a carriage return that ends no line",
        Reason.BAD_HEADER,
        "RFC 9110, 5.5",
        (
            b"X-Nul: a\0b\r\n",
            b"X-Nul: \0\r\n",
            b"X-\0Nul: a\r\n",
            b"X-Fold: a\r\n \0\r\n",
            b"X-Return: a\rb\r\n",
            b"X-Return: a\r\r\n",
            b"X-\rReturn: a\r\n",
            b"X-Fold: a\r\n b\rc\r\n",
        ),
    ),
    Rule(
        Place.FIELD,
        "a line of more than 100 KiB, or more than 5,000 fields",
        Reason.HEAD_TOO_LARGE,
        "RFC 9110, 5.4",
        (b"X-Long: " + b"x" * 110_000 + b"\r\n", b"X-Many: x\r\n" * 5_100),
    ),
    Rule(Place.CODING, "none", None, "RFC 9110, 8.4", (b"",)),
    Rule(
        Place.CODING,
        "a coding that was offered",
        None,
        "RFC 9110, 8.4.1",
        (
            b"Content-Encoding: gzip\r\n",
            b"Content-Encoding: X-GZIP\r\n",
            b"Content-Encoding: , gzip ,\r\n",
            b"content-encoding:\r\n gzip\r\n",
            b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n",
        ),
        packed=("gzip",),
    ),
    Rule(
        Place.CODING,
        "two codings",
        None,
        "RFC 9110, 8.4",
        (
            b"Content-Encoding: deflate, br\r\n",
            b"Content-Encoding: deflate\r\nX-Other: 1\r\nContent-Encoding: br\r\n",
        ),
        packed=("deflate", "br"),
    ),
    Rule(
        Place.CODING,
        "no coding, or a word that is none",
        None,
        "Fetch, handle content codings",
        (
            b"Content-Encoding:\r\n",
            b"Content-Encoding: identity\r\n",
            b"Content-Encoding: none\r\n",
            b"Content-Encoding: utf-8\r\n",
            b"Content-Encoding: gzip;q=1\r\n",
            b"Content-Encoding: gzip, utf-8\r\n",
            b'Content-Encoding: "gzip"\r\n',
            b"Content-Encoding: gzip\x0b\r\n",
        ),
    ),
    Rule(
        Place.CODING,
        "more than two codings",
        Reason.BAD_ENCODING,
        "RFC 9110, 8.4",
        (b"Content-Encoding: gzip, gzip, gzip\r\n", b"Content-Encoding: br\r\n" * 3),
    ),
    Rule(
        Place.CODING,
        "data of another coding, or one that was not offered",
        Reason.BAD_ENCODING,
        "RFC 9110, 8.4.1",
        (b"Content-Encoding: gzip\r\n", b"Content-Encoding: br\r\n", b"Content-Encoding: zstd\r\n"),
        of_body=True,
    ),
    Rule(Place.LENGTH, "one number", None, "RFC 9112, 6.3", (b"Content-Length: <size>\r\n",)),
    Rule(
        Place.LENGTH,
        "the same number several times, or in another way",
        None,
        "RFC 9112, 6.3",
        (
            b"Content-Length: <size>\r\nContent-Length: <size>\r\n",
            b"Content-Length: <size>, <size>\r\n",
            b"Content-Length: <size>\r\nX-Other: 1\r\ncontent-length: <size>, <size>\r\n",
            b"CONTENT-LENGTH:<size> \t\r\n",
            b"Content-Length: 000<size>\r\n",
            b"Content-Length:\r\n <size>\r\n",
            b"Content-Length: <size>\r\n \r\n",
        ),
    ),
    Rule(
        Place.LENGTH,
        "a number beside a coding that is none",
        None,
        "RFC 9112, 6.1",
        (
            b"Transfer-Encoding: identity\r\nContent-Length: <size>\r\n",
            b"Content-Length: <size>\r\nTransfer-Encoding: identity\r\n",
            b"Content-Length: <size>\r\nTransfer-Encoding:\r\n",
        ),
    ),
    Rule(
        Place.LENGTH,
        "different numbers",
        Reason.BAD_FRAMING,
        "RFC 9112, 6.3",
        (
            b"Content-Length: <size>\r\nContent-Length: 7\r\n",
            b"Content-Length: 7\r\nContent-Length: <size>\r\n",
            b"Content-Length: <size>, 7\r\n",
            b"Content-Length: 7, <size>\r\n",
            b"Content-Length: <size>\r\nContent-Length: 0<size>\r\n",
        ),
    ),
    Rule(
        Place.LENGTH,
        "no number",
        Reason.BAD_FRAMING,
        "RFC 9112, 6.3",
        (
            b"Content-Length:\r\n",
            b"Content-Length: +<size>\r\n",
            b"Content-Length: -<size>\r\n",
            b"Content-Length: -1\r\n",
            b"Content-Length: <size>;\r\n",
            b"Content-Length: <size> bytes\r\n",
            b"Content-Length: <size>.0\r\n",
            b"Content-Length: 0x<hex>\r\n",
            b"Content-Length: <size> <size>\r\n",
            b"Content-Length: thousand\r\n",
            b"Content-Length: \xd9\xa5\r\n",
            b"Content-Length: \xb2\r\n",
            b'Content-Length: "<size>"\r\n',
            b"Content-Length: <size>\x0b\r\n",
            b"Content-Length: \x0c<size>\r\n",
            b"Content-Length: <size>\xa0\r\n",
            b"Content-Length: 1_0\r\n",
            b"Content-Length: 9223372036854775807\r\n",
            b"Content-Length: 99999999999999999999999\r\n",
        ),
    ),
    Rule(
        Place.LENGTH,
        "numbers with nothing between commas",
        Reason.BAD_FRAMING,
        "RFC 9112, 6.3",
        (b"Content-Length: <size>,\r\n", b"Content-Length: ,<size>\r\n", b"Content-Length: <size>,,<size>\r\n"),
    ),
    Rule(
        Place.LENGTH,
        "a blank before the colon",
        Reason.BAD_FRAMING,
        "RFC 9112, 5.1",
        (b"Content-Length : <size>\r\n", b"Content-Length\t: <size>\r\n"),
    ),
    Rule(
        Place.LENGTH,
        "more than comes",
        Reason.BODY_TRUNCATED,
        "RFC 9112, 8",
        (b"Content-Length: <more>\r\n",),
        of_body=True,
    ),
    Rule(
        Place.LENGTH,
        "more than the limit",
        Reason.BODY_TOO_LARGE,
        "RFC 9110, 2.4",
        (b"Content-Length: 999999999\r\n", b"Content-Length: 999999999999999999\r\n"),
        of_body=True,
    ),
    Rule(Place.CHUNKED, "chunked", None, "RFC 9112, 6.1", (b"Transfer-Encoding: chunked\r\n",)),
    Rule(
        Place.CHUNKED,
        "chunked, in another way",
        None,
        "RFC 9110, 5.6.1",
        (
            b"transfer-encoding:CHUNKED \t\r\n",
            b"Transfer-Encoding: Chunked,\r\n",
            b"Transfer-Encoding: , chunked\r\n",
            b"Transfer-Encoding:\r\n chunked\r\n",
            b"Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n",
        ),
    ),
    Rule(
        Place.CHUNKED,
        "chunked beside a length",
        None,
        "RFC 9112, 6.3",
        (
            b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            b"Content-Length: 999999999\r\nTransfer-Encoding: chunked\r\n",
        ),
    ),
    Rule(
        Place.CHUNKED,
        "chunked beside a length that is none",
        Reason.BAD_FRAMING,
        "RFC 9112, 6.3",
        (
            b"Transfer-Encoding: chunked\r\nContent-Length: x\r\n",
            b"Content-Length: -1\r\nTransfer-Encoding: chunked\r\n",
            b"Content-Length: 1, 2\r\nTransfer-Encoding: chunked\r\n",
        ),
    ),
    Rule(
        Place.CHUNKED,
        "another coding, or chunked twice",
        Reason.BAD_FRAMING,
        "RFC 9112, 6.1",
        (
            b"Transfer-Encoding: gzip, chunked\r\n",
            b"Transfer-Encoding: chunked, gzip\r\n",
            b"Transfer-Encoding: chunked, chunked\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            b"Transfer-Encoding: identity, chunked\r\n",
            b"Transfer-Encoding: chunked;q=1\r\n",
            b'Transfer-Encoding: "chunked"\r\n',
            b"Transfer-Encoding: xchunked\r\n",
            b"Transfer-Encoding: chunked x\r\n",
            b"Transfer-Encoding: \x0bchunked\r\n",
            b"Transfer-Encoding: chunked\xa0\r\n",
            b"Transfer-Encoding: gzip\r\n",
        ),
    ),
    Rule(
        Place.CHUNKED,
        "a blank before the colon",
        Reason.BAD_FRAMING,
        "RFC 9112, 5.1",
        (b"Transfer-Encoding : chunked\r\n",),
    ),
    Rule(Place.UNTIL_CLOSE, "the end of the connection", None, "RFC 9112, 6.3", (b"", b"Connection: close\r\n")),
    Rule(
        Place.UNTIL_CLOSE,
        "a coding that is none",
        None,
        "RFC 9112, 6.1",
        (b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding:\r\n", b"Transfer-Encoding: , \r\n"),
    ),
    Rule(Place.END_OF_HEAD, "an empty line", None, "RFC 9112, 2.1", (b"\r\n",)),
    Rule(Place.END_OF_HEAD, "a line feed alone", None, "RFC 9112, 2.2", (b"\n",)),
    Rule(
        Place.END_OF_HEAD,
        "a line of carriage returns",
        Reason.BAD_HEADER,
        "RFC 9112, 2.2",
        (b"\r\r\n", b"\r\r\r\n\r\n", b"\r \r\n\r\n"),
    ),
    Rule(Place.CHUNKS, "chunks", None, "RFC 9112, 7.1", (b"<chunks>0\r\n\r\n",)),
    Rule(
        Place.CHUNKS,
        "sizes in another way, and extensions",
        None,
        "RFC 9112, 7.1.1",
        (
            b"000<hex>\r\n<data>\r\n000\r\n\r\n",
            b"<HEX>\r\n<data>\r\n0\r\n\r\n",
            b"<hex>;a\r\n<data>\r\n0;b\r\n\r\n",
            b'<hex>;a="b;c"; d=e \r\n<data>\r\n0\r\n\r\n',
            b"<hex> ; a = b\r\n<data>\r\n0\r\n\r\n",
            b"<hex>\t\r\n<data>\r\n0 \r\n\r\n",
            b"<hex>;" + b"x" * 5_000 + b"\r\n<data>\r\n0\r\n\r\n",
        ),
    ),
    Rule(
        Place.CHUNKS,
        "anything after a size, carriage returns after data",
        None,
        "RFC 9112, 7.1.1",
        (
            b"<hex> abc\r\n<data>\r\n0\r\n\r\n",
            b"<hex>\0\r\n<data>\r\n0\r\n\r\n",
            b"<hex>g\r\n<data>\r\n0\r\n\r\n",
            b"<hex>,\r\n<data>\r\n0x\r\n\r\n",
            b"<hex>\r\r\n<data>\r\n0\r\n\r\n",
            b"<hex>\rx\r\n<data>\r\n0\r\n\r\n",
            b"<hex>\r\n<data>\r\r\r\n0\r\n\r\n",
            b"<hex>;\0\r\n<data>\r\n0\r\n\r\n",
        ),
    ),
    Rule(Place.CHUNKS, "line feeds alone", None, "RFC 9112, 2.2", (b"<hex>\n<data>\n0\n\n",)),
    Rule(
        Place.CHUNKS,
        "trailer fields",
        None,
        "RFC 9112, 7.1.2",
        (
            b"<chunks>0\r\nX-Trailer: a\r\n\r\n",
            b"<chunks>0\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\nLocation: /b\r\n\r\n",
            b"<chunks>0\r\nX-Trailer: a\nX-Trailer: b\n\n",
            b"<chunks>0\r\nHTTP/1.1: x\r\n\r\n",
            b"<chunks>0\r\nHTTP/1.1 200 OK\r\n\r\n",
            b"<chunks>0\r\nnonsense\r\n\r\n",
            b"<chunks>0\r\nX-Nul: \0\r\nX-Trailer: a\r\n\r\n",
            b"<chunks>0\r\n folded\r\n\r\n",
        ),
    ),
    Rule(
        Place.CHUNKS,
        "a trailer field of more than 4 KiB, or more than 5,000 fields",
        Reason.HEAD_TOO_LARGE,
        "RFC 9112, 7.1.2",
        (
            b"<chunks>0\r\nX-Long: " + b"x" * 5_000 + b"\r\n\r\n",
            b"<chunks>0\r\n" + b"X-Many: x\r\n" * 5_100 + b"\r\n",
        ),
        of_body=True,
    ),
    Rule(
        Place.CHUNKS,
        "a carriage return in a trailer field",
        Reason.BAD_FRAMING,
        "RFC 9112, 2.2",
        (
            b"<chunks>0\r\nX-Return: a\rb\r\n\r\n",
            b"<chunks>0\r\nX-Return: a\r\r\n\r\n",
            b"<chunks>0\r\n\r\r\n",
            b"<chunks>0\r\n\rx\r\n\r\n",
        ),
        of_body=True,
    ),
    Rule(Place.CHUNKS, "bytes after the last chunk", None, "RFC 9112, 6.3", (b"<chunks>0\r\n\r\nmore",)),
    Rule(
        Place.CHUNKS,
        "no size",
        Reason.BAD_FRAMING,
        "RFC 9112, 7.1",
        (
            b"x\r\n<data>\r\n0\r\n\r\n",
            b"\r\n<data>\r\n0\r\n\r\n",
            b" <hex>\r\n<data>\r\n0\r\n\r\n",
            b"+<hex>\r\n<data>\r\n0\r\n\r\n",
            b"-<hex>\r\n<data>\r\n0\r\n\r\n",
            b";a\r\n<data>\r\n0\r\n\r\n",
            b"\0<hex>\r\n<data>\r\n0\r\n\r\n",
            b"<chunks>x\r\n\r\n",
            b"<chunks>\r\n\r\n",
        ),
        of_body=True,
    ),
    Rule(
        Place.CHUNKS,
        "a size of more than 63 bits, or 17 digits",
        Reason.BAD_FRAMING,
        "RFC 9112, 7.1",
        (
            b"8000000000000000\r\n<data>\r\n0\r\n\r\n",
            b"ffffffffffffffff\r\n<data>\r\n0\r\n\r\n",
            b"000000000000000001\r\n<data>\r\n0\r\n\r\n",
        ),
        of_body=True,
    ),
    Rule(
        Place.CHUNKS,
        "data that do not end where their size says",
        Reason.BAD_FRAMING,
        "RFC 9112, 7.1",
        (
            b"<hex>\r\n<data>0\r\n\r\n",
            b"<hex>\r\n<data>xx\r\n0\r\n\r\n",
            b"1\r\n<data>\r\n0\r\n\r\n",
            b"<hex>\r\n<data>\rx\n0\r\n\r\n",
            b"<hex>\r\n<data> \r\n0\r\n\r\n",
        ),
        of_body=True,
    ),
    Rule(
        Place.CHUNKS,
        "no last chunk, or no end of it",
        Reason.BODY_TRUNCATED,
        "RFC 9112, 8",
        (b"<chunks>", b"<chunks>0", b"<chunks>0\r\n", b"<chunks>0\r\nX-Trailer: a\r\n", b"<chunks>fff\r\nx", b""),
        of_body=True,
    ),
    Rule(Place.END, "the connection ends", None, "RFC 9112, 9.6", (b"",)),
    Rule(
        Place.END,
        "bytes after a whole answer",
        None,
        "RFC 9112, 6.3",
        (b"more", b"\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n", b"\0" * 5_000),
    ),
    Rule(
        Place.END,
        "the connection ends within the answer; within its head that is `head_truncated`, in the first line `reset`",
        Reason.BODY_TRUNCATED,
        "RFC 9112, 8",
        (b"",),
        of_body=True,
    ),
)

BY_PLACE = {place: tuple(rules) for place, rules in groupby(RULES, lambda rule: rule.place)}
USUAL = frozenset(rules[0] for rules in BY_PLACE.values())
PLAIN, REST, CUT = BY_PLACE[Place.END]
