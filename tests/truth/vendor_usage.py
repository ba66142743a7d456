"""What a recorded answer says it used, by each vendor's own counting rule, read with the standard library alone.

Written from the vendors' API references and shared with nothing that it checks. In the normal form the totals include
their parts: input what was read from or written to a cache, output what was thought.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.truth.recordings import Recording, data_of, in_pieces


class Used(NamedTuple):
    """Tokens of one answer in normal form."""

    input: int = 0
    cached: int = 0
    """Of the input, read from a cache."""
    written: int = 0
    """Of the input, written to a cache."""
    output: int = 0
    reasoning: int = 0
    """Of the output, spent on thinking."""


def used_by(recording: Recording) -> Used | None:
    """What the recorded answer reports; None when it reports nothing."""
    read = _READERS.get(recording.dialect)
    if read is None:
        return None
    if recording.text:
        return read(_told_by_stream(recording), recording.provider)
    return read(recording.answer or {}, recording.provider)


SERVICES = {
    "default": "prices",
    "standard": "prices",
    "on_demand": "prices",
    "batch": "batch",
    "flex": "flex",
    "on_demand_flex": "flex",
    "priority": "priority",
    "on_demand_priority": "priority",
}
"""The vendors' words for a service, and its price list in the catalogue; `auto` names none."""


def service_of(recording: Recording) -> str | None:
    """The price list of the service by which the answer says it was given; None when it says nothing."""
    told = _told_by_stream(recording) if recording.text else recording.answer or {}
    tier = told.get("serviceTier") or told.get("service_tier")
    for name in ("usage", "usageMetadata"):
        usage = told.get(name) or {}
        tier = tier or usage.get("service_tier") or usage.get("serviceTier") or usage.get("trafficType")
    return service_list(tier)


def service_list(tier: Any) -> str | None:
    """The price list that a vendor's word names, or an object of Bedrock's whose `type` is the word."""
    word = tier.get("type") if isinstance(tier, dict) else tier
    return SERVICES.get(word.lower()) if isinstance(word, str) else None


def is_sound(recording: Recording) -> bool:
    """Whether it is one answer: some streams lost a quote when they were cleaned, others were put together of several,
    and what the last of those reports is not what all of them used."""
    if not recording.text:
        return recording.answer is not None
    try:
        events = list(_events(recording))
    except ValueError:
        return False
    return sum(event.get("type") in ("message_start", "response.created") for event in events) <= 1


def has_failed(recording: Recording) -> bool:
    """Whether an answer that began well holds an error."""
    documents = _events(recording) if recording.text else [recording.answer or {}]
    return any(_is_failure(document) for document in documents)


def _is_failure(document: dict[str, Any]) -> bool:
    inner = document.get("response") or {}
    return bool(document.get("error") or inner.get("error") or document.get("type") == "error")


TEXTS = frozenset(("delta", "text", "thinking", "content", "tool_plan", "response"))
"""Members that hold words of the model where they are strings, in one dialect or another."""
ARGUMENTS = frozenset(("arguments", "partial_json", "input", "stringValue"))
"""The same of tool calls; some dialects have no word for them before they are whole."""


def words_in(recording: Recording, count: int, *, arguments: bool) -> bool:
    """Whether the first so many pieces of a stream say something."""
    names = TEXTS | ARGUMENTS if arguments else TEXTS
    return any(_says(event, names) for event in _events(recording, pieces_of(recording)[:count]))


def _says(value: Any, names: frozenset[str]) -> bool:
    if isinstance(value, list):
        return any(_says(inner, names) for inner in value)
    if not isinstance(value, dict):
        return False
    if str(value.get("type")).endswith("arguments.delta"):
        names = names - {"delta"} if not names & ARGUMENTS else names
    return any(
        (isinstance(inner, str) and inner and name in names) or _says(inner, names) for name, inner in value.items()
    )


def pieces_of(recording: Recording) -> list[bytes]:
    """A recorded stream event by event."""
    if recording.dialect == "bedrock.converse":
        return list(_frames(recording.text))
    if recording.dialect == "ollama.chat":
        return recording.text.splitlines(keepends=True)
    return list(in_pieces(recording.text))


def _frames(data: bytes) -> Iterator[bytes]:
    while data:
        (length,) = struct.unpack(">I", data[:4])
        yield data[:length]
        data = data[length:]


def _events(recording: Recording, pieces: list[bytes] | None = None) -> Iterator[Any]:
    """The JSON documents of a stream, or of some pieces of it, in order."""
    for piece in pieces_of(recording) if pieces is None else pieces:
        if recording.dialect == "bedrock.converse":
            (headers,) = struct.unpack(">I", piece[4:8])
            text = piece[12 + headers : -4].decode()
        else:
            text = piece.decode() if recording.dialect == "ollama.chat" else data_of(piece)
        if text.strip().startswith("{"):
            yield json.loads(text)


def _told_by_stream(recording: Recording) -> dict[str, Any]:
    """The members that report usage, put together as a complete answer has them: what is told later holds."""
    told: dict[str, Any] = {}
    for event in _events(recording):
        if recording.dialect == "anthropic.messages":
            # `message_start` has all members, `message_delta` those that have grown since, all cumulative.
            own = event.get("usage") or (event.get("message") or {}).get("usage") or {}
            told.setdefault("usage", {}).update({name: value for name, value in own.items() if value is not None})
        elif recording.dialect == "openai.responses":
            own = event.get("response") or {}
            told |= {name: own[name] for name in ("usage", "service_tier") if own.get(name)}
        elif recording.dialect == "cohere.chat":
            told |= {name: value for name, value in (event.get("delta") or {}).items() if name == "usage"}
        elif recording.dialect == "google.generate_content":
            told |= {name: value for name, value in event.items() if name == "usageMetadata"}
        else:
            told |= {name: value for name, value in event.items() if value and name != "choices"}
    return told


def _n(container: Any, *names: str) -> int:
    """A count below some members; 0 where it is not told."""
    for name in names:
        container = (container or {}).get(name)
    return int(container or 0)


def _openai_chat(answer: dict[str, Any], provider: str) -> Used | None:
    """`prompt_tokens` includes what was cached, `completion_tokens` what was thought; xAI leaves the latter out.

    `x_groq.usage` is not read: Groq tells it to those who did not ask for a stream's usage, and the gateway asks.
    """
    usage = answer.get("usage")
    if not usage:
        return None
    reasoning = _n(usage, "completion_tokens_details", "reasoning_tokens")
    output = _n(usage, "completion_tokens")
    if provider == "xai":
        output += reasoning
    # Three hosts have names of their own for it: DeepSeek, Mistral, and one behind Hugging Face.
    cached = (
        _n(usage, "prompt_tokens_details", "cached_tokens")
        or _n(usage, "prompt_cache_hit_tokens")
        or _n(usage, "num_cached_tokens")
        or _n(usage, "cached_tokens")
    )
    written = _n(usage, "prompt_tokens_details", "cache_write_tokens")
    return Used(_n(usage, "prompt_tokens"), cached, written, output, reasoning)


def _openai_responses(answer: dict[str, Any], _: str) -> Used | None:
    usage = answer.get("usage")
    if not usage:
        return None
    return Used(
        _n(usage, "input_tokens"),
        _n(usage, "input_tokens_details", "cached_tokens"),
        _n(usage, "input_tokens_details", "cache_write_tokens"),
        _n(usage, "output_tokens"),
        _n(usage, "output_tokens_details", "reasoning_tokens"),
    )


def _openai_embeddings(answer: dict[str, Any], _: str) -> Used | None:
    """Voyage tells `total_tokens` alone; embeddings have no output."""
    usage = answer.get("usage")
    return Used(_n(usage, "prompt_tokens") or _n(usage, "total_tokens")) if usage else None


def _anthropic(answer: dict[str, Any], _: str) -> Used | None:
    """`input_tokens` leaves out what was read from the cache and what was written to it."""
    usage = answer.get("usage")
    if not usage:
        return None
    cached, written = _n(usage, "cache_read_input_tokens"), _n(usage, "cache_creation_input_tokens")
    thought = _n(usage, "output_tokens_details", "thinking_tokens")
    return Used(_n(usage, "input_tokens") + cached + written, cached, written, _n(usage, "output_tokens"), thought)


def _google(answer: dict[str, Any], _: str) -> Used | None:
    """Prompts of tools come on top of the prompt, thoughts on top of the candidates."""
    usage = answer.get("usageMetadata")
    if not usage or "promptTokenCount" not in usage:
        return None
    prompt = _n(usage, "promptTokenCount") + _n(usage, "toolUsePromptTokenCount")
    thoughts = _n(usage, "thoughtsTokenCount")
    cached = _n(usage, "cachedContentTokenCount")
    return Used(prompt, cached, 0, _n(usage, "candidatesTokenCount") + thoughts, thoughts)


def _bedrock(answer: dict[str, Any], _: str) -> Used | None:
    """`inputTokens` leaves out what was read from the cache and what was written to it."""
    usage = answer.get("usage")
    if not usage:
        return None
    cached, written = _n(usage, "cacheReadInputTokens"), _n(usage, "cacheWriteInputTokens")
    return Used(_n(usage, "inputTokens") + cached + written, cached, written, _n(usage, "outputTokens"))


def _cohere_chat(answer: dict[str, Any], _: str) -> Used | None:
    """What the model read and wrote, the vendor's own prompts included; `billed_units` leaves those out."""
    usage = answer.get("usage")
    if not usage:
        return None
    return Used(
        _n(usage, "tokens", "input_tokens"),
        _n(usage, "cached_tokens"),
        output=_n(usage, "tokens", "output_tokens"),
    )


def _cohere_embed(answer: dict[str, Any], _: str) -> Used | None:
    units = (answer.get("meta") or {}).get("billed_units")
    return Used(_n(units, "input_tokens") + _n(units, "image_tokens")) if units else None


def _ollama(answer: dict[str, Any], _: str) -> Used | None:
    """A prompt that was kept from the call before is not counted, and then the member is left out."""
    if "eval_count" not in answer and "prompt_eval_count" not in answer:
        return None
    return Used(_n(answer, "prompt_eval_count"), output=_n(answer, "eval_count"))


_READERS: dict[str, Callable[[dict[str, Any], str], Used | None]] = {
    "openai.chat": _openai_chat,
    "openai.completions": _openai_chat,
    "openai.responses": _openai_responses,
    "openai.embeddings": _openai_embeddings,
    "anthropic.messages": _anthropic,
    "google.generate_content": _google,
    "google.batch_embed_contents": _google,
    "bedrock.converse": _bedrock,
    "cohere.chat": _cohere_chat,
    "cohere.embed": _cohere_embed,
    "ollama.chat": _ollama,
}
DIALECTS = tuple(_READERS)
"""Those whose answers report usage."""
