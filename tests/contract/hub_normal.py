"""Requests and answers of the hub in normal form: without what a wire may tell otherwise and mean the same.

Every freedom that a law of translation leaves to a dialect stands here, with its reason, and nowhere else: the steps
that hold for all dialects in `normal_request` and `normal_answer`, those of one dialect in `EQUIVALENCES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from gatewright.core.chat import ChatRequest
from gatewright.core.events import ChatResponse

Plain = dict[str, Any]
_JSON_TEXT = ("arguments", "parameters", "schema", "logit_bias", "raw")
"""Members that hold JSON: compared as values, for a wire that holds them as objects spells them anew."""


@dataclass(frozen=True)
class Equivalence:
    """Two requests that one dialect writes alike, because to its vendor they are the same."""

    name: str
    dialects: tuple[str, ...]
    reason: str
    apply: Callable[[Plain], None]
    """Changes a request in normal form so that both read alike."""


def normal_request(request: ChatRequest) -> Plain:
    """A request as plain values.

    - Extensions are left out: what only one dialect defines is compared by that dialect's own tests.
    - Messages in a row of one role are one, as the hub defines them (`chat.Message`), except when named.
    - Ids of tool calls are numbered: a dialect without ids makes them up, and what counts is that they link.
    - A dialect that gives tool results no name, or each one, tells the same: the link has it.
    - Empty texts beside other parts say nothing.
    - `stream` and `include_usage` are arguments of the call in some dialects.
    """
    plain: Plain = _plain(_values(request))
    for name in ("stream", "include_usage"):
        plain.pop(name, None)
    plain["messages"] = _numbered(_turns(plain["messages"]))
    return plain


def normal_answer(response: ChatResponse) -> Plain:
    """What an answer says, as plain values.

    - Ids, times and extensions are left out: dialects without them make them up.
    - Texts in a row are one, and so are thoughts: complete answers of some dialects hold one string.
    - Ids of tool calls are numbered, as in requests.
    - Whether thoughts are a summary is left out: where all or none are, no wire tells.
    - The vendor's own word for the finish is left out: it is not the other vendor's.
    """
    choices = []
    for choice in response.choices:
        parts = _plain(_values(choice.parts))
        finish = choice.finish
        choices.append(
            {
                "index": choice.index,
                "parts": _joined(_numbered([{"role": "assistant", "parts": parts}])[0].get("parts", [])),
                "finish": None if finish is None else finish.reason,
            }
        )
    return {"choices": choices, "usage": response.usage, "failure": response.failure}


def _values(value: object) -> Any:
    return json.loads(msgspec.json.encode(value))


def _plain(value: Any, name: str = "") -> Any:
    if name in _JSON_TEXT and isinstance(value, str):
        try:
            return json.loads(value or "{}")
        except ValueError:
            return value
    if isinstance(value, dict):
        members = {key: _plain(inner, key) for key, inner in value.items() if key not in ("extra", "usage_extra")}
        return {key: inner for key, inner in members.items() if inner not in (None, [], {}) or key in _JSON_TEXT}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _turns(messages: list[Plain]) -> list[Plain]:
    turns: list[Plain] = []
    for message in messages:
        parts = [part for part in message.get("parts", []) if part not in ({"type": "text", "text": ""},)]
        if not parts:
            continue
        if turns and turns[-1]["role"] == message["role"] and not {"name"} & (turns[-1].keys() | message.keys()):
            turns[-1]["parts"] += parts
        else:
            turns.append({**message, "parts": parts})
    return turns


def _numbered(messages: list[Plain]) -> list[Plain]:
    numbers: dict[str, str] = {}
    for part in parts_of(messages):
        for name in ("id", "call_id") if part["type"] in ("tool_call", "tool_result") else ():
            if name in part:
                part[name] = numbers.setdefault(part[name], f"call {len(numbers)}")
        if part["type"] == "tool_result":
            part.pop("name", None)
        elif part["type"] in ("reasoning", "audio"):
            part.pop("id", None)
    return messages


def _joined(parts: list[Plain]) -> list[Plain]:
    joined: list[Plain] = []
    for part in parts:
        part.pop("is_summary", None)
        last = joined[-1] if joined else {"type": ""}
        if part["type"] in ("text", "reasoning", "refusal") and last["type"] == part["type"]:
            last["text"] = last.get("text", "") + part.get("text", "")
            last.update({key: inner for key, inner in part.items() if key not in ("text", "type")})
        else:
            joined.append(part)
    return [part for part in joined if part not in ({"type": "text", "text": ""}, {"type": "reasoning", "text": ""})]


def parts_of(messages: list[Plain]) -> Iterator[Plain]:
    """Every part of some messages in normal form."""
    for message in messages:
        yield from message.get("parts", [])


def _unsay(*path: str) -> Callable[[Plain], None]:
    """Leaves out one member of the request."""

    def apply(plain: Plain) -> None:
        for name in path[:-1]:
            plain = plain.get(name, {})
        plain.pop(path[-1], None)

    return apply


def _each_part(kind: str, change: Callable[[Plain], None]) -> Callable[[Plain], None]:
    def apply(plain: Plain) -> None:
        for part in parts_of(plain["messages"]):
            if part["type"] == kind:
                change(part)

    return apply


def _say_not_stored(plain: Plain) -> None:
    plain.setdefault("store", False)


def _say_not_strict(plain: Plain) -> None:
    for tool in plain.get("tools", ()):
        if not tool.get("is_custom"):
            tool.setdefault("strict", False)


def _say_auto(plain: Plain) -> None:
    if plain.get("tools"):
        plain.setdefault("tool_choice", {"mode": "auto"})


def _no_tools_for_none(plain: Plain) -> None:
    if plain.get("tool_choice") == {"mode": "none"}:
        plain.pop("tools", None)
        del plain["tool_choice"]


def _name_is_title(part: Plain) -> None:
    name = part["source"].pop("filename", None)
    part.setdefault("title", name)
    part["title"] = (part["title"] or "").rpartition(".")[0] or part["title"]


def _no_name(part: Plain) -> None:
    part["source"].pop("filename", None)


def _guess_type(part: Plain) -> None:
    if part["source"].get("url", "").endswith(".png"):
        part["source"].setdefault("media_type", "image/png")


def _id_is_url(part: Plain) -> None:
    source = part["source"]
    if source.pop("dialect", None) is not None:
        source["url"] = source.pop("file_id")


def _unsigned(part: Plain) -> None:
    part.pop("signature", None)


def _no_skipping(part: Plain) -> None:
    if part.get("signature", {}).get("value") == "skip_thought_signature_validator":
        del part["signature"]


def _said_to_be_summary(part: Plain) -> None:
    part["is_summary"] = True


def _signature_apart(plain: Plain) -> None:
    for message in plain["messages"]:
        parts: list[Plain] = []
        for part in message["parts"]:
            signature = part.pop("signature", None) if part["type"] == "reasoning" else None
            parts.append(part)
            if signature is not None:
                parts.append(
                    {"type": "reasoning", "text": "", "is_summary": part["is_summary"], "encrypted": signature}
                )
        message["parts"] = parts


RESPONSES, MESSAGES, GEMINI = ("openai.responses",), ("anthropic.messages",), ("google.generate_content",)
CONVERSE, COHERE, OLLAMA = ("bedrock.converse",), ("cohere.chat",), ("ollama.chat",)
EQUIVALENCES = (
    Equivalence(
        "not stored",
        RESPONSES,
        "Responses are kept by default; the hub keeps nothing unless it is asked, so that is written out.",
        _say_not_stored,
    ),
    Equivalence(
        "not strict",
        RESPONSES,
        "Functions are strict by default there and not so elsewhere, so that is written out.",
        _say_not_strict,
    ),
    Equivalence(
        "encrypted reasoning",
        RESPONSES,
        "Who keeps nothing needs the encrypted form to continue, so it is asked for wherever there is reasoning.",
        _unsay("wants_encrypted_reasoning"),
    ),
    Equivalence(
        "signature apart",
        RESPONSES,
        "A reasoning item has one opaque string for its encrypted content and for a signature of its text.",
        _signature_apart,
    ),
    Equivalence(
        "auto",
        MESSAGES,
        "The switch for parallel calls is a member of the tool choice, whose default is `auto`.",
        _say_auto,
    ),
    Equivalence(
        "file name is title",
        MESSAGES + CONVERSE,
        "Documents have one name, shown to the model; Converse allows no dot in it.",
        _each_part("file", _name_is_title),
    ),
    Equivalence(
        "no file name",
        GEMINI,
        "Inline data has no name; one is for people.",
        _each_part("file", _no_name),
    ),
    Equivalence(
        "type told",
        GEMINI,
        "A file by URL must tell its media type, which its ending does.",
        _each_part("image", _guess_type),
    ),
    Equivalence(
        "file by URI",
        GEMINI,
        "Uploaded files are named by a URI, in the place of any other.",
        _each_part("file", _id_is_url),
    ),
    Equivalence(
        "no signature to check",
        GEMINI,
        "A call that another model made has no signature; the documented word says not to look for one.",
        _each_part("tool_call", _no_skipping),
    ),
    Equivalence(
        "thoughts are summaries",
        GEMINI,
        "All thoughts Gemini shows are summaries.",
        _each_part("reasoning", _said_to_be_summary),
    ),
    Equivalence(
        "a budget enables",
        GEMINI,
        "A thinking budget above zero is the switch.",
        _unsay("reasoning", "is_enabled"),
    ),
    Equivalence(
        "always to the letter",
        MESSAGES + GEMINI + CONVERSE + COHERE + OLLAMA,
        "Answers are always held to the schema: there is no switch for it.",
        _unsay("response_format", "strict"),
    ),
    Equivalence(
        "schema without name",
        MESSAGES + GEMINI + COHERE + OLLAMA,
        "Schemas have no name, which no model needs.",
        _unsay("response_format", "name"),
    ),
    Equivalence(
        "no tools for none",
        CONVERSE,
        "There is no tool choice `none`; without tools none can be called.",
        _no_tools_for_none,
    ),
    Equivalence(
        "unsigned",
        COHERE + OLLAMA,
        "Thoughts are sent back as plain text; the vendor issues no signatures.",
        _each_part("reasoning", _unsigned),
    ),
    Equivalence(
        "thoughts are shown",
        OLLAMA,
        "Thinking that is switched on is always shown.",
        _unsay("reasoning", "summary"),
    ),
)


def equivalent(plain: Plain, dialect: str, without: Equivalence | None = None) -> Plain:
    """A request in normal form, as this dialect's vendor tells requests apart."""
    plain = json.loads(json.dumps(plain))
    for each in EQUIVALENCES:
        if dialect in each.dialects and each is not without:
            each.apply(plain)
    return plain
