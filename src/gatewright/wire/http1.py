"""HTTP/1.1 messages, both directions, strictly (RFC 9110, RFC 9112).

Theory of operation. llhttp (through httptools) is the tokenizer: it already refuses bare LF, obs-fold, control
characters, duplicate or conflicting framing headers and malformed chunks. This module adds what a *server behind other
servers* must refuse as well — a transfer coding other than exactly `chunked`, a missing or odd Host, a target that is
not a path, repeated credentials — and the limits. A parser is a cursor on one connection: `feed` returns what the new
bytes completed, in order; after a `Malformed` nothing on that connection can be trusted, so the caller answers it and
closes. Bodies are whole: the gateway decides on complete requests only.
"""

from __future__ import annotations

import re
from typing import Final

import httptools

from gatewright.core.errors import Kind
from gatewright.wire.known_head import KnownAnswerHead, KnownHead
from gatewright.wire.request import Malformed, Request

__all__ = ["Malformed", "MalformedResponse", "Request", "RequestParser", "ResponseParser"]

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?\Z")
_ONLY_ONCE: Final = frozenset((b"host", b"authorization", b"x-api-key", b"api-key", b"content-type", b"x-request-id"))
_USUAL: Final = {
    name: name
    for name in (
        b"accept",
        b"accept-encoding",
        b"authorization",
        b"connection",
        b"content-length",
        b"content-type",
        b"date",
        b"host",
        b"server",
        b"transfer-encoding",
        b"user-agent",
        b"x-request-id",
    )
}
"""Names that stand in most heads. In place of an equal one that was read, such a constant is found at once wherever
compiled code asks for it, since equal constants are one object there."""
_NO_BODY: Final = b""
_CHUNK_BYTES: Final = 16
"""Framing allowed for each byte of a chunked body; the smallest chunks need five."""
_MAX_HEAD_BYTES: Final = 262_144
_MAX_FIELDS: Final = 1_000
_TOO_MANY_FIELDS: Final = f"it has more than {_MAX_FIELDS:,} headers"
"""Limits of an upstream's head, interim answers and trailers included; far above what any provider sends."""


class _Refused(Exception):
    """Raised inside a tokenizer callback to stop it; carries the verdict."""

    def __init__(self, kind: Kind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class RequestParser:
    """Client bytes to requests, for one connection.

    `feed(data)` returns every message completed by `data`, in order; a `Malformed` is the last one ever returned. The
    caller may ask `in_head`, `in_body` (for its time-outs) and must answer `take_continue()` with an interim 100.
    """

    __slots__ = (
        "_body",
        "_body_bytes",
        "_body_follows",
        "_done",
        "_expects_continue",
        "_fields",
        "_head_bytes",
        "_headers",
        "_host",
        "_is_fresh",
        "_is_http10",
        "_known",
        "_parser",
        "_refused",
        "_target",
        "_unseen_bytes",
        "in_body",
        "in_head",
        "max_body_bytes",
        "max_header_bytes",
        "max_headers",
    )
    __deletable__ = ("_parser",)  # by `close`: compiled classes must say so

    def __init__(self, *, max_header_bytes: int, max_headers: int, max_body_bytes: int) -> None:
        self.max_header_bytes = max_header_bytes
        self.max_headers = max_headers
        self.max_body_bytes = max_body_bytes
        self.in_head = False
        self.in_body = False
        self._parser = httptools.HttpRequestParser(self)
        self._done: list[Request | Malformed] = []
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0
        self._fields = 0
        self._unseen_bytes = 0
        self._is_fresh = False
        self._body_follows = False
        self._target = b""
        self._host: bytes | None = None
        """The last Host that was found good."""
        self._is_http10 = False
        self._expects_continue = False
        self._refused: _Refused | None = None
        self._known: KnownHead | None = None

    def feed(self, data: bytes) -> list[Request | Malformed]:
        """All messages completed by `data`."""
        between = not (self.in_head or self.in_body)
        if between and self._known is not None:
            request = self._known.match(data, self.max_body_bytes)
            if request is not None:
                return [request]
        self._is_fresh = False
        body_bytes = self._body_bytes
        self._tokenize(data)
        if (self.in_head or self.in_body) and not self._is_fresh:
            # All of `data` belongs to the message that began before it. What the tokenizer holds itself or skips (an
            # unfinished header line, chunk extensions, trailers) has no callback, so it is counted by what was fed.
            self._unseen_bytes += len(data) - (self._body_bytes - body_bytes)
            if self._unseen_bytes > self.max_header_bytes + _CHUNK_BYTES * self._body_bytes:
                self._refused = _Refused(Kind.HEADERS_TOO_LARGE, self._header_limit())
                self._stop(self._refused)
        done = self._done
        if done:
            self._done = []
            if between and len(done) == 1 and isinstance(done[0], Request):
                self._known = KnownHead.learn(data, done[0])
        return done

    def take_continue(self) -> bool:
        """Whether the client waits for an interim `100 Continue` before it sends its body; true once per request."""
        waiting, self._expects_continue = self._expects_continue, False
        return waiting

    def partial_path(self) -> bytes:
        """The path of the request that is arriving, as far as it is known."""
        return self._target.partition(b"?")[0]

    def close(self) -> None:
        """Break the reference cycle with the tokenizer, let go of what was read; the parser is dead afterwards."""
        del self._parser
        self._body = []

    def _tokenize(self, data: bytes | memoryview) -> None:
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # RFC 9110 §7.8: a server may ignore Upgrade; clients that offer h2c expect a plain answer. The
                # tokenizer stops behind the head of such a message for good, so a fresh one takes the rest.
                data = memoryview(data)[upgrade.args[0] :]
                if self._body_follows:
                    self._restart_at_body()
                else:
                    self._parser = httptools.HttpRequestParser(self)
                if data:
                    continue
            except httptools.HttpParserError as error:
                self._stop(error)
            return

    def _restart_at_body(self) -> None:
        """Give a fresh tokenizer a head with the framing of the current message, so that it reads the body as such."""
        old, headers, target, expects = self._parser, self._headers, self._target, self._expects_continue
        length = headers.get(b"content-length")
        framing = b"transfer-encoding: chunked" if length is None else b"content-length: " + length
        ending = b"" if old.should_keep_alive() else b"connection: close\r\n"
        self._body_follows = False
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"%b / HTTP/1.1\r\nhost: a\r\n%b\r\n%b\r\n" % (old.get_method(), framing, ending))
        self._headers, self._target, self._expects_continue = headers, target, expects

    # -- verdicts -------------------------------------------------------------------------------------------------

    def _stop(self, error: Exception) -> None:
        refused = self._refused
        kind = refused.kind if refused else Kind.MALFORMED_REQUEST
        message = str(refused) if refused else f"The HTTP request is malformed: {error}."
        method = b""
        if self._target:
            method = self._parser.get_method()
        self.in_head = self.in_body = False
        path = self._target.partition(b"?")[0]
        self._done.append(Malformed(kind, message, method, path, self._headers))

    def _refuse(self, kind: Kind, message: str) -> None:
        self._refused = _Refused(kind, message)
        raise self._refused

    def _header_limit(self) -> str:
        return (
            f"The request line and headers exceed {self.max_header_bytes} bytes or {self.max_headers} fields "
            "(limits.header_bytes, limits.header_count)."
        )

    # -- tokenizer callbacks --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.in_head = True
        self._headers = {}
        self._head_bytes = 0
        self._fields = 0
        self._unseen_bytes = 0
        self._is_fresh = True
        self._target = b""

    def on_url(self, url: bytes) -> None:
        self._target += url
        if len(self._target) > self.max_header_bytes:
            self._refuse(Kind.HEADERS_TOO_LARGE, self._header_limit())

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.in_head:
            return  # trailers: framed by the tokenizer, never merged into headers (RFC 9110 §6.5.1)
        headers = self._headers
        name = name.lower()
        name = _USUAL.get(name, name)
        self._head_bytes += len(name) + len(value) + 4
        self._fields += 1
        if self._fields > self.max_headers or self._head_bytes > self.max_header_bytes:
            self._refuse(Kind.HEADERS_TOO_LARGE, self._header_limit())
        if name in headers:
            if name in _ONLY_ONCE:
                self._refuse(Kind.MALFORMED_REQUEST, f"The header {name.decode()} was sent more than once.")
            value = headers[name] + b", " + value
        headers[name] = value

    def on_headers_complete(self) -> None:
        headers = self._headers
        self.in_head = False
        version = self._parser.get_http_version()
        self._is_http10 = version != "1.1"
        if self._is_http10:
            self._check_old_version(version)
        host = headers.get(b"host")
        if host is None or host != self._host:
            self._check_host(host, version)
        if self._target[:1] != b"/" and not (self._target == b"*" and self._parser.get_method() == b"OPTIONS"):
            self._refuse(
                Kind.MALFORMED_REQUEST,
                "The request target must be a path such as /v1/chat/completions; this gateway is not a forward proxy.",
            )
        if b"transfer-encoding" in headers:
            if headers[b"transfer-encoding"].lower() != b"chunked":
                self._refuse(Kind.MALFORMED_REQUEST, "The only transfer coding a request may use is `chunked`.")
            self.in_body = True
        elif b"content-length" in headers:
            length = int(headers[b"content-length"] or 0)
            if length > self.max_body_bytes:
                self._refuse_body()
            self.in_body = length > 0
        if b"expect" in headers and self.in_body:
            if headers[b"expect"].lower() != b"100-continue":
                self._refuse(Kind.MALFORMED_REQUEST, "The only expectation this server meets is 100-continue.")
            self._expects_continue = True

    def on_body(self, piece: bytes) -> None:
        self._expects_continue = False
        self._body.append(piece)
        self._body_bytes += len(piece)
        if self._body_bytes > self.max_body_bytes:
            self._refuse_body()

    def on_message_complete(self) -> None:
        parser = self._parser
        pieces = self._body
        if self.in_body and not pieces and parser.should_upgrade():
            # The tokenizer takes what follows an offered Upgrade for another protocol; it is the body.
            self._body_follows = True
            return
        method = parser.get_method()
        if method == b"CONNECT":
            self._refuse(Kind.MALFORMED_REQUEST, "CONNECT is not possible here; this gateway is not a forward proxy.")
        if pieces:
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._body = []
            self._body_bytes = 0
        else:
            body = _NO_BODY
        self.in_body = False
        self._expects_continue = False
        path, _, query = self._target.partition(b"?")
        self._done.append(
            Request(method, path, query, self._headers, body, parser.should_keep_alive(), self._is_http10)
        )

    # -- checks off the common path -------------------------------------------------------------------------------

    def _check_old_version(self, version: str) -> None:
        if version != "1.0":
            self._refuse(Kind.MALFORMED_REQUEST, f"HTTP/{version} is not spoken here; use HTTP/1.1.")
        if b"transfer-encoding" in self._headers:
            self._refuse(Kind.MALFORMED_REQUEST, "HTTP/1.0 has no transfer codings; send a Content-Length.")

    def _check_host(self, host: bytes | None, version: str) -> None:
        if host is None:
            if version == "1.1":
                self._refuse(Kind.MALFORMED_REQUEST, "An HTTP/1.1 request needs a Host header.")
        elif not _HOST.match(host):
            self._refuse(Kind.MALFORMED_REQUEST, "The Host header is not a host name with an optional port.")
        else:
            self._host = host

    def _refuse_body(self) -> None:
        self._refuse(
            Kind.TOO_LARGE,
            f"The request body exceeds {self.max_body_bytes} bytes (limits.body_bytes). Send less, or raise the limit.",
        )


class MalformedResponse(Exception):
    """An upstream answer that is not HTTP, or ended before it was complete. The message says how."""


class ResponseParser:
    """Upstream bytes to one answer at a time, for one connection.

    `feed(data)` returns the body bytes that `data` carried (empty while the head is incomplete). `head_complete` and
    `complete` say how far it got; interim 1xx answers are skipped. After `complete` call `reset()` before the next
    answer. `end()` must be called at EOF: it completes a close-delimited answer or raises.
    """

    __slots__ = (
        "_bodiless_bytes",
        "_body",
        "_fields",
        "_framed",
        "_head",
        "_keep_alive",
        "_known",
        "_parser",
        "complete",
        "head_complete",
        "headers",
        "started",
        "status",
        "surplus",
    )
    __deletable__ = ("_parser",)  # by `close`: compiled classes must say so

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._known: KnownAnswerHead | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the answer just read."""
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self._head: dict[bytes, bytes] = {}
        self._bodiless_bytes = 0
        """Bytes since the last that were body."""
        self._fields = 0
        self.started = False
        """Whether any byte of the answer has come."""
        self.head_complete = False
        self.complete = False
        self.surplus = False
        """Whether bytes came behind the end of the answer: the connection cannot be reused."""
        self._framed = False
        self._keep_alive = False

    def feed(self, data: bytes) -> bytes:
        """The body bytes carried by `data`. Raises MalformedResponse; the connection is then unusable."""
        first = not self.started
        if first:
            self.started = True
            if self._known is not None:
                known = self._known.match(data)
                if known is not None:
                    self.status = 200
                    self.headers, body = known
                    self.head_complete = self.complete = self._framed = self._keep_alive = True
                    return body
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise MalformedResponse("it switched protocols without being asked") from None
        except httptools.HttpParserError as error:
            if not self.complete:
                problem = _TOO_MANY_FIELDS if self._fields > _MAX_FIELDS else f"it is not valid HTTP/1.1: {error}"
                raise MalformedResponse(problem) from None
            self.surplus = True
        pieces = self._body
        if not pieces:
            if not self.complete:
                # The tokenizer holds unfinished lines itself, and any number of interim answers may come.
                self._bodiless_bytes += len(data)
                if self._bodiless_bytes > _MAX_HEAD_BYTES:
                    what = "trailers or chunk extensions exceed" if self.head_complete else "head exceeds"
                    raise MalformedResponse(f"its {what} {_MAX_HEAD_BYTES} bytes")
            return b""
        self._bodiless_bytes = 0
        self._body = []
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if first and self.complete and self.is_reusable():
            self._known = KnownAnswerHead.learn(data, self.headers, len(body))
        return body

    def end(self) -> None:
        """The connection ended. Raises MalformedResponse unless that is how this answer was to end."""
        if self.complete:
            return
        if not self.head_complete:
            raise MalformedResponse("the connection closed before the head of the answer was complete")
        if self._framed:
            raise MalformedResponse("the connection closed in the middle of the body")
        self.complete = True

    def is_reusable(self) -> bool:
        """Whether the connection may carry another request after this complete answer."""
        return self._framed and self._keep_alive and not self.surplus

    def close(self) -> None:
        """Break the reference cycle with the tokenizer; the parser is dead afterwards."""
        del self._parser

    # -- tokenizer callbacks --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:
            self.surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        if self._fields > _MAX_FIELDS:
            raise MalformedResponse(_TOO_MANY_FIELDS)
        headers = self._head
        name = name.lower()
        name = _USUAL.get(name, name)
        if name in headers:
            value = headers[name] + b", " + value
        headers[name] = value

    def on_headers_complete(self) -> None:
        if self.surplus:
            return
        status = self._parser.get_status_code()
        headers, self._head = self._head, {}  # trailers land in the new one and are dropped
        if status < 200:
            return
        self.status = status
        self.head_complete = True
        self.headers = headers
        self._framed = b"content-length" in headers or b"transfer-encoding" in headers or status in (204, 304)

    def on_body(self, piece: bytes) -> None:
        if not self.surplus:
            self._body.append(piece)

    def on_message_complete(self) -> None:
        if self.head_complete:
            self.complete = True
            self._keep_alive = self._parser.should_keep_alive()  # the tokenizer forgets it once the next byte comes
