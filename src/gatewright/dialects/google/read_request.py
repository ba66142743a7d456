"""A client's generateContent request into the hub's (ai.google.dev/api/generate-content#request-body)."""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from gatewright.core.chat import Bound, ChatRequest, Extension, Message, Part, Role
from gatewright.core.fields import Fields
from gatewright.dialects.google.generation import read_generation
from gatewright.dialects.google.members import NAME, Members
from gatewright.dialects.google.read_parts import NULL, Place, read_part
from gatewright.dialects.google.read_plain import read_plain
from gatewright.dialects.google.thoughts import join_thoughts
from gatewright.dialects.google.tools import read_tool_config, read_tools
from gatewright.wire.json_object import render_json

_ROLES: Final[dict[str | None, Role]] = {None: "user", "": "user", "user": "user", "model": "assistant"}
_FUNCTION: Final = "function"
"""The role that answers of tools once had."""
_OWN: Final = Extension(NAME, {})
"""Says of a message that a client of this API made it, calls and all."""
_TIERS: Final = {"standard": "default", "flex": "flex", "priority": "priority"}


def decode_request(fields: Fields, model: str, stream: bool) -> ChatRequest:
    """The hub's request; see `ChatCodec.decode_request`."""
    body = Members(fields)
    place = Place()
    system = _system(body, place)
    messages = join_thoughts(_contents(body, place))
    tools = read_tools(body)
    choice, tool_config = read_tool_config(body)
    generation = read_generation(body)
    tier = _tier(body)
    body.drop("model")
    bound: tuple[Bound, ...] = ()
    if body.has("cachedContent"):
        bound = (Bound(dialect=NAME, path="cachedContent", advice="send the cached contents with the request"),)
    rest = body.rest(NAME)
    kept = dict(rest.members) if rest is not None else {}
    if generation.kept is not None:
        kept["generationConfig"] = generation.kept
    if tool_config is not None:
        kept["toolConfig"] = tool_config
    return ChatRequest(
        model=model,
        messages=(*system, *messages),
        tools=tools,
        tool_choice=choice,
        response_format=generation.response_format,
        reasoning=generation.reasoning,
        sampling=generation.sampling,
        max_output_tokens=generation.max_output_tokens,
        modalities=generation.modalities,
        service_tier=tier,
        stream=stream,
        bound=bound,
        extra=Extension(NAME, kept) if kept else None,
    )


def _system(body: Members, place: Place) -> tuple[Message, ...]:
    content = body.object("systemInstruction")
    if content is None:
        return ()
    role = content.raw("role")
    parts = _parts(content, place)
    rest = content.rest(NAME)
    kept = dict(rest.members) if rest is not None else {}
    if role is not None:
        # The server ignores it, whatever it says.
        kept["role"] = role
    return (Message(role="system", parts=parts, extra=Extension(NAME, kept)),)


def _contents(body: Members, place: Place) -> list[Message]:
    spelled = body.peek("contents")
    if spelled is None:
        raise body.error("contents", "is missing")
    if bytes(spelled)[:1] == b"{":
        body.drop("contents")
        return [_content(spelled, "contents", place)]
    return [_content(raw, f"contents[{index}]", place) for index, raw in enumerate(body.items("contents") or ())]


def _content(raw: Raw, path: str, place: Place) -> Message:
    place.content += 1
    plain = read_plain(raw, place)
    if plain is not None:
        return Message(role=_ROLES[plain[0]], parts=plain[1], extra=_OWN)
    content = Members.parse(raw, path)
    word = content.string("role")
    kept: dict[str, Raw] = {}
    if word == _FUNCTION:
        role: Role = "user"
        kept["role"] = render_json(word)
    elif word in _ROLES:
        role = _ROLES[word]
        if not word:
            kept["role"] = NULL
    else:
        raise content.error("role", "must be `user` or `model`")
    parts = _parts(content, place)
    rest = content.rest(NAME)
    if rest is not None:
        kept |= rest.members
    return Message(role=role, parts=parts, extra=Extension(NAME, kept) if kept else _OWN)


def _parts(content: Members, place: Place) -> tuple[Part, ...]:
    parts: list[Part] = []
    for index, (raw, part) in enumerate(content.many("parts") or ()):
        place.part = index
        parts.append(read_part(raw, part, place.call_id, place.result_id))
    return tuple(parts)


def _tier(body: Members) -> str | None:
    raw = body.peek("serviceTier")
    tier = None if raw is None else _TIERS.get(bytes(raw).strip(b'"').decode("utf-8", "replace"))
    if tier is not None:
        body.drop("serviceTier")
    return tier
