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
_MEDIUM_TOKENS: Final = 1_600
"""What an image costs at most with the usual settings (Anthropic: width x height / 750, at most 1,568)."""
IMAGE_TOKENS: Final = 1_600
"""Output tokens reserved for an image that is made (OpenAI: 1,056 to 1,584 for one of medium quality)."""
_LARGE_BODY: Final = 16_384
_BLOB_BYTES: Final = 2_048
_BLOB_END: Final = re.compile(rb"[A-Za-z0-9+/=_-]{256}\Z")
"""A text that ends like this is base64: an image, a document or a sound. Prose has spaces, code has punctuation."""
_DIGITS: Final = 10
_LIMITS: Final = frozenset(
    "max_tokens max_completion_tokens max_output_tokens maxOutputTokens maxTokens num_predict n_predict".split()
)
_ANSWERS: Final = frozenset(("n", "best_of", "candidateCount", "candidate_count"))
_GROUPS: Final = frozenset(("generationConfig", "generation_config", "inferenceConfig", "options"))
"""Members that hold such members in the dialects that group their parameters."""
_PROMPTS: Final = "prompt"
_PROMPT_LIST: Final = re.compile(rb'\[[ \t\r\n]*["\[]')
_MEMBERS: Final = frozenset((*_LIMITS, *_ANSWERS, *_GROUPS, _PROMPTS))
_UNLIMITED: Final = 1 << 62
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])


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
    limit, answers, prompts = 0, 1, 1
    for name in _MEMBERS.intersection(fields):
        raw = fields[name]
        if name in _LIMITS:
            limit = max(limit, _limit(raw))
        elif name in _ANSWERS:
            answers = max(answers, _number(raw))
        elif name == _PROMPTS:
            prompts = _count_prompts(raw)
        else:
            inner_limit, inner_answers = _asked_in(raw)
            limit, answers = max(limit, inner_limit), max(answers, inner_answers)
    return limit if 0 < limit < _UNLIMITED else None, answers * prompts


def _asked_in(group: msgspec.Raw) -> tuple[int, int]:
    """The largest limit, 0 when there is none, and the most answers that a group of parameters tells."""
    limit, answers = 0, 1
    try:
        members = _members.decode(group)
    except msgspec.MsgspecError:
        return limit, answers
    for name in _MEMBERS.intersection(members):
        if name in _LIMITS:
            limit = max(limit, _limit(members[name]))
        elif name in _ANSWERS:
            answers = max(answers, _number(members[name]))
    return limit, answers


def _count_prompts(raw: msgspec.Raw) -> int:
    """How many are answered: each of a list, unless that is the token numbers of one."""
    return len(_items.decode(raw)) if _PROMPT_LIST.match(bytes(raw)) else 1


def _limit(raw: msgspec.Raw) -> int:
    return 0 if bytes(raw) == b"null" else _number(raw) or _UNLIMITED


def _number(raw: msgspec.Raw) -> int:
    """A number of at most nine digits, else 0."""
    text = bytes(raw)
    return int(text) if text.isdigit() and len(text) < _DIGITS else 0
