"""What requests that are passed through will use, as far as they tell it themselves.

It is what is reserved of a budget, and what is booked where the answer reports nothing: speech is bytes, transcripts as
plain text say no more than was said.
"""

from __future__ import annotations

from typing import Final

import msgspec

from gatewright.core.fields import Fields
from gatewright.core.usage import Usage
from gatewright.wire.wav import length_s

_MAX_IMAGES: Final = 1_000
_MAX_FILES: Final = 16
_FILE: Final = b"\r\n\r\n"
"""What stands before the content of a part of a form."""
_text_decoder = msgspec.json.Decoder(str)
# A form holds the number as text.
_count_decoder: msgspec.json.Decoder[int] = msgspec.json.Decoder(int, strict=False)


def asked_images(fields: Fields, body: bytes) -> Usage:
    """As many pictures as `n` says, which is one without it
    (platform.openai.com/docs/api-reference/images/create)."""
    raw = fields.get("n")
    try:
        count = 1 if raw is None else _count_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        count = 1
    return Usage(images=min(max(count, 1), _MAX_IMAGES), estimated=True)


def asked_speech(fields: Fields, body: bytes) -> Usage | None:
    """The characters of `input`, which is what vendors charge for that count no tokens."""
    raw = fields.get("input")
    try:
        return None if raw is None else Usage(characters=len(_text_decoder.decode(raw)))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def uploaded_sound(fields: Fields, body: bytes) -> Usage | None:
    """The length of an uploaded WAV file. Other formats do not tell theirs without being decoded."""
    longest = 0.0
    at = 0
    for _ in range(_MAX_FILES):
        at = body.find(_FILE + b"RIFF", at)
        if at < 0:
            break
        at += len(_FILE)
        longest = max(longest, length_s(body, at) or 0.0)
    return Usage(audio_s=longest, estimated=True) if longest else None
