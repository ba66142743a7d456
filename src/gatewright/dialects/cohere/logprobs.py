"""Log probabilities of Cohere's answers: one entry per chunk of text, which may be of several tokens."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from gatewright.core.errors import Kind
from gatewright.core.events import TokenLogprob
from gatewright.wire.json_object import JsonObject

_numbers = msgspec.json.Decoder(list[float])


def read_logprob(raw: Raw, path: str) -> TokenLogprob:
    """One chunk as one token: its probability is the product of its tokens'."""
    item = JsonObject.parse(raw, path, Kind.UPSTREAM_BAD_RESPONSE)
    spelled = item.raw("logprobs")
    try:
        numbers = [] if spelled is None else _numbers.decode(spelled)
    except (msgspec.DecodeError, RecursionError):
        raise item.error("logprobs", "must be a list of numbers") from None
    return TokenLogprob(token=item.string("text") or "", logprob=sum(numbers))


def write_logprob(token: TokenLogprob) -> dict[str, Any]:
    """One token as a chunk. Ids of tokens are the upstream's secret."""
    return {"text": token.token, "token_ids": [], "logprobs": [token.logprob]}
