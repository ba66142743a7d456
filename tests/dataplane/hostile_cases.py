"""Hostile HTTP as data: what is sent, which answers are right, and what must become of the connection.

The policy behind the tables: whatever could be framed differently by another server on the path (RFC 9112 §6, §11.2)
gets 400 and a closed connection, so nothing behind it is ever taken for a request. Where RFCs leave a choice, the case
lists every right answer.
"""

from __future__ import annotations

from typing import Final, NamedTuple

KEY: Final = "sk-test-hostile"
MODEL: Final = "m"
MAX_BODY_BYTES: Final = 1_000_000
MAX_HEADER_BYTES: Final = 65_536
MAX_HEADERS: Final = 128

AUTH: Final = b"Authorization: Bearer " + KEY.encode() + b"\r\n"
HOST: Final = b"Host: gateway.test\r\n"
TYPE: Final = b"Content-Type: application/json\r\n"
BODY: Final = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
LENGTH: Final = b"Content-Length: %d\r\n" % len(BODY)
CHAT: Final = b"POST /v1/chat/completions HTTP/1.1\r\n"
GET: Final = b"GET /v1/models HTTP/1.1\r\n" + HOST + AUTH + b"\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"


class Case(NamedTuple):
    """One thing a hostile or careless client does."""

    name: str
    sent: tuple[bytes, ...]
    """Pieces, each in a write of its own."""
    answers: tuple[tuple[int, ...], ...] = ((400,),)
    """For each answer in order, the statuses that are right; (0,) when there must be none."""
    closed: bool | None = True
    """Whether the server must close after the last answer, or keep serving; None when it may do either."""
    method: str = "POST"


def post(headers: bytes = LENGTH, body: bytes = BODY, line: bytes = CHAT) -> bytes:
    """A chat request with these framing headers."""
    return line + HOST + AUTH + TYPE + headers + b"\r\n" + body


def json_post(body: bytes, target: bytes = b"/v1/chat/completions", headers: bytes = b"") -> bytes:
    """A well-framed POST of this body."""
    return post(b"Content-Length: %d\r\n" % len(body) + headers, body, b"POST %b HTTP/1.1\r\n" % target)


def get(target: bytes, headers: bytes = b"", method: bytes = b"GET") -> bytes:
    """A well-framed request without a body."""
    return b"%b %b HTTP/1.1\r\n" % (method, target) + HOST + AUTH + headers + b"\r\n"


def chunked(body: bytes, size: int = 1_000_000) -> bytes:
    """A body in chunked coding."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _chunks(raw: bytes, name: str, answers: tuple[int, ...] = (400,), closed: bool | None = True) -> Case:
    return Case(f"chunk: {name}", (post(CHUNKED, raw),), (answers,), closed)


def _length(value: bytes, name: str, answers: tuple[int, ...] = (400,), closed: bool | None = True) -> Case:
    return Case(f"length: {name}", (post(b"Content-Length:" + value + b"\r\n"),), (answers,), closed)


def _coding(value: bytes, name: str, answers: tuple[int, ...] = (400,), closed: bool | None = True) -> Case:
    return Case(f"coding: {name}", (post(b"Transfer-Encoding:" + value + b"\r\n", chunked(BODY)),), (answers,), closed)


def _header(raw: bytes, name: str, answers: tuple[int, ...] = (400,), closed: bool | None = True) -> Case:
    return Case(f"header: {name}", (post(LENGTH + raw),), (answers,), closed)


def _line(line: bytes, name: str, answers: tuple[int, ...] = (400,), closed: bool | None = True) -> Case:
    return Case(f"line: {name}", (line + HOST + AUTH + b"\r\n",), (answers,), closed, "GET")


def _host(raw: bytes, name: str, answers: tuple[int, ...] = (400,), closed: bool | None = True) -> Case:
    return Case(f"host: {name}", (b"GET /v1/models HTTP/1.1\r\n" + raw + AUTH + b"\r\n",), (answers,), closed, "GET")


SIZE: Final = b"%d" % len(BODY)
SMUGGLED: Final = b"GET /v1/smuggled HTTP/1.1\r\n" + HOST + b"\r\n"

LENGTHS: Final = (
    _length(b" %b\r\nContent-Length: %b" % (SIZE, SIZE), "twice, equal"),
    _length(b" %b\r\ncontent-length: %b" % (SIZE, SIZE), "twice, spelled differently"),
    _length(b" 5\r\nContent-Length: %b" % SIZE, "twice, different"),
    _length(b" 0\r\nContent-Length: %b" % SIZE, "twice, first zero"),
    _length(b" %b, %b" % (SIZE, SIZE), "list of equals"),
    _length(b" %b,5" % SIZE, "list of different"),
    _length(b" %b," % SIZE, "trailing comma"),
    _length(b" ,%b" % SIZE, "leading comma"),
    _length(b" +%b" % SIZE, "plus sign"),
    _length(b" -%b" % SIZE, "negative"),
    _length(b" -0", "minus zero"),
    _length(b" 0x39", "hexadecimal"),
    _length(b" 5_7", "underscore"),
    _length(b" 5 7", "inner space"),
    _length(b" 5\t7", "inner tab"),
    _length(b" %b.0" % SIZE, "decimal point"),
    _length(b" 57e0", "exponent"),
    _length(b" %b;" % SIZE, "parameter"),
    _length(b' "%b"' % SIZE, "quoted"),
    _length(b"", "empty"),
    _length(b" ", "blank"),
    _length(b" NaN", "not a number"),
    _length(b" \x0b%b" % SIZE, "vertical tab before"),
    _length(b" %b\x0c" % SIZE, "form feed after"),
    _length(b" %b\x00" % SIZE, "NUL after"),
    _length(b" \xd9\xa5\xd9\xa7", "Arabic digits"),
    _length(b" \xb2\xb3", "superscript digits"),
    _length(b" 18446744073709551673", "2^64 + 57", (400, 413)),
    _length(b" 4294967353", "2^32 + 57", (413,)),
    _length(b" 9223372036854775807", "2^63 - 1", (400, 413)),
    _length(b" " + b"9" * 400, "400 digits", (400, 413)),
    _length(b" 00%b" % SIZE, "leading zeros", (200, 400), None),
    _length(b"\t %b \t" % SIZE, "white space around", (200,), False),
    Case("length: none at all", (post(b""),), ((400, 411), (400,)), True),
    Case(
        "length: shorter than the body",
        (post(b"Content-Length: 2\r\n", b"{}" + SMUGGLED),),
        ((400,), (401, 404)),
        False,
    ),
    Case("length: zero with a body", (post(b"Content-Length: 0\r\n", SMUGGLED),), ((400,), (401, 404)), False),
    Case("length: on GET", (get(b"/v1/models", b"Content-Length: 3\r\n") + b"abc",), ((200, 400),), None, "GET"),
)

CODINGS: Final = (
    Case("coding: with a length", (post(LENGTH + CHUNKED, chunked(BODY)),)),
    Case("coding: before a length", (post(CHUNKED + LENGTH, chunked(BODY)),)),
    Case("coding: with length zero", (post(b"Content-Length: 0\r\n" + CHUNKED, chunked(BODY)),)),
    Case("coding: TE.CL with a request inside", (post(CHUNKED + b"Content-Length: 4\r\n", b"0\r\n\r\n" + SMUGGLED),)),
    Case("coding: CL.TE with a request inside", (post(b"Content-Length: 6\r\n" + CHUNKED, b"0\r\n\r\nG" + SMUGGLED),)),
    Case("coding: unknown with a length", (post(LENGTH + b"Transfer-Encoding: xchunked\r\n"),)),
    Case("coding: identity with a length", (post(LENGTH + b"Transfer-Encoding: identity\r\n"),)),
    _coding(b" chunked", "chunked", (200,), False),
    _coding(b" CHUNKED", "capitals", (200,), False),
    _coding(b"chunked", "no space", (200,), False),
    _coding(b" \t chunked \t", "white space around", (200, 400), None),
    _coding(b" xchunked", "unknown ending in chunked"),
    _coding(b" chunkedx", "unknown beginning with chunked"),
    _coding(b" chunk", "shortened"),
    _coding(b" chunked, identity", "then identity"),
    _coding(b" identity, chunked", "identity first"),
    _coding(b" gzip, chunked", "gzip first"),
    _coding(b" chunked, gzip", "gzip after"),
    _coding(b" chunked, chunked", "twice in a list"),
    _coding(b" chunked\r\nTransfer-Encoding: chunked", "twice"),
    _coding(b" chunked\r\nTransfer-Encoding: identity", "chunked, then identity in another"),
    _coding(b" identity\r\nTransfer-Encoding: chunked", "identity, then chunked in another"),
    _coding(b" \r\nTransfer-Encoding: chunked", "empty, then chunked"),
    _coding(b" identity", "identity"),
    _coding(b" gzip", "gzip"),
    _coding(b"", "empty"),
    _coding(b" chunked,", "trailing comma"),
    _coding(b" ,chunked", "leading comma"),
    _coding(b" chunked;q=1", "parameter"),
    _coding(b' "chunked"', "quoted"),
    _coding(b" 'chunked'", "single quotes"),
    _coding(b" \x0bchunked", "vertical tab before"),
    _coding(b" chunked\x0b", "vertical tab after"),
    _coding(b" \x0cchunked", "form feed before"),
    _coding(b" chunked\x00", "NUL after"),
    _coding(b" chun\x00ked", "NUL inside"),
    _coding(b" \xa0chunked", "no-break space"),
    _coding(b" chun ked", "inner space"),
    _coding(b"\r\n chunked", "folded"),
    _coding(b" \r chunked", "bare CR"),
    _coding(b" chunked\n", "bare LF after"),
    Case("coding: name with space", (post(b"Transfer-Encoding : chunked\r\n", chunked(BODY)),)),
    Case("coding: name with tab", (post(b"Transfer-Encoding\t: chunked\r\n", chunked(BODY)),)),
    Case("coding: name with vertical tab", (post(b"Transfer-Encoding\x0b: chunked\r\n", chunked(BODY)),)),
    Case("coding: name with NUL", (post(b"Transfer-\x00Encoding: chunked\r\n", chunked(BODY)),)),
    Case("coding: name behind a space", (post(LENGTH + b" Transfer-Encoding: chunked\r\n"),)),
    Case("coding: name behind a bare LF", (post(LENGTH + b"X: y\nTransfer-Encoding: chunked\r\n"),)),
    Case("coding: name behind a bare CR", (post(LENGTH + b"X: y\rTransfer-Encoding: chunked\r\n"),)),
    Case("coding: name with underscore", (post(LENGTH + b"Transfer_Encoding: chunked\r\n"),), ((200,),), False),
    Case(
        "coding: in HTTP/1.0",
        (post(CHUNKED, chunked(BODY), b"POST /v1/chat/completions HTTP/1.0\r\n"),),
    ),
    Case("coding: on GET", (get(b"/v1/models", CHUNKED) + b"0\r\n\r\n",), ((200, 400),), None, "GET"),
)

CHUNKS: Final = (
    _chunks(b"", "nothing follows but the next request", (408,)),
    _chunks(b"\r\n0\r\n\r\n", "empty size"),
    _chunks(b"g\r\n", "not hexadecimal"),
    _chunks(b"-1\r\na\r\n0\r\n\r\n", "negative"),
    _chunks(b"-0\r\n\r\n", "minus zero"),
    _chunks(b"+39\r\n" + BODY + b"\r\n0\r\n\r\n", "plus sign"),
    _chunks(b"0x39\r\n" + BODY + b"\r\n0\r\n\r\n", "0x prefix"),
    _chunks(b"3_9\r\n" + BODY + b"\r\n0\r\n\r\n", "underscore"),
    _chunks(b" 39\r\n" + BODY + b"\r\n0\r\n\r\n", "leading space"),
    _chunks(b"39.0\r\n" + BODY + b"\r\n0\r\n\r\n", "decimal point"),
    _chunks(b"\xd9\xa5\r\n", "Arabic digit"),
    _chunks(b"39 \r\n" + BODY + b"\r\n0\r\n\r\n", "trailing space", (200, 400), None),
    _chunks(b"FFFFFFFFFFFFFFFF\r\n" + BODY, "2^64 - 1", (400, 408, 413)),
    _chunks(b"1" + b"0" * 16 + b"\r\n" + BODY, "2^64", (400, 413)),
    _chunks(b"10000000000000039\r\n" + BODY + b"\r\n0\r\n\r\n", "2^64 + 57", (400, 413)),
    _chunks(b"100000039\r\n" + BODY + b"\r\n0\r\n\r\n", "2^32 + 57", (408, 413)),
    _chunks(b"0" * 100 + b"39\r\n" + BODY + b"\r\n0\r\n\r\n", "100 leading zeros", (200, 400), None),
    _chunks(b"0" * 1_000_000, "endless size", (400, 413, 431)),
    _chunks(b"39;a=b\r\n" + BODY + b"\r\n0;c\r\n\r\n", "extension", (200, 400), None),
    _chunks(b'39;a="b;c"\r\n' + BODY + b"\r\n0\r\n\r\n", "quoted extension", (200, 400), None),
    _chunks(b"39;\x00\r\n" + BODY + b"\r\n0\r\n\r\n", "NUL in an extension"),
    _chunks(b"39;a\n" + BODY + b"\r\n0\r\n\r\n", "bare LF in an extension"),
    _chunks(b"39;a\r" + BODY + b"\r\n0\r\n\r\n", "bare CR in an extension"),
    _chunks(b"39;a\rb\r\n" + BODY + b"\r\n0\r\n\r\n", "bare CR within an extension"),
    _chunks(b"39;" + b"a" * 3_000_000 + b"\r\n" + BODY + b"\r\n0\r\n\r\n", "3 MB extension", (400, 413, 431)),
    _chunks(b"39\n" + BODY + b"\r\n0\r\n\r\n", "size ends with bare LF"),
    _chunks(b"39\r" + BODY + b"\r\n0\r\n\r\n", "size ends with bare CR"),
    _chunks(b"39\r\r\n" + BODY + b"\r\n0\r\n\r\n", "size ends with CR CR LF"),
    _chunks(b"39\r\n" + BODY + b"\n0\r\n\r\n", "data ends with bare LF"),
    _chunks(b"39\r\n" + BODY + b"0\r\n\r\n", "data without its line end"),
    _chunks(b"5\r\n" + BODY + b"\r\n0\r\n\r\n", "data longer than its size"),
    _chunks(b"3a\r\n" + BODY + b"\r\n0\r\n\r\n", "data shorter than its size"),
    _chunks(b"39\r\n" + BODY + b"\r\n0\n\n", "last chunk with bare LFs"),
    _chunks(b"39\r\n" + BODY + b"\r\n0\r\n\n", "last line bare LF"),
    _chunks(b"39\r\n" + BODY + b"\r\n0\r\nX-Trailer: 1\r\n\r\n", "trailer", (200,), False),
    _chunks(b"39\r\n" + BODY + b"\r\n0\r\nContent-Length: 5\r\n\r\n", "length in the trailer", (200, 400), None),
    _chunks(
        b"39\r\n" + BODY + b"\r\n0\r\nHost: other\r\nAuthorization: x\r\n\r\n", "host in the trailer", (200, 400), None
    ),
    _chunks(
        b"39\r\n" + BODY + b"\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", "coding in the trailer", (200, 400), None
    ),
    _chunks(b"39\r\n" + BODY + b"\r\n0\r\nA: b\r\n c\r\n\r\n", "folded trailer"),
    _chunks(b"39\r\n" + BODY + b"\r\n0\r\nA: b\0\r\n\r\n", "NUL in the trailer"),
    _chunks(b"39\r\n" + BODY + b"\r\n0\r\nA : b\r\n\r\n", "space before the trailer's colon"),
    _chunks(b"39\r\n" + BODY + b"\r\n0\r\n" + b"A: b\r\n" * 300_000 + b"\r\n", "300,000 trailers", (400, 413, 431)),
    _chunks(b"39\r\n" + BODY + b"\r\n0\r\nA: " + b"b" * 2_000_000 + b"\r\n\r\n", "2 MB trailer", (400, 413, 431)),
    _chunks(chunked(BODY, 1), "one byte each", (200,), False),
    Case("chunk: and a request behind it", (post(CHUNKED, chunked(BODY) + SMUGGLED),), ((200,), (401, 404)), False),
)

HEADERS: Final = (
    Case("header: bare LF everywhere", (post().replace(b"\r\n", b"\n"),)),
    Case("header: bare LF after the request line", (post().replace(b"\r\n", b"\n", 1),)),
    Case("header: bare LF at the end of the head", (post().replace(b"\r\n\r\n", b"\r\n\n"),)),
    Case("header: bare LF LF at the end of the head", (post().replace(b"\r\n\r\n", b"\n\n"),)),
    Case("header: bare CR everywhere", (post().replace(b"\r\n", b"\r"),), ((400, 408),)),
    _header(b"X: y\nZ: 1\r\n", "bare LF"),
    _header(b"X: y\rZ: 1\r\n", "bare CR in a value"),
    _header(b"X: y\r\r\n", "CR CR LF"),
    _header(b"X: a\x00b\r\n", "NUL in a value"),
    _header(b"X\x00Y: a\r\n", "NUL in a name"),
    _header(b"X: a\x01b\r\n", "control character 1"),
    _header(b"X: a\x08b\r\n", "backspace"),
    _header(b"X: a\x0bb\r\n", "vertical tab"),
    _header(b"X: a\x1bb\r\n", "escape"),
    _header(b"X: a\x7fb\r\n", "delete", (200, 400), None),
    _header(b"X: caf\xe9 \xff\r\n", "bytes above 127", (200, 400), None),
    _header(b"X: a\tb\r\n", "tab in a value", (200,), False),
    _header(b"X: a\r\n b\r\n", "folded with a space"),
    _header(b"X: a\r\n\tb\r\n", "folded with a tab"),
    _header(b"X:\r\n b\r\n", "folded at once"),
    _header(b"X : a\r\n", "space before the colon"),
    _header(b"X\t: a\r\n", "tab before the colon"),
    _header(b"X Y: a\r\n", "space in a name"),
    _header(b"X\r\n", "no colon"),
    _header(b": a\r\n", "no name"),
    _header(b"X(: a\r\n", "parenthesis in a name"),
    _header(b"X@: a\r\n", "at sign in a name"),
    _header(b"X[]: a\r\n", "brackets in a name"),
    _header(b'"X": a\r\n', "quoted name"),
    _header(b"X\xe9: a\r\n", "byte above 127 in a name"),
    _header(b"X:\r\n", "empty value", (200,), False),
    _header(b"X_Y: a\r\n", "underscore in a name", (200,), False),
    _header(b"!#$%&'*+-.^_`|~09: a\r\n", "every odd letter a name may have", (200,), False),
    _header(b"Authorization: Bearer other\r\n", "second Authorization", (400, 401), None),
    _header(b"Content-Type: text/plain\r\n", "second Content-Type", (200, 400), None),
    _header(b"X: " + b"a" * 70_000 + b"\r\n", "70 KB value", (431,)),
    _header(b"a" * 70_000 + b": b\r\n", "70 KB name", (431,)),
    _header(b"".join(b"X-%d: a\r\n" % n for n in range(200)), "200 headers", (431,)),
    _header(b"A: b\r\n" * 20_000, "20,000 headers of one name", (431,)),
    _header(b"".join(b"X-%d: a\r\n" % n for n in range(100)), "100 headers", (200,), False),
    _header(b"X: " + b"a" * 60_000 + b"\r\n", "60 KB value", (200,), False),
    Case("header: space before the first", (CHAT + b" " + post()[len(CHAT) :],)),
    Case("header: endless without a line end", (CHAT + HOST + b"X: " + b"a" * 2_000_000,), ((431,),)),
    Case("header: endless lines", (CHAT + HOST + b"".join(b"X-%d: a\r\n" % n for n in range(100_000)),), ((431,),)),
)

LINES: Final = (
    _line(b"get /v1/models HTTP/1.1\r\n", "lower-case method"),
    _line(b"Get /v1/models HTTP/1.1\r\n", "mixed-case method"),
    _line(b"BREW /v1/models HTTP/1.1\r\n", "unknown method", (400, 405, 501), None),
    _line(b"A" * 100_000 + b" /v1/models HTTP/1.1\r\n", "100 KB method", (400, 431)),
    _line(b" /v1/models HTTP/1.1\r\n", "no method"),
    _line(b" GET /v1/models HTTP/1.1\r\n", "space first"),
    _line(b"GET  /v1/models HTTP/1.1\r\n", "two spaces", (200, 400), None),
    _line(b"GET /v1/models  HTTP/1.1\r\n", "two spaces before the version", (200, 400), None),
    _line(b"GET\t/v1/models HTTP/1.1\r\n", "tab"),
    _line(b"GET /v1/models\tHTTP/1.1\r\n", "tab before the version"),
    _line(b"GET /v1/models HTTP/1.1 \r\n", "space after the version"),
    _line(b"GET /v1/models\r\n", "no version", (400,)),
    _line(b"GET /v1/models HTTP\r\n", "no number"),
    _line(b"GET /v1/models http/1.1\r\n", "lower-case version"),
    _line(b"GET /v1/models HTTP/0.9\r\n", "HTTP/0.9"),
    _line(b"GET /v1/models HTTP/1.2\r\n", "HTTP/1.2", (400, 505)),
    _line(b"GET /v1/models HTTP/1.10\r\n", "HTTP/1.10"),
    _line(b"GET /v1/models HTTP/11\r\n", "HTTP/11"),
    _line(b"GET /v1/models HTTP/1,1\r\n", "HTTP/1,1"),
    _line(b"GET /v1/models HTTP/1.\r\n", "HTTP/1."),
    _line(b"GET /v1/models HTTP/-1.1\r\n", "HTTP/-1.1"),
    _line(b"GET /v1/models HTTP/2.0\r\n", "HTTP/2.0", (400, 505)),
    _line(b"GET /v1/models HTTP/3\r\n", "HTTP/3", (400, 505)),
    _line(b"GET /v1/models ICY/1.1\r\n", "another protocol"),
    _line(b"GET /v1/models RTSP/1.0\r\n", "RTSP", (200, 400), None),
    _line(b"GET /v1/models HTTP/1.1\x00\r\n", "NUL after the version"),
    _line(b"GET /v1/mo\x00dels HTTP/1.1\r\n", "NUL in the target"),
    _line(b"GET /v1/mo\x0bdels HTTP/1.1\r\n", "vertical tab in the target"),
    _line(b"GET /v1/mo dels HTTP/1.1\r\n", "space in the target"),
    _line(b"GET /v1/mo\rdels HTTP/1.1\r\n", "CR in the target"),
    _line(b"GET /v1/mo\ndels HTTP/1.1\r\n", "LF in the target"),
    _line(b"GET /v1/mod\xc3\xa9ls HTTP/1.1\r\n", "UTF-8 in the target", (400, 404), None),
    _line(b"GET v1/models HTTP/1.1\r\n", "relative target"),
    _line(b"GET ?a=b HTTP/1.1\r\n", "only a query"),
    _line(b"GET \\v1\\models HTTP/1.1\r\n", "backslashes"),
    _line(b"GET  HTTP/1.1\r\n", "empty target"),
    _line(b"GET * HTTP/1.1\r\n", "asterisk with GET"),
    _line(b"OPTIONS * HTTP/1.1\r\n", "asterisk with OPTIONS", (200, 204, 400, 404, 405), None),
    _line(b"GET /v1/models#x HTTP/1.1\r\n", "fragment", (200, 400, 404), None),
    _line(b"GET http://gateway.test/v1/models HTTP/1.1\r\n", "absolute form"),
    _line(b"GET https://gateway.test/v1/models HTTP/1.1\r\n", "absolute form, https"),
    _line(b"GET http://other.test/v1/models HTTP/1.1\r\n", "absolute form, another host"),
    _line(b"GET HTTP://gateway.test/v1/models HTTP/1.1\r\n", "absolute form, capitals"),
    _line(b"GET file:///etc/passwd HTTP/1.1\r\n", "file address"),
    _line(b"CONNECT gateway.test:443 HTTP/1.1\r\n", "CONNECT"),
    _line(b"CONNECT /v1/models HTTP/1.1\r\n", "CONNECT with a path", (400, 405)),
    _line(b"GET gateway.test:80 HTTP/1.1\r\n", "authority form with GET"),
    _line(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n", "100 KB target", (414, 431)),
    _line(b"GET /v1/models?" + b"a" * 100_000 + b" HTTP/1.1\r\n", "100 KB query", (414, 431)),
    Case("line: HTTP/2 preface", (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),)),
    Case("line: HTTP/0.9 alone", (b"GET /v1/models\r\n\r\n",)),
    Case("line: HTTP/1.0", (GET.replace(b"HTTP/1.1", b"HTTP/1.0"),), ((200,),), True, "GET"),
    Case("line: empty line first", (b"\r\n" + GET,), ((200, 400),), None, "GET"),
    Case("line: bare LF first", (b"\n" + GET,), ((200, 400),), None, "GET"),
    Case("line: NUL first", (b"\0" + GET,)),
    Case("line: byte order mark first", (b"\xef\xbb\xbf" + GET,)),
    Case("line: random bytes", (bytes(range(256)) * 4,)),
    Case("line: an answer", (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",)),
    Case("line: TLS client hello", (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),)),
    Case("line: SSH", (b"SSH-2.0-OpenSSH_9.2p1\r\n",)),
    Case("line: SMTP", (b"EHLO mail.test\r\n",)),
    Case("line: Redis", (b"*1\r\n$4\r\nPING\r\n",)),
    Case("line: JSON alone", (BODY + b"\r\n\r\n",)),
)

HOSTS: Final = (
    _host(b"", "missing"),
    _host(HOST + HOST, "twice, equal"),
    _host(HOST + b"host: other.test\r\n", "twice, different"),
    _host(b"Host:\r\n", "empty"),
    _host(b"Host: a b\r\n", "space inside"),
    _host(b"Host: a\tb\r\n", "tab inside"),
    _host(b"Host: a,b\r\n", "list", (200, 400), None),
    _host(b"Host: a/b\r\n", "path"),
    _host(b"Host: a?b\r\n", "query"),
    _host(b"Host: a#b\r\n", "fragment"),
    _host(b"Host: user@a\r\n", "user"),
    _host(b"Host: http://a\r\n", "address"),
    _host(b"Host: a:80:80\r\n", "two ports"),
    _host(b"Host: a:x\r\n", "port in letters"),
    _host(b"Host: a:-1\r\n", "negative port"),
    _host(b"Host: a:123456\r\n", "port of six digits"),
    _host(b"Host: a\\b\r\n", "backslash"),
    _host(b"Host: <script>\r\n", "markup"),
    _host(b"Host: \xc3\xa9.test\r\n", "UTF-8"),
    _host(b"Host: ::1\r\n", "IPv6 without brackets"),
    _host(b"Host: [::1\r\n", "IPv6 with one bracket"),
    _host(b"Host: [x]\r\n", "brackets around a name"),
    _host(b"Host: a\x00b\r\n", "NUL"),
    _host(b"Host: " + b"a" * 70_000 + b"\r\n", "70 KB", (400, 431)),
    _host(b"Host: [::1]:8080\r\n", "IPv6 with a port", (200,), False),
    _host(b"Host: 127.0.0.1:8080\r\n", "IPv4 with a port", (200,), False),
    _host(b"hOsT:gateway.test\r\n", "odd spelling", (200,), False),
    Case("host: missing in HTTP/1.0", (b"GET /v1/models HTTP/1.0\r\n" + AUTH + b"\r\n",), ((200, 400),), True, "GET"),
    Case("host: twice in HTTP/1.0", (b"GET /v1/models HTTP/1.0\r\n" + HOST + HOST + AUTH + b"\r\n",)),
)

UPGRADE: Final = b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
WEBSOCKET: Final = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
UPGRADES: Final = b"GET / HTTP/1.1\r\nHost:a\r\nUpgrade:x\r\nConnection:upgrade\r\n\r\n" * 5_000

EXPECTATIONS: Final = (
    Case("expect: 100-continue", (post(LENGTH + b"Expect: 100-continue\r\n", b""), BODY), ((200,),), False),
    Case("expect: 100-continue with the body at once", (post(LENGTH + b"Expect: 100-Continue\r\n"),), ((200,),), False),
    Case("expect: chunked", (post(CHUNKED + b"Expect: 100-continue\r\n", b""), chunked(BODY)), ((200,),), False),
    Case("expect: another", (post(LENGTH + b"Expect: miracles\r\n"),), ((400, 417),), None),
    Case("expect: two", (post(LENGTH + b"Expect: 100-continue, x\r\n"),), ((200, 400, 417),), None),
    Case(
        "expect: in HTTP/1.0",
        (post(LENGTH + b"Expect: 100-continue\r\n", BODY, CHAT.replace(b"1.1", b"1.0")),),
        ((200,),),
        True,
    ),
    Case("expect: too large", (post(b"Content-Length: 99999999\r\nExpect: 100-continue\r\n", b""),), ((413,),)),
    Case("expect: on GET", (get(b"/v1/models", b"Expect: 100-continue\r\n"),), ((200, 400, 417),), None, "GET"),
    Case("upgrade: websocket", (get(b"/v1/models", WEBSOCKET),), ((200, 400),), None, "GET"),
    Case("upgrade: h2c", (get(b"/v1/models", UPGRADE + b"HTTP2-Settings: AAMA\r\n"),), ((200, 400),), None, "GET"),
    Case("upgrade: with a body", (post(LENGTH + UPGRADE),), ((200, 400),), None),
    Case("upgrade: chunked", (post(CHUNKED + UPGRADE, chunked(BODY)),), ((200, 400),), None),
    Case(
        "upgrade: bytes of another protocol behind it",
        (get(b"/v1/models", UPGRADE) + b"\x00\x01\x02\x03",),
        ((200,), (400,)),
        True,
        "GET",
    ),
    Case("upgrade: 5,000 in a row", (UPGRADES,), ((401, 404),) * 5_000, None, "GET"),
    Case("connection: close", (get(b"/v1/models", b"Connection: close\r\n") + SMUGGLED,), ((200,),), True, "GET"),
    Case(
        "connection: close in a list",
        (get(b"/v1/models", b"Connection: x, Close\r\n") + SMUGGLED,),
        ((200,),),
        True,
        "GET",
    ),
    Case(
        "connection: keep-alive in HTTP/1.0",
        (GET.replace(b"HTTP/1.1", b"HTTP/1.0")[:-2] + b"Connection: keep-alive\r\n\r\n",),
        ((200,),),
        None,
        "GET",
    ),
    Case(
        "connection: names the key's header",
        (get(b"/v1/models", b"Connection: authorization, content-length\r\n"),),
        ((200,),),
        False,
        "GET",
    ),
)

HTTP: Final = (*LENGTHS, *CODINGS, *CHUNKS, *HEADERS, *LINES, *HOSTS, *EXPECTATIONS)
"""Everything below the level of an API."""
