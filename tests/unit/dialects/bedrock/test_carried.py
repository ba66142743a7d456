"""Blobs of other vendors go through a client of Converse and come back where they belong."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from tests.unit.dialects.bedrock.exchanges import decoded

from gatewright.core.chat import Extension, Opaque, Part, Reasoning, Text, ToolCall
from gatewright.dialects.bedrock.carried import carry_as, read_redacted, redacted, uncarry_as, write_thoughts
from gatewright.dialects.bedrock.names import NAME
from gatewright.dialects.bedrock.read_blocks import OWN
from gatewright.dialects.bedrock.write_blocks import write_answer_blocks

GOOGLE, OPENAI, HERE = (
    Opaque("google.generate_content", "a:b@c/d="),
    Opaque("openai.responses", "gAAA=="),
    Opaque(NAME, "RXU4"),
)


def through_a_client(*parts: Part) -> tuple[Part, ...]:
    """The parts of an answer as the client sends them back."""
    content = [block for part in parts for block in write_answer_blocks(part, "x", lambda *_: None)]
    body: dict[str, Any] = {"messages": [{"role": "assistant", "content": json.loads(msgspec.json.encode(content))}]}
    for block in body["messages"][0]["content"]:
        if "redactedContent" in block.get("reasoningContent", {}):
            # SDKs decode the member and encode it again.
            base64.b64decode(block["reasoningContent"]["redactedContent"], validate=True)
    return tuple(
        msgspec.structs.replace(part, extra=None) if isinstance(part, Reasoning) else part
        for part in decoded(body).messages[0].parts
    )


@pytest.mark.parametrize(
    "parts",
    [
        (Reasoning(text="hm", signature=HERE),),
        (Reasoning(encrypted=HERE),),
        (Reasoning(text="hm"),),
        (Reasoning(text="hm", signature=GOOGLE, id="r-1"),),
        (Reasoning(signature=GOOGLE),),
        (Reasoning(text="sum", encrypted=OPENAI, id="rs_1", is_summary=True),),
        (Reasoning(text="all", encrypted=OPENAI, id="rs_1"),),
        (Reasoning(encrypted=OPENAI, id="rs_1"),),
        (Reasoning(encrypted=OPENAI, is_summary=True),),
        (Text(text="Hi", signature=GOOGLE),),
        (ToolCall(id="t1", name="f", arguments="{}", signature=GOOGLE), ToolCall(id="t2", name="f", arguments="{}")),
        (ToolCall(id="odd:id/1", name="f", arguments="{}", signature=GOOGLE), Text(text="Hi", signature=OPENAI)),
    ],
)
def test_parts_come_back(parts: tuple[Part, ...]) -> None:
    assert through_a_client(*parts) == parts


def test_a_call_is_found_by_its_id_where_a_client_moved_the_blocks() -> None:
    call = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}
    hidden = {"reasoningContent": {"redactedContent": redacted(GOOGLE, "call", "t1")}}
    lost = {"reasoningContent": {"redactedContent": redacted(GOOGLE, "text")}}
    content = [lost, hidden, {"text": "Hi"}, call]
    assert decoded({"messages": [{"role": "assistant", "content": content}]}).messages[0].parts == (
        Text(text="Hi"),
        ToolCall(id="t1", name="f", arguments="{}", signature=GOOGLE),
    )


@pytest.mark.parametrize("value", ["", "not base64!", "RXU4RUNr", "Z2F0ZXdyaWdodC4=", "Z2F0ZXdyaWdodC7/"])
def test_what_nobody_carried_is_the_api_s_own(value: str) -> None:
    assert read_redacted(value, OWN) == Reasoning(encrypted=Opaque(NAME, value), extra=OWN)


def test_own_blobs_are_not_marked() -> None:
    assert carry_as(HERE, "call", "t1") == HERE.value
    assert uncarry_as(HERE.value) == (HERE, "", None)
    assert redacted(HERE, "sealed") == HERE.value
    extra = Extension(NAME, {"new": msgspec.Raw(b"1")})
    both = Reasoning(text="hm", encrypted=HERE, extra=extra)
    assert [list(block["reasoningContent"]) for block in write_thoughts(both)] == [
        ["reasoningText"],
        ["redactedContent", "new"],
    ]
