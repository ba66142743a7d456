"""Small pieces of answers: citations, log probabilities, failures."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import Citation
from gatewright.core.errors import Kind
from gatewright.core.events import Failure, TokenLogprob
from gatewright.dialects.openai.chat.words import NAME, extended
from gatewright.wire.json_object import JsonObject


def read_citation(note: JsonObject) -> Citation:
    """An element of `annotations`; what is no `url_citation` is kept for this dialect alone."""
    note.drop("index")  # its place among the others, by which streams are joined
    raw = note.peek("url_citation")
    cited = None if raw is None else note.object("url_citation")
    if cited is None:
        return Citation(extra=note.rest(NAME))
    note.drop("type")
    start, end = cited.any("start_index"), cited.any("end_index")
    url, title = cited.string("url"), cited.string("title")
    extra = note.rest(NAME)
    quote = cited.any("content")
    if (rest := cited.rest(NAME)) is not None:
        extra = extended(extra, url_citation=rest.members)
    if not isinstance(start, int) or not isinstance(end, int):
        extra = extended(extra)  # so that no place is made up when it goes back
    return Citation(
        url=url,
        title=title,
        quote=quote if isinstance(quote, str) else None,
        start=start if isinstance(start, int) else None,
        end=end if isinstance(end, int) else None,
        extra=extra,
    )


def read_logprob(token: JsonObject) -> TokenLogprob:
    """An element of `logprobs.content`."""
    raw = token.any("bytes")
    return TokenLogprob(
        token=token.string("token") or "",
        logprob=token.number("logprob") or 0.0,
        bytes=tuple(raw) if isinstance(raw, list) and all(isinstance(byte, int) for byte in raw) else None,
        top=tuple(read_logprob(other) for other in token.objects("top_logprobs") or ()),
    )


_STATUS_KINDS: Final[dict[int, Kind]] = {
    401: Kind.UPSTREAM_CREDENTIAL_REJECTED,
    403: Kind.UPSTREAM_CREDENTIAL_REJECTED,
    408: Kind.UPSTREAM_TIMEOUT,
    429: Kind.UPSTREAM_RATE_LIMITED,
    503: Kind.UPSTREAM_OVERLOADED,
    504: Kind.UPSTREAM_TIMEOUT,
    529: Kind.UPSTREAM_OVERLOADED,
}
_WORD_KINDS: Final[dict[str, Kind]] = {
    "rate_limit_exceeded": Kind.UPSTREAM_RATE_LIMITED,
    "rate_limit_error": Kind.UPSTREAM_RATE_LIMITED,
    "insufficient_quota": Kind.UPSTREAM_RATE_LIMITED,
    "server_is_overloaded": Kind.UPSTREAM_OVERLOADED,
    "overloaded_error": Kind.UPSTREAM_OVERLOADED,
    "slow_down": Kind.UPSTREAM_OVERLOADED,
    "invalid_request_error": Kind.UPSTREAM_REJECTED,
}


def read_failure(raw: Raw) -> Failure:
    """An `error` member of an answer that began with status 200."""
    try:
        error: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = None
    if not isinstance(error, dict):
        return Failure(kind=Kind.UPSTREAM_FAILED, message=error if isinstance(error, str) else "it gave no reason")
    message = error.get("message")
    code = error.get("code")
    kind = Kind.UPSTREAM_FAILED
    for value in (error.get("status_code"), error.get("status"), code, error.get("type")):
        if isinstance(value, str) and value.isdecimal() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            kind = _STATUS_KINDS.get(value, Kind.UPSTREAM_REJECTED if value < 500 else Kind.UPSTREAM_FAILED)
            break
        if isinstance(value, str) and value in _WORD_KINDS:
            kind = _WORD_KINDS[value]
            break
    return Failure(
        kind=kind,
        message=message if isinstance(message, str) and message else "it gave no reason",
        code=str(code) if isinstance(code, str | int) and not isinstance(code, bool) else None,
    )
