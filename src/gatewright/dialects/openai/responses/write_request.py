"""Writes a request of the Responses API (platform.openai.com/docs/api-reference/responses/create).

The gateway keeps no conversations, so requests that were made in another dialect are sent with `store: false`, and
encrypted thoughts are asked for when the model is told to think, so that a client can send them back.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw

from gatewright.core.chat import ChatRequest, Message, Native, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from gatewright.core.loss import Feature, LossReport, tell_choice, tell_foreign, tell_native
from gatewright.core.traits import Traits
from gatewright.dialects.openai.responses.names import NAME, is_own, own, string_value
from gatewright.dialects.openai.responses.options import (
    write_format,
    write_reasoning_config,
    write_tool_choice,
    write_tools,
)
from gatewright.dialects.openai.responses.read_request import ENCRYPTED_REASONING, LOGPROBS
from gatewright.dialects.openai.responses.write_content import write_contents
from gatewright.dialects.openai.responses.write_items import (
    group_items,
    request_message,
    write_call,
    write_call_id,
    write_reasoning,
)
from gatewright.wire.json_object import JsonObject

_NO_PENALTIES: Final = "the API has no penalties"


def encode_request(request: ChatRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """The members of an upstream's request body. Tells the report whatever is not carried over exactly."""
    is_ours = is_own(request.extra)
    members: dict[str, Any] = {"model": request.model, **_write_input(request, traits, report)}
    if request.tools:
        members["tools"] = write_tools(request.tools, report, is_ours=is_ours)
    if request.tool_choice is not None and (request.tools or is_ours):
        members["tool_choice"] = write_tool_choice(request.tool_choice, request.tools)
    else:
        tell_choice(request, report)
    _write_plain(request, members, is_ours=is_ours)
    _write_sampling(request, members, report)
    _write_text(request, traits, members, report)
    reasoning = None if request.reasoning is None else write_reasoning_config(request.reasoning, report)
    if reasoning is not None:
        members["reasoning"] = reasoning
    _write_include(request, members, is_ours=is_ours)
    if request.stream:
        members["stream"] = True
    _write_extra(request, members, report)
    return members


def _write_plain(request: ChatRequest, members: dict[str, Any], *, is_ours: bool) -> None:
    """Members that are the same on both sides."""
    has_calls = bool(request.tools) or is_ours
    plain: dict[str, Any] = {
        "parallel_tool_calls": request.parallel_tool_calls if has_calls else None,
        "max_output_tokens": request.max_output_tokens,
        "metadata": request.metadata,
        "service_tier": request.service_tier,
        "store": False if request.store is None and not is_ours else request.store,
        "prompt_cache_key": request.cache_key,
        "user": request.user,
    }
    members.update((name, value) for name, value in plain.items() if value is not None)


def _write_extra(request: ChatRequest, members: dict[str, Any], report: LossReport) -> None:
    extra = request.extra
    if extra is None:
        return
    if extra.dialect != NAME:
        tell_foreign(extra, NAME, report)
        return
    rest: dict[str, Any] = dict(extra.members)
    if request.user is not None and request.user == string_value(extra.members.get("safety_identifier")):
        del members["user"]
    if "text" in rest:
        rest["text"] = {**members.get("text", {}), **_members(rest["text"])}
    if "include" in rest:
        rest["include"] = [*members.get("include", ()), *JsonObject(rest).strings("include")]  # type: ignore[misc]
    members.update(rest)


def _members(raw: Raw) -> dict[str, Raw]:
    rest = JsonObject.parse(raw).rest(NAME)
    return {} if rest is None else rest.members


def _write_sampling(request: ChatRequest, members: dict[str, Any], report: LossReport) -> None:
    sampling = request.sampling
    for name in ("temperature", "top_p", "top_logprobs"):
        value = getattr(sampling, name)
        if value is not None:
            members[name] = value
    if sampling.stop:
        report.refused(Feature.STOP, "sampling.stop", "the API has no stop sequences; cut the answer on receipt")
    if sampling.n is not None and sampling.n > 1:
        report.refused(Feature.N, "sampling.n", "the API gives one answer at a time")
    if any(modality != "text" for modality in request.modalities):
        report.refused(Feature.MODALITIES, "modalities", "the API answers with text only")
    for feature, path, hint, note in (
        (Feature.LOGIT_BIAS, "sampling.logit_bias", sampling.logit_bias, "the API cannot weigh single tokens"),
        (Feature.TOP_K, "sampling.top_k", sampling.top_k, "the API has temperature and top_p only"),
        (Feature.SEED, "sampling.seed", sampling.seed, "the API has no seed"),
        (Feature.PENALTIES, "sampling.frequency_penalty", sampling.frequency_penalty or None, _NO_PENALTIES),
        (Feature.PENALTIES, "sampling.presence_penalty", sampling.presence_penalty or None, _NO_PENALTIES),
        (Feature.CACHE_MARK, "cache", request.cache, "the provider finds the prompts to cache by itself"),
    ):
        if hint is not None:
            report.dropped(feature, path, note)


def _write_text(request: ChatRequest, traits: Traits, members: dict[str, Any], report: LossReport) -> None:
    text: dict[str, Any] = {}
    if request.response_format is not None:
        text["format"] = write_format(request.response_format, traits, report)
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    if text:
        members["text"] = text


def _write_include(request: ChatRequest, members: dict[str, Any], *, is_ours: bool) -> None:
    wants_encrypted = request.wants_encrypted_reasoning
    if wants_encrypted is None and not is_ours:
        # Models that do not think refuse the wish, so it is made only where the request speaks of thinking.
        thinks = members.get("reasoning", {}).get("effort", "none") != "none"
        wants_encrypted = thinks or any(item.get("type") == "reasoning" for item in _items(members)) or None
    include = [ENCRYPTED_REASONING] if wants_encrypted else []
    if request.sampling.logprobs or (request.sampling.top_logprobs and not is_ours):
        include.append(LOGPROBS)
    if include or wants_encrypted is False:
        members["include"] = include


def _items(members: dict[str, Any]) -> list[dict[str, Any]]:
    items = members["input"]
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _write_input(request: ChatRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """`input` and, when the client sent it so, `instructions`."""
    members: dict[str, Any] = {}
    items: list[Any] = []
    for index, message in enumerate(request.messages):
        marks = own(message.extra)
        if "instructions" in marks:
            members["instructions"] = "".join(part.text for part in message.parts if isinstance(part, Text))
        elif message.role == "assistant":
            _write_turn(message, f"messages[{index}]", traits, report, items)
        else:
            _write_message(message, f"messages[{index}]", traits, report, items)
    last = request.messages[-1] if request.messages else None
    if not is_own(request.extra) and last is not None and last.role == "assistant" and _is_text(last):
        report.approximated(Feature.PREFILL, f"messages[{len(request.messages) - 1}]", "it is answered, not continued")
    is_string = len(items) == 1 and any("input" in own(message.extra) for message in request.messages)
    if is_string and isinstance(items[0]["content"], str):
        members["input"] = items[0]["content"]
    else:
        members["input"] = items
    return members


def _is_text(message: Message) -> bool:
    return bool(message.parts) and isinstance(message.parts[-1], Text)


def _role(message: Message, traits: Traits) -> str:
    if message.role == "developer" and not traits.has_developer_role:
        return "system"
    if message.role == "system" and not traits.has_system_role:
        return "developer"
    return message.role


def _write_message(message: Message, path: str, traits: Traits, report: LossReport, items: list[Any]) -> None:
    """What the client said: results of tools are items of their own, the rest is a message."""
    if message.name is not None:
        report.dropped(Feature.MESSAGE_NAME, f"{path}.name", "the API has no names of speakers")
    said: list[Part] = []
    for index, part in enumerate(message.parts):
        if isinstance(part, ToolResult):
            items.append(_write_result(part, f"{path}.parts[{index}]", report))
        elif isinstance(part, Native) and part.dialect == NAME and is_own(message.extra):
            items.append(part.raw)
        else:
            said.append(part)
    if not said and message.parts:
        return
    marks = {name: value for name, value in own(message.extra).items() if name != "input"}
    content = write_contents(said, "input_text", f"{path}.parts", report)
    if len(content) == 1 and isinstance(content[0], dict) and content[0].keys() == {"type", "text"}:
        is_plain = content[0]["type"] == "input_text"
        content = content[0]["text"] if is_plain else content
    if content or not said:
        items.append({"role": _role(message, traits), "content": content, **marks})


def _write_result(part: ToolResult, path: str, report: LossReport) -> dict[str, Any]:
    if part.is_error:
        report.approximated(Feature.TOOL_RESULT_ERROR, path, "the API has no mark for failed calls; the text is sent")
    if part.cache is not None:
        report.dropped(Feature.CACHE_MARK, path, "the provider finds the prompts to cache by itself")
    output: Any = write_contents(part.content, "input_text", f"{path}.content", report)
    if not output:
        output = ""
    elif all(isinstance(text, dict) and text.keys() == {"type", "text"} for text in output) and len(output) == 1:
        output = output[0]["text"]
    marks: dict[str, Any] = dict(own(part.extra))
    if part.name is not None and is_own(part.extra):
        marks["name"] = part.name
    kind = "custom_tool_call_output" if part.is_custom else "function_call_output"
    return {"type": kind, "call_id": write_call_id(part.call_id), "output": output, **marks}


def _write_turn(message: Message, path: str, traits: Traits, report: LossReport, items: list[Any]) -> None:
    """What the model said, thought and called."""
    parts: list[Part] = []
    kept = _kept(message.parts, traits)
    for index, part in enumerate(message.parts):
        at = f"{path}.parts[{index}]"
        if not kept[index]:
            report.dropped(Feature.REASONING_REPLAY, at, "only the provider that issued these thoughts can use them")
        elif isinstance(part, Native) and part.dialect != NAME:
            tell_native(part, "assistant", at, report)
        elif isinstance(part, Text | Refusal | Reasoning | ToolCall | Native):
            parts.append(part)
            _tell_part(part, at, report)
        else:
            report.dropped(Feature.MEDIA_OUTPUT, at, "the API has no place for media in an assistant's turn")
    for group in group_items(parts, joins_reasoning=True):
        match group[0]:
            case Text() | Refusal():
                items.append(request_message(group))
            case Reasoning():
                items.append(write_reasoning(group))
            case ToolCall():
                items.append(write_call(group[0]))
            case Native(raw=raw):
                items.append(raw)


def _tell_part(part: Part, path: str, report: LossReport) -> None:
    if isinstance(part, Text | ToolCall):
        if part.signature is not None:
            report.dropped(Feature.REASONING_REPLAY, path, "its signature means something to its issuer only")
        if part.cache is not None:
            report.dropped(Feature.CACHE_MARK, path, "the provider finds the prompts to cache by itself")


def _kept(parts: tuple[Part, ...], traits: Traits) -> list[bool]:
    """Which thoughts that are sent back can be used: issued by this dialect's providers, or known to them by id.

    The blob of an item stands in its last part, so the parts are judged from the end.
    """
    kept = [True] * len(parts)
    following = False
    """Whether the part behind holds the blob, or is kept by it."""
    for index in range(len(parts) - 1, -1, -1):
        part = parts[index]
        if not isinstance(part, Reasoning):
            following = False
            continue
        marks = own(part.extra)
        blob = part.encrypted or part.signature
        if blob is not None:
            following = kept[index] = blob.dialect == NAME
        elif "open" in marks:
            kept[index] = following
        elif marks:
            following = kept[index] = True
        else:
            kept[index] = following or traits.replays_reasoning
    return kept
