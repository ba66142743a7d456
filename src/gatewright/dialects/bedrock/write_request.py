"""The hub's request → a Converse request (docs.aws.amazon.com/bedrock/latest/APIReference, API_runtime_Converse).

The conversation must begin with the user and roles must alternate; tools must be defined as soon as the history holds
a call; words must not be empty. What the API lacks (URLs, `none` as tool choice, JSON mode) is told to the report.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import ChatRequest, Message, Native, Part, Text
from gatewright.core.fields import Fields
from gatewright.core.loss import Feature, LossReport, tell_foreign
from gatewright.core.traits import Traits
from gatewright.dialects.bedrock.carried import Block
from gatewright.dialects.bedrock.media import own
from gatewright.dialects.bedrock.model_fields import maker_of, write_model_fields
from gatewright.dialects.bedrock.names import NAME, DocumentNames
from gatewright.dialects.bedrock.write_blocks import RequestWriter, cache_point
from gatewright.dialects.bedrock.write_parameters import write_inference, write_labels, write_output
from gatewright.dialects.bedrock.write_tools import write_tools

_fields: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)
_BEGIN: Final = "."
"""What the user is taken to have said when the conversation begins without."""


def encode_request(request: ChatRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """The members of the request's body; the model is named in the path. Tells the report of every loss."""
    is_claude = maker_of(request.model) == "anthropic"
    writer = RequestWriter(
        report=report,
        names=DocumentNames(),
        strict_ids=is_claude,
        needs_signature=is_claude,
        replays_reasoning=traits.replays_reasoning,
    )
    conversation = _Conversation(writer, traits, report)
    for index, message in enumerate(request.messages):
        conversation.add(message, f"messages[{index}]")
    conversation.finish(request)
    config = write_tools(request, traits, report)
    is_forced = not config.get("toolChoice", {}).keys().isdisjoint(("any", "tool"))
    model_fields = write_model_fields(request, traits, report, is_forced=is_forced)
    out: dict[str, Any] = {
        "messages": conversation.turns,
        "system": conversation.system,
        "inferenceConfig": write_inference(request, report, is_thinking=model_fields.is_claude_thinking),
        "toolConfig": config,
        "additionalModelRequestFields": model_fields.fields,
        "outputConfig": write_output(request, traits, model_fields.effort),
        **write_labels(request, report),
    }
    out = {name: value for name, value in out.items() if value}
    _add_extension(out, request, report)
    return out


class _Conversation:
    """The messages written so far."""

    def __init__(self, writer: RequestWriter, traits: Traits, report: LossReport) -> None:
        self.system: list[Any] = []
        self.turns: list[dict[str, Any]] = []
        self._writer = writer
        self._traits = traits
        self._report = report

    def add(self, message: Message, path: str) -> None:
        """Write the next message: to `system`, to the turn of its role that is open, or to a new turn."""
        if message.name is not None:
            self._report.dropped(Feature.MESSAGE_NAME, f"{path}.name", "Converse has no names of speakers")
        role = message.role
        if role in ("system", "developer"):
            if role == "developer":
                self._report.approximated(Feature.DEVELOPER, path, "sent as a system message")
            if "role" in own(message.extra) or (self.turns and self._traits.has_mid_system):
                role = "system"
            elif not self.turns:
                self.system += self._system_blocks(message, path)
                return
            else:
                self._report.approximated(Feature.MID_SYSTEM, path, "sent as words of the user")
                role = "user"
        blocks = self._writer.blocks(message.parts, path, message.role)
        if not blocks:
            return
        kept = {name: raw for name, raw in own(message.extra).items() if name != "role"}
        if self.turns and self.turns[-1]["role"] == role:
            self.turns[-1]["content"] += blocks
            self.turns[-1].update(kept)
            return
        if not self.turns and role == "assistant":
            self._report.approximated(Feature.PREFILL, path, "a word of the user is put before it")
            self.turns.append({"role": "user", "content": [{"text": _BEGIN}]})
        self.turns.append({"role": role, "content": blocks, **kept})

    def _system_blocks(self, message: Message, path: str) -> list[Block | Raw]:
        allowed: list[Part] = []
        for index, part in enumerate(message.parts):
            if isinstance(part, Text | Native) or "guardContent" in own(part.extra):
                allowed.append(part)
            else:
                kind = type(part).__name__.lower()
                self._report.refused(Feature.SYSTEM, f"{path}.parts[{index}]", f"a system prompt cannot hold {kind}")
        return self._writer.blocks(allowed, path)

    def finish(self, request: ChatRequest) -> None:
        """Let the user begin if nobody has spoken; mark the whole prompt for the cache, if that is wanted."""
        if self.system and not self.turns:
            self._report.approximated(Feature.SYSTEM, "messages", "a word of the user is put after the system prompt")
            self.turns.append({"role": "user", "content": [{"text": _BEGIN}]})
        if request.cache is not None and self.turns:
            content = self.turns[-1]["content"]
            if not isinstance(content[-1], dict) or "cachePoint" not in content[-1]:
                content.append(cache_point(request.cache))


def _add_extension(out: dict[str, Any], request: ChatRequest, report: LossReport) -> None:
    """Put back what a client of this dialect said beyond the hub; tell of what others said."""
    extra = request.extra
    if extra is None:
        return
    if extra.dialect != NAME:
        tell_foreign(extra, NAME, report)
        return
    for name, raw in extra.members.items():
        if name == "additionalModelRequestFields":
            continue  # written with what the hub knows of it
        known = out.get(name)
        if isinstance(known, dict):
            out[name] = {**_fields.decode(raw), **known}
        elif known is None:
            out[name] = raw
