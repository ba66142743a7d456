"""What a provider can do wrong, as data: the steps it takes, and the error a client must get for them."""

from __future__ import annotations

import gzip
import zlib
from typing import Final, NamedTuple

from gatewright.testing.answers import (
    LAST_CHUNK,
    STREAM_HEADERS,
    chat_chunks,
    chat_completion,
    chunk,
    error,
    render_head,
    reply,
    sse,
)
from gatewright.testing.steps import Close, HalfClose, Pause, Repeat, Reset, Send, Stall, Step

RESPONSE_BYTES: Final = 8_000_000
"""The limit of the suite's gateway for a complete answer."""
MIB: Final = b"x" * 1_048_576
JSON: Final = ("content-type", "application/json")
BODY: Final = chat_completion()
EVENTS: Final = [sse(event) for event in chat_chunks()]
LENGTH: Final = ("content-length", str(len(BODY)))
CHUNKED: Final = ("transfer-encoding", "chunked")
OK: Final = render_head(200, [JSON, LENGTH])
STREAM: Final = render_head(200, [*STREAM_HEADERS, CHUNKED])


class Fault(NamedTuple):
    """One way to fail before the client has seen a byte."""

    name: str
    steps: tuple[Step, ...]
    status: int
    code: str
    takes_other: bool = False
    """Whether another target of the model must be tried."""


def _bad(name: str, *steps: Step) -> Fault:
    return Fault(name, steps, 502, "upstream_bad_response")


def _late(name: str, *steps: Step) -> Fault:
    return Fault(name, steps, 504, "upstream_timeout", takes_other=True)


def _reset(name: str, *steps: Step) -> Fault:
    return Fault(name, steps, 502, "upstream_reset")


def _bad_head(name: str, head: bytes) -> Fault:
    return _bad(name, Send(head + BODY), Close())


def _bad_body(name: str, body: bytes) -> Fault:
    return _bad(name, *reply(200, body))


def _packed(coding: str, data: bytes) -> tuple[Step, ...]:
    head = render_head(200, [JSON, ("content-encoding", coding), ("content-length", str(len(data)))])
    return (Send(head + data),)


BOMB: Final = gzip.compress(b" " * 100_000_000, 9, mtime=0)

FAULTS: Final = (
    _reset("close at once", Close()),
    _reset("reset at once", Reset()),
    _reset("half-close at once", HalfClose(), Stall()),
    _reset("reset in the status line", Send(b"HTTP/1.1 2"), Reset()),
    _reset("reset in the headers", Send(OK[:-10]), Reset()),
    _reset("reset after the headers", Send(OK), Reset()),
    _reset("reset in the body", Send(OK + BODY[:-20]), Reset()),
    _bad("close in the status line", Send(b"HTTP/1.1 2"), Close()),
    _bad("close in the headers", Send(OK[:-10]), Close()),
    _bad("close after the headers", Send(OK), Close()),
    _bad("close in the body", Send(OK + BODY[:-20]), Close()),
    _bad("half-close in the headers", Send(OK[:-10]), HalfClose(), Stall()),
    _bad("half-close in the body", Send(OK + BODY[:-20]), HalfClose(), Stall()),
    _late("stall before the head", Stall()),
    _late("stall in the status line", Send(b"HTTP/1.1 2"), Stall()),
    _late("stall in the headers", Send(OK[:-10]), Stall()),
    _late("stall after the headers", Send(OK), Stall()),
    _late("stall in the body", Send(OK + BODY[:-20]), Stall()),
    _late("stall after an interim answer", Send(b"HTTP/1.1 103 Early Hints\r\n\r\n"), Stall()),
    _bad("garbage", Send(bytes(range(256)) * 4), Close()),
    _bad("a greeting of another protocol", Send(b"SSH-2.0-OpenSSH_9.2p1\r\n"), Close()),
    _bad("TLS bytes", Send(b"\x15\x03\x01\x00\x02\x02\x16"), Close()),
    _bad("HTTP/2", Send(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)), Close()),
    _bad("HTML without a head", Send(b"<html><body>It works!</body></html>"), Close()),
    _bad_head("no version", b"200 OK\r\n\r\n"),
    _bad_head("HTTP/9.9", b"HTTP/9.9 200 OK\r\n\r\n"),
    _bad_head("status of two digits", b"HTTP/1.1 42 OK\r\n\r\n"),
    _bad_head("status in letters", b"HTTP/1.1 abc OK\r\n\r\n"),
    _bad_head("bare LF", OK.replace(b"\r\n", b"\n")),
    _bad_head("NUL in a header", OK[:-2] + b"X: a\0b\r\n\r\n"),
    _bad_head("space before the colon", OK[:-2] + b"X : a\r\n\r\n"),
    _bad_head("folded header", OK[:-2] + b"X: a\r\n b\r\n\r\n"),
    _bad_head("length not a number", render_head(200, [JSON, ("content-length", "abc")])),
    _bad_head("length negative", render_head(200, [JSON, ("content-length", "-5")])),
    _bad_head("two lengths", render_head(200, [JSON, LENGTH, ("content-length", "5")])),
    _bad_head("length and chunked", render_head(200, [JSON, LENGTH, CHUNKED])),
    _bad_head("3,000 headers", OK[:-2] + b"".join(b"X-%d: a\r\n" % n for n in range(3_000)) + b"\r\n"),
    _bad("headers without end", Send(OK[:-2]), Repeat(b"X: a\r\n" * 1_000)),
    _bad("one header without end", Send(OK[:-2] + b"X: "), Repeat(b"a" * 10_000)),
    _bad("length too short", Send(render_head(200, [JSON, ("content-length", str(len(BODY) - 9))]) + BODY)),
    _bad("length too long", Send(render_head(200, [JSON, ("content-length", str(len(BODY) + 9))]) + BODY), Close()),
    _late(
        "length too long, connection open", Send(render_head(200, [JSON, ("content-length", "9999")]) + BODY), Stall()
    ),
    _bad("chunk size not hexadecimal", Send(render_head(200, [JSON, CHUNKED]) + b"xyz\r\n" + BODY), Close()),
    _bad("chunk size negative", Send(render_head(200, [JSON, CHUNKED]) + b"-5\r\n" + BODY), Close()),
    _bad("chunk size of 2^70", Send(render_head(200, [JSON, CHUNKED]) + b"4" + b"0" * 17 + b"\r\n"), Close()),
    _bad("chunk without its end", Send(render_head(200, [JSON, CHUNKED]) + b"5\r\n" + BODY), Close()),
    _bad("no last chunk", Send(render_head(200, [JSON, CHUNKED]) + chunk(BODY)), Close()),
    _bad("100 MB announced", Send(render_head(200, [JSON, ("content-length", "104857600")])), Repeat(MIB, 100)),
    _bad("100 MB chunked", Send(render_head(200, [JSON, CHUNKED])), Repeat(chunk(MIB), 100), Send(LAST_CHUNK)),
    _bad("100 MB until close", Send(render_head(200, [JSON])), Repeat(MIB, 100), Close()),
    _bad("100 MB in gzip", *_packed("gzip", BOMB)),
    _bad("broken gzip", *_packed("gzip", BOMB[:20] + b"\xff" * 50)),
    _bad("cut gzip", *_packed("gzip", gzip.compress(BODY, mtime=0)[:-30])),
    _bad("gzip claimed", *_packed("gzip", BODY)),
    _bad("unknown coding", *_packed("br", BODY)),
    _bad_body("empty body", b""),
    _bad_body("HTML", b"<!doctype html><title>Welcome to nginx!</title>"),
    _bad_body("plain text", b"OK"),
    _bad_body("JSON string", b'"ok"'),
    _bad_body("JSON array", b"[]"),
    _bad_body("cut JSON", BODY[:-5]),
    _bad_body("nested arrays", b"[" * 100_000 + b"]" * 100_000),
    _bad("no content", *reply(204, headers=[])),
    _bad("not modified", Send(render_head(304, []))),
    _bad("redirect", *reply(302, b"", headers=[("location", "http://169.254.169.254/latest/meta-data")])),
    _bad("switching protocols", Send(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), Stall()),
    _bad("a stream nobody asked for", Send(STREAM + chunk(EVENTS[0])), Stall()),
    Fault(
        "credential refused, 401",
        reply(401, error("Incorrect API key: sk-upstream")),
        502,
        "upstream_credential_rejected",
    ),
    Fault(
        "credential refused, 403", reply(403, error("Key sk-upstream is blocked")), 502, "upstream_credential_rejected"
    ),
    Fault(
        "rate limited",
        reply(429, error("slow down a little", "requests", "rate_limit_exceeded")),
        429,
        "rate_limit_exceeded",
        True,
    ),
    Fault("server error", reply(500, error("boom", code="oops")), 502, "oops", True),
    Fault("server error in HTML", reply(500, b"<html>Internal Server Error</html>"), 502, "upstream_failed", True),
    Fault("bad gateway in HTML", reply(502, b"<html>502 Bad Gateway nginx</html>"), 502, "upstream_failed", True),
    Fault("overloaded, 503", reply(503, b""), 503, "upstream_overloaded", True),
    Fault("overloaded, 529", reply(529, b"{}"), 503, "upstream_overloaded", True),
    Fault("their time-out, 504", reply(504, b""), 504, "upstream_timeout", True),
    Fault("bad request", reply(400, error("bad parameter", code="bad_param", param="seed")), 400, "bad_param"),
    Fault("unknown model", reply(404, error("no such model", code="model_not_found")), 404, "model_not_found"),
    Fault("too long", reply(413, error("the prompt is too long", code="too_long")), 413, "too_long"),
    Fault("unprocessable", reply(422, error("cannot be processed", code="unprocessable")), 422, "unprocessable"),
)


class Cut(NamedTuple):
    """One way to fail after a stream has begun."""

    name: str
    steps: tuple[Step, ...]
    codes: tuple[str, ...] = ("upstream_cut",)


def _after(*steps: Step) -> tuple[Step, ...]:
    return Send(STREAM + b"".join(map(chunk, EVENTS[:3]))), Pause(0.05), *steps


CUTS: Final = (
    Cut("closed", _after(Close())),
    Cut("reset", _after(Reset())),
    Cut("half-closed", _after(HalfClose(), Stall())),
    Cut("ended without a finish", _after(Send(LAST_CHUNK))),
    Cut("ended within an event", _after(Send(chunk(b'data: {"id":')), Send(LAST_CHUNK))),
    Cut("stalled", _after(Stall()), ("upstream_timeout",)),
    Cut("stalled within an event", _after(Send(chunk(b'data: {"id":')), Stall()), ("upstream_timeout",)),
    Cut("broken chunk", _after(Send(b"xyz\r\n"), Stall())),
    Cut("chunk without its end", _after(Send(b"1\r\nab\r\n"), Stall())),
    Cut(
        "event without end",
        _after(Repeat(chunk(b"data: " + MIB), 40)),
        ("upstream_cut", "upstream_bad_response"),
    ),
    Cut(
        "error event", _after(Send(chunk(sse(error("the model fell over", code="oops")))), Send(LAST_CHUNK)), ("oops",)
    ),
    Cut("error event, then more", _after(Send(chunk(sse(error("no", code="oops")) + EVENTS[3])), Stall()), ("oops",)),
)

WHOLE: Final = (
    Fault("chunked", reply(200, BODY, framing="chunked"), 200, ""),
    Fault("until close", reply(200, BODY, framing="close"), 200, ""),
    Fault("HTTP/1.0", (Send(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + BODY), Close()), 200, ""),
    Fault("interim answers", reply(200, BODY, interim=[100, 102, 103]), 200, ""),
    Fault("gzip", reply(200, BODY, gzip=True), 200, ""),
    Fault("deflate", _packed("deflate", zlib.compress(BODY)), 200, ""),
    Fault("gzip, chunked", reply(200, BODY, gzip=True, framing="chunked"), 200, ""),
    Fault("byte by byte", tuple(Send((OK + BODY)[at : at + 1]) for at in range(len(OK + BODY))), 200, ""),
    Fault("trailers", (Send(render_head(200, [JSON, CHUNKED]) + chunk(BODY) + b"0\r\nX-Sum: 1\r\n\r\n"),), 200, ""),
    Fault(
        "connection: close", (Send(render_head(200, [JSON, LENGTH, ("connection", "close")]) + BODY), Close()), 200, ""
    ),
    Fault("surplus bytes", (Send(OK + BODY + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),), 200, ""),
    Fault("closed behind it", (Send(OK + BODY), Close()), 200, ""),
    Fault("reset behind it", (Send(OK + BODY), Pause(0.02), Reset()), 200, ""),
)
"""Odd but right, or wrong only behind the answer: the client gets it, and nothing of it reaches the next one."""
