"""How much an exchange may use, told from its bytes before anybody counted: cheaply, and rather too much."""

from __future__ import annotations

import re
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
IMAGE_TOKENS: Final = 1_600
"""Output tokens reserved for an image that is made (OpenAI: 1,056 to 1,584 for one of medium quality)."""
_LARGE_BODY: Final = 16_384
_MEDIUM_BYTES: Final = 2_048
_SAMPLES: Final = 256
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/=_\\-]+\Z")
"""With the backslash of encoders that escape the slash, or write lines."""
_LEAST_LETTERS: Final = 48
"""Different ones among the samples. What is compressed has nearly all of the 64; words without spaces, numbers in hex
and names have fewer."""
_PICTURE_TOKENS: Final = 1_600
"""What an image costs at most with the usual settings (Anthropic: width x height / 750, at most 1,568)."""
_PICTURES: Final = (b"iVBORw0KGgo", b"/9j/", b"R0lGOD")
_RIFF: Final = b"UklGR"
_WEBP: Final = b"RUJQ"
_SOUNDS: Final = (b"SUQz", b"//", b"T2dnUw", b"ZkxhQ", b"GkXfo", b"AAAA")
"""How sound and film begin: MP3, AAC, Ogg, FLAC, Matroska, MP4."""
_BYTES_PER_SOUND_TOKEN: Final = 64
"""Of base64. Google counts 32 tokens a second of sound, which is two kilobytes at least, and 300 of film."""
_BYTES_PER_WAVE_TOKEN: Final = 256
"""The same for sound that is not compressed: a second has eight kilobytes at least."""
_BYTES_PER_DOCUMENT_TOKEN: Final = 16
"""Of base64. A page costs its picture and its text, 2,400 tokens or so, and has 40 kilobytes or so."""
_DIGITS: Final = 10
_LIMITS: Final = frozenset(
    "max_tokens max_completion_tokens max_output_tokens maxOutputTokens maxTokens num_predict n_predict".split()
)
_ANSWERS: Final = frozenset(("n", "best_of", "candidateCount", "candidate_count"))
_GROUPS: Final = frozenset(("generationConfig", "generation_config", "inferenceConfig", "options"))
"""Members that hold such members in the dialects that group their parameters."""
_PROMPT: Final = "prompt"
_PROMPT_LIST: Final = re.compile(rb'\[[ \t\r\n]*["\[]')
_MEMBERS: Final = frozenset((*_LIMITS, *_ANSWERS, *_GROUPS, _PROMPT))
_UNLIMITED: Final = 1 << 62
_MAX_ANSWERS: Final = 100_000
"""More than any provider gives to one request. Counters hold 63 bits, also of what so many would cost."""
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])


def estimate_input(x: Exchange) -> int:
    """Input tokens, at least one. An upload counts as one: its size says nothing about tokens."""
    if x.is_media:
        return 1
    body = x.body
    rest, tokens = len(body), 1
    if rest > _LARGE_BODY:
        # Split at quotes, since a pattern over the whole body takes a microsecond for every sixty bytes.
        for text in body.split(b'"'):
            if len(text) >= _MEDIUM_BYTES and (medium := _medium_tokens(text)):
                rest -= len(text)
                tokens += medium
    if _PROMPT in x.fields or (x.dialect is not None and x.dialect.family == "embeddings"):
        # Texts may be given as the numbers of their tokens, which are as short as one digit.
        return tokens + max(rest // BYTES_PER_TOKEN, body.count(b","))
    return tokens + rest // BYTES_PER_TOKEN


def _medium_tokens(text: bytes) -> int:
    """What a long JSON string costs if it is a medium in base64, as samples of all of it tell; 0 if it is text."""
    if b" " in text:
        return 0
    start = text.find(b",", 0, 128) + 1 if text.startswith(b"data:") else 0
    size = len(text) - start
    sample = text[start :: size // _SAMPLES]
    if not _BASE64.match(sample) or len(set(sample)) < _LEAST_LETTERS:
        return 0
    head = text[start : start + 32].replace(b"\\", b"")
    if head.startswith(_PICTURES):
        return _PICTURE_TOKENS
    if head.startswith(_RIFF):
        return _PICTURE_TOKENS if head.startswith(_WEBP, 12) else size // _BYTES_PER_WAVE_TOKEN
    if head.startswith(_SOUNDS):
        return size // _BYTES_PER_SOUND_TOKEN
    return size // _BYTES_PER_DOCUMENT_TOKEN


def first_slice(x: Exchange, *, has_output: bool) -> int:
    """Output tokens to reserve before the answer begins; 0 where an answer has none (embeddings)."""
    if not has_output:
        return 0
    limit, answers = asked_output(x.fields)
    if x.stream:
        return STREAM_SLICE if limit is None else min(limit * answers, STREAM_SLICE)
    return answers * (_UNKNOWN_OUTPUT if limit is None else min(limit, WHOLE_SLICE))


def asked_output(fields: Fields) -> tuple[int | None, int]:
    """The most output tokens that the client allows each answer, None when it does not say; and how many answers it
    wants.

    Whatever dialect a member is of, it counts: which ones the upstream obeys, only that knows. So of several limits it
    is the largest, and one that is not a plain number above zero is none.
    """
    if _MEMBERS.isdisjoint(fields):
        return None, 1
    limit, answers, prompts = 0, 1, 1
    for name in fields:
        if name not in _MEMBERS:
            continue
        raw = fields[name]
        if name in _LIMITS:
            limit = max(limit, _limit(raw))
        elif name in _ANSWERS:
            answers = max(answers, _number(bytes(raw)))
        elif name == _PROMPT:
            prompts = _count_prompts(raw)
        else:
            inner_limit, inner_answers = _asked_in(raw)
            limit, answers = max(limit, inner_limit), max(answers, inner_answers)
    return limit if 0 < limit < _UNLIMITED else None, min(answers * prompts, _MAX_ANSWERS)


def _asked_in(group: msgspec.Raw) -> tuple[int, int]:
    """The largest limit, 0 when there is none, and the most answers that a group of parameters tells."""
    limit, answers = 0, 1
    try:
        members = _members.decode(group)
    except msgspec.MsgspecError:
        return limit, answers
    for name, raw in members.items():
        if name in _LIMITS:
            limit = max(limit, _limit(raw))
        elif name in _ANSWERS:
            answers = max(answers, _number(bytes(raw)))
    return limit, answers


def _count_prompts(raw: msgspec.Raw) -> int:
    """How many are answered: each of a list, unless that is the token numbers of one."""
    return len(_items.decode(raw)) if _PROMPT_LIST.match(bytes(raw)) else 1


def _limit(raw: msgspec.Raw) -> int:
    text = bytes(raw)
    return _number(text) or (0 if text == b"null" else _UNLIMITED)


def _number(text: bytes) -> int:
    """A number of at most nine digits, else 0."""
    return int(text) if text.isdigit() and len(text) < _DIGITS else 0
