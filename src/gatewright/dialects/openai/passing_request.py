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
_MAX_PARTS: Final = 1_000
_CONTENT: Final = b"\r\n\r\n"
"""What stands before the content of a part of a form."""
_BYTES_PER_S: Final = 8_000
"""Of compressed sound: 64 kbit/s, as voices are kept in MP3 and M4A. Music takes two to four times as many, voice
messages a third."""
_SSE: Final = b'"sse"'
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
    """The characters of `input`, which is what vendors charge for that count no tokens. Those that do tell them in
    events, where a client asks for these (platform.openai.com/docs/api-reference/audio/createSpeech)."""
    raw = fields.get("input")
    try:
        if raw is None:
            return None
        is_told = bytes(fields.get("stream_format", b"")) == _SSE
        return Usage(characters=len(_text_decoder.decode(raw)), estimated=is_told)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def uploaded_sound(fields: Fields, body: bytes) -> Usage | None:
    """The length of an uploaded sound: of a WAV file what it says, of others, which do not tell without being decoded,
    what their size lets expect. None when there is no form."""
    if not body.startswith(b"--"):
        return None
    delimiter = b"\r\n" + body[: body.find(b"\r\n")]
    longest = 0.0
    end = 0
    for _ in range(_MAX_PARTS):
        start = body.find(_CONTENT, end) + len(_CONTENT)
        end = body.find(delimiter, start)
        if start < len(_CONTENT) or end < 0:
            break
        told = length_s(body, start)
        # Whatever part the provider reads: it is none that is longer.
        longest = max(longest, (end - start) / _BYTES_PER_S if told is None else told)
    return Usage(audio_s=longest, estimated=True) if longest else None
