"""What the events of an OpenAI chat or completions stream mean to a gateway.

Grammar: `data:{chunk}`*, with `stream_options.include_usage` one more chunk whose `choices` is empty and which carries
`usage`, then `data: [DONE]`. Hosts differ: usage may ride on the last chunk that has choices, the first chunk may have
none (Azure), and a failure is an `error` member in a chunk of a 200 stream.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from gatewright.core.fields import Fields

_INCLUDE_USAGE: Final = msgspec.Raw(b'{"include_usage":true}')
_TRUE: Final = msgspec.Raw(b"true")
_FINISH: Final = re.compile(rb'"finish_reason"\s*:\s*"')
_members: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)
_encoder = msgspec.json.Encoder()


def ask_usage(fields: Fields) -> bool:
    """Set `stream_options.include_usage`; true when the client had not asked, so its extra chunk must be hidden."""
    options = fields.get("stream_options")
    if options is None or bytes(options) == b"null":
        fields["stream_options"] = _INCLUDE_USAGE
        return True
    try:
        members = _members.decode(options)
    except (msgspec.DecodeError, RecursionError):
        return False  # not an object: the upstream will say so in its own words
    if bytes(members.get("include_usage", b"")) == b"true":
        return False
    members["include_usage"] = _TRUE
    fields["stream_options"] = msgspec.Raw(_encoder.encode(members))
    return True


def ask_nothing(fields: Fields) -> bool:
    """For APIs that never stream."""
    return False


def is_error_event(fields: Fields) -> bool:
    """A chunk with a non-null `error` member."""
    error = fields.get("error")
    return error is not None and bytes(error) != b"null"


def is_usage_only(fields: Fields) -> bool:
    """A chunk with no choices: it exists because usage was asked for."""
    choices = fields.get("choices")
    return choices is not None and bytes(choices).translate(None, b" \t\r\n") == b"[]"


def has_finish(event: bytes) -> bool:
    """Whether a choice of this chunk has its finish reason."""
    return _FINISH.search(event) is not None
