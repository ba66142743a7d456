"""Counting the input tokens of a request (platform.claude.com/docs/en/api/messages-count-tokens).

The request is a Messages request without what only concerns the answer; the answer is `{"input_tokens": n}`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gatewright.core.chat import ChatRequest, Sampling
from gatewright.core.errors import Kind
from gatewright.core.fields import Fields
from gatewright.core.loss import LossReport
from gatewright.core.traits import Traits
from gatewright.core.usage import Usage
from gatewright.dialects.anthropic.read_request import decode_request
from gatewright.dialects.anthropic.write_request import encode_request
from gatewright.wire.json_object import JsonObject

_ANSWER_ONLY: Final = ("max_tokens", "stream", "metadata", "service_tier", "container")
_NO_LIMIT: Final = 1_000_000
_encoder = msgspec.json.Encoder()


class _Counted(msgspec.Struct):
    input_tokens: int | None = None


_decoder = msgspec.json.Decoder(_Counted)


def decode_count_request(fields: Fields, model: str) -> ChatRequest:
    """The members of a count request, which are those of a Messages request."""
    return decode_request(fields, model, False)


def encode_count_request(request: ChatRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """The members of the upstream's request. What only concerns the answer is left out without a word."""
    question = msgspec.structs.replace(
        request,
        sampling=Sampling(),
        max_output_tokens=None,
        modalities=(),
        verbosity=None,
        user=None,
        metadata=None,
        service_tier=None,
        store=None,
        cache_key=None,
        stream=False,
    )
    body = encode_request(question, msgspec.structs.replace(traits, max_output_tokens=_NO_LIMIT), report)
    for name in _ANSWER_ONLY:
        body.pop(traits.renames.get(name, name), None)
    return body


def decode_count_response(body: bytes) -> int:
    """The count. Raises GatewayError (upstream_bad_response) when the answer holds none."""
    answer = JsonObject.parse(body, kind=Kind.UPSTREAM_BAD_RESPONSE)
    count = answer.integer("input_tokens")
    if count is None or count < 0:
        raise answer.error("input_tokens", "must be a number of tokens")
    return count


def encode_count_response(count: int) -> bytes:
    """The answer's body."""
    return _encoder.encode({"input_tokens": count})


def read_count(body: bytes) -> tuple[msgspec.Raw | None, Usage | None]:
    """A count uses nothing; raises msgspec.DecodeError when the answer is no object, as `read_answer` does."""
    try:
        _decoder.decode(body)
    except msgspec.ValidationError:
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return None, None
