"""How much an exchange may use, told from its bytes before anybody counted: cheaply, and rather too much."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from gatewright.core.exchange import Exchange
from gatewright.core.fields import Fields

BYTES_PER_TOKEN: Final = 3
"""Of a JSON body. English in today's tokenizers has four to five bytes a token, code three to four, Chinese three to
four; the JSON around it comes on top, so the estimate errs upwards."""
STREAM_SLICE: Final = 512
"""Output tokens reserved for a streamed answer at a time; the next slice is taken when half of this one is used."""
WHOLE_SLICE: Final = 4_096
"""Output tokens reserved at most for an answer that comes whole. What a client allows by `max_tokens` is mostly far
more than it gets, and would lock others out while money remains."""
_UNKNOWN_OUTPUT: Final = 1_024
"""Output tokens reserved for a whole answer whose length the client does not limit."""
_MEDIUM_TOKENS: Final = 1_600
"""What an image costs at most with the usual settings (Anthropic: width x height / 750, at most 1,568)."""
IMAGE_TOKENS: Final = 1_600
"""Output tokens reserved for an image that is made (OpenAI: 1,056 to 1,584 for one of medium quality)."""
_LARGE_BODY: Final = 16_384
_BLOB_BYTES: Final = 2_048
_BLOB_END: Final = re.compile(rb"[A-Za-z0-9+/=_-]{256}\Z")
"""A text that ends like this is base64: an image, a document or a sound. Prose has spaces, code has punctuation."""
_DIGITS: Final = 10
_LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_NESTED_LIMITS: Final[Mapping[str, str]] = {
    "generationConfig": "maxOutputTokens",
    "inferenceConfig": "maxTokens",
    "options": "num_predict",
}
"""Where the dialects that group their parameters hold the limit."""
_MEMBERS: Final = frozenset((*_LIMITS, *_NESTED_LIMITS))
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def estimate_input(x: Exchange) -> int:
    """Input tokens, at least one. An upload counts as one: its size says nothing about tokens."""
    if x.is_media:
        return 1
    size = len(x.body)
    if size <= _LARGE_BODY:
        return size // BYTES_PER_TOKEN + 1
    # Split at quotes, since a pattern over the whole body takes a microsecond for every sixty bytes.
    blobs = [len(text) for text in x.body.split(b'"') if len(text) >= _BLOB_BYTES and _BLOB_END.match(text[-256:])]
    return (size - sum(blobs)) // BYTES_PER_TOKEN + len(blobs) * _MEDIUM_TOKENS + 1


def first_slice(x: Exchange, *, has_output: bool) -> int:
    """Output tokens to reserve before the answer begins; 0 where an answer has none (embeddings)."""
    if not has_output:
        return 0
    allowed = allowed_output(x.fields)
    if x.stream:
        return STREAM_SLICE if allowed is None or allowed > STREAM_SLICE else allowed
    if allowed is None:
        return _UNKNOWN_OUTPUT
    return min(allowed, WHOLE_SLICE)


def allowed_output(fields: Fields) -> int | None:
    """The most output tokens that the client asks for, in any dialect; None when it does not say."""
    if _MEMBERS.isdisjoint(fields):
        return None
    for name in _LIMITS:
        raw = fields.get(name)
        if raw is not None:
            return _number(raw)
    for group, name in _NESTED_LIMITS.items():
        raw = fields.get(group)
        if raw is not None:
            try:
                inner = _members.decode(raw).get(name)
            except msgspec.MsgspecError:
                return None
            return None if inner is None else _number(inner)
    return None


def _number(raw: msgspec.Raw) -> int | None:
    text = bytes(raw)
    return int(text) if text.isdigit() and len(text) < _DIGITS else None
