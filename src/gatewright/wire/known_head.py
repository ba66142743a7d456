"""The head a client sends again and again.

An SDK sends the same request line and headers on a connection for every call; only Content-Length changes. Bytes that
were found good once are good again, so a request whose head equals the one before it, but for the digits of its
Content-Length, and whose body came with it, is recognised by comparison instead of being parsed. Anything else (a
different header, a body still on its way, two requests at once) goes through the parser.

Answers are known in the same way. Hosted providers put something of its own into every head; servers of models, which
are asked the most often, repeat theirs until the second in its Date is over.
"""

from __future__ import annotations

import re
from typing import Final

from gatewright.wire.request import Request

_LENGTH: Final = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?([0-9]{1,10})(?=\r\n)")
_ONE_TIME: Final = (b"expect", b"upgrade", b"transfer-encoding")
"""Headers that make the next bytes depend on more than the head."""


class KnownHead:
    """A head that was parsed, in two parts: up to and from behind the digits of its Content-Length."""

    __slots__ = ("_after", "_before", "_request")

    def __init__(self, before: bytes, after: bytes, request: Request) -> None:
        self._before = before
        self._after = after
        self._request = request

    @classmethod
    def learn(cls, data: bytes, request: Request) -> KnownHead | None:
        """The head of `request`, which the parser made of exactly `data`; None when it cannot be known again."""
        headers = request.headers
        if not request.keep_alive or request.is_http10 or any(name in headers for name in _ONE_TIME):
            return None
        end = data.find(b"\r\n\r\n") + 4
        if len(data) - end != len(request.body):
            return None
        if b"content-length" not in headers:
            return cls(data[:end], b"", request)
        length = _LENGTH.search(data, 0, end)
        if length is None:
            return None
        return cls(data[: length.start(1)], data[length.end(1) : end], request)

    def match(self, data: bytes, max_body_bytes: int) -> Request | None:
        """The request that `data` is, whole and alone, when its head is this one; else None."""
        before = self._before
        if not data.startswith(before):
            return None
        request = self._request
        after = self._after
        if not after:
            if len(data) != len(before):
                return None
            return Request(request.method, request.path, request.query, request.headers, b"", True, False, self)
        digits = _length_in(data, before, after)
        if not digits:
            return None
        body_start = len(before) + len(digits) + len(after)
        if len(data) - body_start > max_body_bytes:
            return None
        headers = request.headers
        if headers[b"content-length"] != digits:
            headers = headers | {b"content-length": digits}
        return Request(request.method, request.path, request.query, headers, data[body_start:], True, False, self)


class KnownAnswerHead:
    """The head of a complete answer with status 200, as `KnownHead` is that of a request."""

    __slots__ = ("_after", "_before", "_headers")

    def __init__(self, before: bytes, after: bytes, headers: dict[bytes, bytes]) -> None:
        self._before = before
        self._after = after
        self._headers = headers

    @classmethod
    def learn(cls, data: bytes, headers: dict[bytes, bytes], body_bytes: int) -> KnownAnswerHead | None:
        """The head of an answer after which the connection is kept, and which the parser made of exactly `data`."""
        if not data.startswith(b"HTTP/1.1 200") or b"transfer-encoding" in headers:
            return None
        end = data.find(b"\r\n\r\n") + 4
        length = _LENGTH.search(data, 0, end)
        if length is None or len(data) - end != body_bytes:
            return None
        return cls(data[: length.start(1)], data[length.end(1) : end], headers)

    def match(self, data: bytes) -> tuple[dict[bytes, bytes], bytes] | None:
        """Headers and body of the answer that `data` is, whole and alone, when its head is this one; else None."""
        before = self._before
        if not data.startswith(before):
            return None
        after = self._after
        digits = _length_in(data, before, after)
        if not digits:
            return None
        body_start = len(before) + len(digits) + len(after)
        headers = self._headers
        if headers[b"content-length"] != digits:
            headers = headers | {b"content-length": digits}
        return headers, data[body_start:]


def _length_in(data: bytes, before: bytes, after: bytes) -> bytes:
    """The Content-Length between the parts of a head, if it is that of what follows the head; else nothing.

    Told from how much there is, since that costs less than reading it: only one number has as many digits as are left.
    """
    rest = len(data) - len(before) - len(after)
    places = len(b"%d" % (rest,))
    digits = b"%d" % (rest - places,)
    if len(digits) != places:
        places -= 1
        digits = b"%d" % (rest - places,)
        if len(digits) != places:
            return b""
    start = len(before)
    end = start + places
    if data[start:end] != digits or data[end : end + len(after)] != after:
        return b""
    return digits
