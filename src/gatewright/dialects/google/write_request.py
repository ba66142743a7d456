"""The hub's request as a generateContent request (ai.google.dev/api/generate-content#request-body).

- All system text goes into `systemInstruction`, as there is no other place for it.
- A content is one turn: consecutive messages of other dialects become one, since all results of parallel calls must
  stand in the content that follows the calls. Contents of a client of this API stay as they were.
- A step that begins with a call which Gemini did not sign, in a history from elsewhere, gets Google's documented
  stand-in for the signature on that call. Unsigned calls of a client of this API stay unsigned: whether they need a
  signature, it knows itself.
- Ids that the gateway made up are not written; results are then in the order of their calls.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import msgspec
from msgspec import Struct

from gatewright.core.chat import ChatRequest, Message, Part, Reasoning, Text, ToolCall, ToolResult
from gatewright.core.loss import Feature, LossReport, tell_foreign
from gatewright.core.traits import Traits
from gatewright.dialects.google.generation import write_generation
from gatewright.dialects.google.members import NAME, own_members
from gatewright.dialects.google.read_parts import NULL
from gatewright.dialects.google.signatures import SKIP
from gatewright.dialects.google.tools import write_tool_config, write_tools
from gatewright.dialects.google.write_parts import PartWriter

_TIERS: Final = {"default": "standard", "flex": "flex", "priority": "priority"}


def encode_request(request: ChatRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """The members of an upstream's request; see `ChatCodec.encode_request`."""
    kept = own_members(request.extra, NAME)
    tell_foreign(request.extra, NAME, report)
    writer = PartWriter(request.messages, report, request.model)
    written: dict[str, Any] = {}
    system = _write_system(request.messages, writer, report)
    if system is not None:
        written["systemInstruction"] = system
    written["contents"] = _write_contents(request.messages, writer, report)
    tools = write_tools(request.tools, report)
    if tools:
        written["tools"] = tools
    tool_config = write_tool_config(
        request.tool_choice if tools or not request.tools else None,
        parallel=request.parallel_tool_calls,
        kept=kept.pop("toolConfig", None),
        report=report,
    )
    if tool_config is not None:
        written["toolConfig"] = tool_config
    generation = write_generation(request, kept.pop("generationConfig", None), traits, report)
    if generation is not None:
        written["generationConfig"] = generation
    _write_rest(request, written, writer, report)
    return _as_host_wants(written | kept, traits, report)


def _write_rest(request: ChatRequest, written: dict[str, Any], writer: PartWriter, report: LossReport) -> None:
    if request.service_tier is not None and request.service_tier != "auto":
        tier = _TIERS.get(request.service_tier)
        if tier is None:
            report.dropped(Feature.SERVICE_TIER, "service_tier", "Gemini has `standard`, `flex` and `priority`")
        else:
            written["serviceTier"] = tier
    if request.cache is not None:
        writer.tell_mark(request.cache, "cache")
    for value, feature, path in (
        (request.verbosity, Feature.VERBOSITY, "verbosity"),
        (request.user, Feature.USER, "user"),
        (request.metadata, Feature.METADATA, "metadata"),
        (request.store, Feature.STORE, "store"),
        (request.cache_key, Feature.CACHE_KEY, "cache_key"),
    ):
        # Nothing is stored, so a wish not to is granted.
        if value is not None and value is not False:
            report.dropped(feature, path, "Gemini has no such member")


def _as_host_wants(written: dict[str, Any], traits: Traits, report: LossReport) -> dict[str, Any]:
    for name in traits.unsupported & written.keys():
        report.dropped(Feature.VENDOR, name, "the provider refuses requests that hold it")
        del written[name]
    for name, other in traits.renames.items():
        if name in written:
            written[other] = written.pop(name)
    return written


def _write_system(messages: tuple[Message, ...], writer: PartWriter, report: LossReport) -> dict[str, Any] | None:
    written: dict[str, Any] | None = None
    is_leading = True
    for index, message in enumerate(messages):
        if message.role not in ("system", "developer"):
            is_leading = False
            continue
        path = f"messages[{index}]"
        _tell_name(message, path, report)
        if message.role == "developer":
            report.approximated(Feature.DEVELOPER, path, "sent as a system message")
        if not is_leading:
            report.approximated(Feature.MID_SYSTEM, path, "moved to the system instruction, before the conversation")
        if written is None:
            written = {"parts": []}
        written["parts"] += _write_parts(_said(message, path), writer)
        written |= own_members(message.extra, NAME)
    return written if written is None or written["parts"] or len(written) > 1 else None


def _tell_name(message: Message, path: str, report: LossReport) -> None:
    if message.name is not None:
        report.dropped(Feature.MESSAGE_NAME, f"{path}.name", "Gemini has no names of speakers")


class _Turn(Struct):
    """One content to be written."""

    role: str
    parts: list[tuple[Part, str]]
    """Each with its path in the hub's request."""
    is_own: bool
    """Whether a client of this API wrote it as it is."""
    holds_results: bool
    extra: dict[str, Any]


def _write_contents(messages: tuple[Message, ...], writer: PartWriter, report: LossReport) -> list[dict[str, Any]]:
    calls: dict[str, int] = {}
    contents = []
    for turn in _turns(messages, report):
        if not turn.is_own:
            turn.parts = _in_order(turn.parts, calls) if turn.role == "user" else _signed_calls(turn.parts)
        calls = {part.id: number for number, (part, _) in enumerate(turn.parts) if isinstance(part, ToolCall)}
        writer.is_own = turn.is_own
        writer.role = "assistant" if turn.role == "model" else "user"
        parts = _write_parts(turn.parts, writer)
        if not parts and not turn.is_own:
            continue
        if not turn.is_own and turn.role == "model":
            _sign_first_call(parts)
            _tell_prefill(turn, messages, report)
        contents.append({"parts": parts, "role": turn.role} | turn.extra)
    return contents


def _turns(messages: tuple[Message, ...], report: LossReport) -> list[_Turn]:
    turns: list[_Turn] = []
    for index, message in enumerate(messages):
        if message.role in ("system", "developer"):
            continue
        path = f"messages[{index}]"
        _tell_name(message, path, report)
        role = "model" if message.role == "assistant" else "user"
        is_own = _is_own(message)
        parts = _said(message, path)
        if not parts and not is_own:
            continue
        holds_results = bool(parts) and all(isinstance(part, ToolResult) for part, _ in parts)
        last = turns[-1] if turns else None
        if (
            last is not None
            and not is_own
            and not last.is_own
            and (last.role, last.holds_results)
            == (
                role,
                holds_results,
            )
        ):
            last.parts += parts
        else:
            turns.append(_Turn(role, parts, is_own, holds_results, own_members(message.extra, NAME)))
            if turns[-1].extra.get("role") == NULL:
                del turns[-1].extra["role"]  # a role left out means the user
    return turns


def _tell_prefill(turn: _Turn, messages: tuple[Message, ...], report: LossReport) -> None:
    last = messages[-1]
    if last.role != "assistant" or not isinstance(turn.parts[-1][0], Text) or turn.parts[-1][0] is not last.parts[-1]:
        return
    report.approximated(Feature.PREFILL, turn.parts[-1][1], "Gemini may begin anew instead of continuing it")


def _is_own(message: Message) -> bool:
    return message.extra is not None and message.extra.dialect == NAME


def _said(message: Message, path: str) -> list[tuple[Part, str]]:
    """The parts of a message with their paths, without texts of nothing.

    Gemini refuses those, and other APIs write them beside tool calls; a client of this API knows what it does.
    """
    is_own = _is_own(message)
    return [
        (part, f"{path}.parts[{number}]")
        for number, part in enumerate(message.parts)
        if is_own or not isinstance(part, Text) or part.text or part.signature is not None
    ]


def _write_parts(parts: list[tuple[Part, str]], writer: PartWriter) -> list[dict[str, Any]]:
    written = [writer.write(part, path) for part, path in parts]
    return [part for part in written if part is not None] + writer.take_beside()


def _in_order(parts: list[tuple[Part, str]], calls: dict[str, int]) -> list[tuple[Part, str]]:
    """The results among `parts` in the order of the calls before them, in the places that results have."""
    results = [each for each in parts if isinstance(each[0], ToolResult)]
    if len(results) < 2:
        return parts
    results.sort(key=lambda each: calls.get(getattr(each[0], "call_id", ""), len(calls)))
    ordered = iter(results)
    return [next(ordered) if isinstance(each[0], ToolResult) else each for each in parts]


def _signed_calls(parts: list[tuple[Part, str]]) -> list[tuple[Part, str]]:
    """Gemini signs calls, not thoughts: a signature that came back on the thought before a call is the call's."""
    found = list(parts)
    for index, ((part, path), (following, where)) in enumerate(pairwise(parts)):
        if not isinstance(part, Reasoning) or not isinstance(following, ToolCall) or following.signature is not None:
            continue
        if part.signature is not None and part.signature.dialect == NAME:
            found[index] = msgspec.structs.replace(part, signature=None), path
            found[index + 1] = msgspec.structs.replace(following, signature=part.signature), where
    return found


def _sign_first_call(parts: list[dict[str, Any]]) -> None:
    for part in parts:
        if "functionCall" in part:
            part.setdefault("thoughtSignature", SKIP)
            return
