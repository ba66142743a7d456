"""The hub's conversation → `system` and `messages` of a request.

Leading system messages become `system`. Later ones are `system` messages where the model understands them
(`Traits.has_mid_system`), else text of the user, marked as what it is. Consecutive messages of a role are one turn, and
tool results stand first in theirs: the API takes the results of a turn's calls in one message, before anything else.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct, field

from gatewright.core.chat import ChatRequest, Message, Native, Part, Text
from gatewright.core.loss import Feature, LossReport
from gatewright.core.traits import Traits
from gatewright.dialects.anthropic.cache_marks import SYSTEM, Marks
from gatewright.dialects.anthropic.vocabulary import own
from gatewright.dialects.anthropic.write_blocks import Block, BlockWriter

_SYSTEM_ROLES: Final = frozenset(("system", "developer"))


class Turn(Struct):
    """One message being written."""

    role: str
    blocks: list[Block] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def types(self) -> list[str]:
        return [block["type"] if isinstance(block, dict) else "" for block in self.blocks]


class Conversation(Struct):
    """What is written of a conversation."""

    system: list[dict[str, Any]]
    turns: list[Turn]

    def messages(self) -> list[dict[str, Any]]:
        """The `messages` member."""
        return [{"role": turn.role, "content": turn.blocks, **turn.extra} for turn in self.turns]

    def lacks_thinking(self) -> bool:
        """Whether the turn being continued called tools and does not begin with its thoughts."""
        if len(self.turns) < 2 or "tool_result" not in self.turns[-1].types():
            return False
        types = self.turns[-2].types()
        return "tool_use" in types and types[0] not in ("thinking", "redacted_thinking")


def write_conversation(request: ChatRequest, traits: Traits, report: LossReport, marks: Marks) -> Conversation:
    """Write all messages."""
    messages = request.messages
    count = next((i for i, message in enumerate(messages) if not _is_leading(message)), len(messages))
    if count == len(messages) and count:
        # A conversation of this API needs a turn of the user.
        count -= 1
        report.approximated(Feature.SYSTEM, f"messages[{count}]", "sent as the user's: nobody else speaks")
        messages = (*messages[:count], Message(role="user", parts=messages[count].parts))
    system = _system(messages[:count], report, marks)
    writer = BlockWriter(report, marks)
    turns: list[Turn] = []
    for index in range(count, len(messages)):
        turn = _turn(messages[index], f"messages[{index}]", traits, report, writer)
        if not turn.blocks:
            continue
        if turns and turns[-1].role == turn.role:
            turns[-1].blocks.extend(turn.blocks)
            turns[-1].extra.update(turn.extra)
        else:
            turns.append(turn)
    _results_next(turns)
    for turn in turns:
        _results_first(turn)
    return Conversation(system, turns)


def _is_leading(message: Message) -> bool:
    return message.role in _SYSTEM_ROLES and not any(isinstance(part, Native) for part in message.parts)


def _system(messages: tuple[Message, ...], report: LossReport, marks: Marks) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for index, message in enumerate(messages):
        _tell_name(message, f"messages[{index}]", report)
        _tell_developer(message, f"messages[{index}]", report)
        for number, part in enumerate(message.parts):
            path = f"messages[{index}].parts[{number}]"
            if not isinstance(part, Text):
                report.refused(Feature.SYSTEM, path, "system prompts hold text only")
            elif part.text:
                block: dict[str, Any] = {"type": "text", "text": part.text}
                marks.put(block, part.cache, path, SYSTEM)
                block.update(own(part.extra))
                blocks.append(block)
    return blocks


def _turn(message: Message, path: str, traits: Traits, report: LossReport, writer: BlockWriter) -> Turn:
    _tell_name(message, path, report)
    if message.role not in _SYSTEM_ROLES:
        return Turn(message.role, writer.write(message.parts, message.role, path), own(message.extra))
    _tell_developer(message, path, report)
    if traits.has_mid_system:
        return Turn("system", writer.write(message.parts, "system", path), own(message.extra))
    report.approximated(Feature.MID_SYSTEM, path, "sent as text of the user, between <system> tags")
    folded: list[Part] = []
    for part in message.parts:
        if isinstance(part, Native):
            report.dropped(Feature.MID_SYSTEM, path, f"`{part.kind}` stands only in system messages")
        else:
            folded.append(_tagged(part))
    return Turn("user", writer.write(tuple(folded), "user", path))


def _tagged(part: Part) -> Part:
    if isinstance(part, Text) and part.text:
        return Text(text=f"<system>\n{part.text}\n</system>", cache=part.cache)
    return part


def _tell_name(message: Message, path: str, report: LossReport) -> None:
    if message.name is not None:
        report.dropped(Feature.MESSAGE_NAME, f"{path}.name", "the API has no names of speakers")


def _tell_developer(message: Message, path: str, report: LossReport) -> None:
    if message.role == "developer":
        report.approximated(Feature.DEVELOPER, path, "sent as a system message")


def _results_next(turns: list[Turn]) -> None:
    """Let results follow their calls at once: a system message between them comes after."""
    for index in range(len(turns) - 2):
        calls, system, results = turns[index : index + 3]
        if system.role == "system" and "tool_use" in calls.types() and "tool_result" in results.types():
            turns[index + 1], turns[index + 2] = results, system


def _results_first(turn: Turn) -> None:
    types = turn.types()
    count = types.count("tool_result")
    if count and "tool_result" in types[count:]:
        turn.blocks.sort(key=lambda block: not isinstance(block, dict) or block["type"] != "tool_result")
