"""countTokens (ai.google.dev/api/tokens): how many input tokens a chat request has.

The Gemini API counts bare `contents`, or a whole request inside `generateContentRequest`. Vertex AI has no such member
and takes the request's members beside `contents`; a host of that kind has it among its unsupported members.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import ChatRequest, Extension
from gatewright.core.errors import Kind
from gatewright.core.fields import Fields
from gatewright.core.loss import LossReport
from gatewright.core.traits import Traits
from gatewright.dialects.google import read_request, write_request
from gatewright.dialects.google.members import NAME, Members, fields_of, own_members

_WHOLE: Final = "generateContentRequest"
_encoder = msgspec.json.Encoder()


def decode_request(fields: Fields, model: str) -> ChatRequest:
    """The request whose tokens are to be counted."""
    body = Members(fields)
    whole = body.object_raw(_WHOLE)
    if whole is None:
        request = read_request.decode_request(fields, model, False)
        return _marked(request, Raw(b"false"))
    request = read_request.decode_request(fields_of(whole), model, False)
    return _marked(request, Raw(b"true"))


def _marked(request: ChatRequest, is_whole: Raw) -> ChatRequest:
    kept = request.extra.members if request.extra is not None else {}
    return msgspec.structs.replace(request, extra=Extension(NAME, {**kept, _WHOLE: is_whole}))


def encode_request(request: ChatRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """The upstream's request, in the form in which a client of this API sent it, else in the one its host takes."""
    mark = own_members(request.extra, NAME).get(_WHOLE)
    if request.extra is not None and mark is not None:
        members = {name: value for name, value in request.extra.members.items() if name != _WHOLE}
        request = msgspec.structs.replace(request, extra=Extension(NAME, members) if members else None)
    written = write_request.encode_request(request, traits, report)
    is_bare = written.keys() <= {"contents"}
    if (mark is None and is_bare) or mark == Raw(b"false") or _WHOLE in traits.unsupported:
        return written
    model = request.model if "/" in request.model else f"models/{request.model}"
    return {_WHOLE: {"model": model, **written}}


def decode_response(data: bytes) -> int:
    """The number of tokens."""
    body = Members.parse(data, "", Kind.UPSTREAM_BAD_RESPONSE)
    total = body.integer("totalTokens")
    if total is None or total < 0:
        raise body.error("totalTokens", "must be a number of tokens")
    return total


def encode_response(count: int) -> bytes:
    """The answer's body."""
    return _encoder.encode({"totalTokens": count})
