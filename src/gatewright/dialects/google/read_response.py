"""A complete answer of an upstream into the hub's (ai.google.dev/api/generate-content#GenerateContentResponse)."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec
from msgspec import Raw

from gatewright.core.call_ids import make_call_id
from gatewright.core.chat import Extension, Part, Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import ChatResponse, Choice, Finish
from gatewright.dialects.google.errors import read_failure
from gatewright.dialects.google.finish import read_finish, read_word
from gatewright.dialects.google.grounding import read_citations
from gatewright.dialects.google.logprobs import read_logprobs
from gatewright.dialects.google.members import NAME, Members
from gatewright.dialects.google.read_parts import NULL, read_part
from gatewright.dialects.google.usage import read_usage

BAD: Final = Kind.UPSTREAM_BAD_RESPONSE
_string = msgspec.json.Decoder(str)


class Calls:
    """The ids of the calls of one candidate."""

    __slots__ = ("_choice", "_response_id", "count")

    def __init__(self, response_id: str, choice: int) -> None:
        self._response_id = response_id
        self._choice = choice
        self.count = 0

    def id(self, call_id: str | None, name: str) -> str:
        """The id of the next call."""
        self.count += 1
        return call_id or make_call_id("response", self._response_id, self._choice, self.count, name)


def decode_response(data: bytes) -> ChatResponse:
    """The hub's response; see `ChatCodec.decode_response`."""
    body = Members.parse(data, "", BAD)
    error = body.any("error")
    if error is not None:
        failure = read_failure(error)
        raise GatewayError(failure.kind, failure.message, code=failure.code)
    response_id, model = body.string("responseId") or "", body.string("modelVersion") or ""
    usage, usage_extra = read_usage(body.raw("usageMetadata"))
    candidates = body.many("candidates")
    feedback = body.raw("promptFeedback")
    if candidates is None and feedback is None and usage is None:
        raise body.error("candidates", "is missing")
    if candidates:
        choices = tuple(_choice(candidate, response_id) for _, candidate in candidates)
    else:
        choices = (Choice(finish=read_blocked(feedback)),)
    created = read_created(body.peek("createTime"))
    rest = body.rest(NAME)
    if candidates and feedback is not None:
        rest = Extension(NAME, {**(rest.members if rest else {}), "promptFeedback": feedback})
    return ChatResponse(
        id=response_id,
        model=model,
        created=created,
        choices=choices,
        usage=usage,
        usage_extra=usage_extra,
        extra=rest,
    )


def _choice(candidate: Members, response_id: str) -> Choice:
    index = candidate.integer("index") or 0
    calls = Calls(response_id, index)
    content = candidate.object("content")
    parts: list[Part] = []
    if content is not None:
        parts = [read_part(raw, part, calls.id, None) for raw, part in content.many("parts") or ()]
    word = read_word(candidate.raw("finishReason"))
    logprobs = candidate.peek("logprobsResult")
    rest = candidate.rest(NAME)
    if rest is not None:
        _cite(parts, rest.members)
    return Choice(
        index=index,
        parts=tuple(parts),
        finish=read_finish(index, word, has_calls=any(isinstance(part, ToolCall) for part in parts), extra=rest),
        logprobs=() if logprobs is None else read_logprobs(logprobs),
    )


def _cite(parts: list[Part], members: dict[str, Raw]) -> None:
    if "groundingMetadata" not in members and "citationMetadata" not in members:
        return
    texts = [part for part in parts if isinstance(part, Text)]
    while len(texts) > 1 and not texts[-1].text:
        texts.pop()  # the empty text that brings the signature
    if texts:
        citations = tuple(read_citations(members, [part.text for part in texts]))
        at = next(index for index in range(len(parts) - 1, -1, -1) if parts[index] is texts[-1])
        parts[at] = msgspec.structs.replace(texts[-1], citations=citations)


def read_blocked(feedback: Raw | None) -> Finish:
    """The end of an answer without candidates: the prompt was blocked, or nobody says why there are none.

    The extension holds `promptFeedback` either way, by which the answer is written the same again.
    """
    extra = Extension(NAME, {"promptFeedback": NULL if feedback is None else feedback})
    reason = None if feedback is None else Members.parse(feedback, "promptFeedback", BAD).raw("blockReason")
    if reason is None:
        return Finish(reason="error", dialect=NAME, extra=extra)
    try:
        native = _string.decode(reason)
    except (msgspec.DecodeError, UnicodeDecodeError):
        native = "SAFETY"
    return Finish(reason="content_filter", native=native, dialect=NAME, extra=extra)


def read_created(raw: Raw | None) -> int | None:
    """Unix seconds of `createTime`, which Vertex AI tells in RFC 3339."""
    if raw is None:
        return None
    try:
        moment = datetime.fromisoformat(_string.decode(raw))
        return int(moment.timestamp()) if moment.tzinfo is not None else None
    except (msgspec.DecodeError, ValueError, OverflowError):
        return None
