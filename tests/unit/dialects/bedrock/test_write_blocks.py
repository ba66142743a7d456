"""Parts become blocks, in requests and in answers, and what cannot is told."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from tests.unit.dialects.bedrock.exchanges import CLAUDE, asked, encoded, losses

from gatewright.core.chat import (
    Audio,
    CacheMark,
    Citation,
    Extension,
    File,
    Image,
    Message,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Source,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Video,
)
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.traits import Traits
from gatewright.dialects.bedrock.names import NAME
from gatewright.dialects.bedrock.read_blocks import OWN
from gatewright.dialects.bedrock.write_blocks import write_answer_blocks


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


APPROXIMATED, DROPPED, REFUSED = Outcome.APPROXIMATED, Outcome.DROPPED, Outcome.REFUSED
PNG = Source(media_type="image/png", data="AAAA")
TOOLS = (Tool(name="f"),)


def written(*parts: Part, report: LossReport | None = None, model: str = CLAUDE, traits: Traits | None = None) -> Any:
    """The content of the user's message."""
    body = encoded(asked(*parts, model=model, tools=TOOLS), report, traits or Traits())
    return body["messages"][0]["content"] if "messages" in body else []


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (Text(text="Hi"), {"text": "Hi"}),
        (Image(source=PNG, detail="auto"), {"image": {"format": "png", "source": {"bytes": "AAAA"}}}),
        (
            Video(source=Source(media_type="video/mp4", url="s3://b/k")),
            {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://b/k"}}}},
        ),
        (
            Audio(source=Source(media_type="audio/wav", data="AAAA")),
            {"audio": {"format": "wav", "source": {"bytes": "AAAA"}}},
        ),
        (
            File(source=Source(media_type="application/pdf", data="AAAA", filename="bill_1.pdf"), is_cited=False),
            {
                "document": {
                    "format": "pdf",
                    "source": {"bytes": "AAAA"},
                    "name": "bill 1",
                    "citations": {"enabled": False},
                }
            },
        ),
        (
            ToolCall(id="t", name="f", arguments=' {"a": 1.0} '),
            {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1.0}}},
        ),
        (ToolCall(id="t", name="f", arguments=""), {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}),
        (
            ToolResult(call_id="t", content=(Text(text="ok"), Text(text=""), Image(source=PNG)), is_error=True),
            {
                "toolResult": {
                    "toolUseId": "t",
                    "content": [{"text": "ok"}, {"image": {"format": "png", "source": {"bytes": "AAAA"}}}],
                    "status": "error",
                }
            },
        ),
        (ToolResult(call_id="t"), {"toolResult": {"toolUseId": "t", "content": []}}),
        (
            Reasoning(text="hm", signature=Opaque(NAME, "s")),
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        ),
        (Reasoning(encrypted=Opaque(NAME, "AAAA")), {"reasoningContent": {"redactedContent": "AAAA"}}),
        (Native(dialect=NAME, kind="new", raw=msgspec.Raw(b'{"new": 1}')), {"new": 1}),
    ],
)
def test_parts(part: Part, block: dict[str, Any]) -> None:
    assert written(part) == [block]


@pytest.mark.parametrize(
    ("part", "block", "loss"),
    [
        (
            ToolCall(id="t", name="f", arguments="[1]"),
            {"toolUse": {"toolUseId": "t", "name": "f", "input": {"_raw": "[1]"}}},
            (Feature.TOOLS, APPROXIMATED),
        ),
        (
            ToolCall(id="t", name="f", arguments='{"a":'),
            {"toolUse": {"toolUseId": "t", "name": "f", "input": {"_raw": '{"a":'}}},
            (Feature.TOOLS, APPROXIMATED),
        ),
        (Image(source=Source(url="https://a/b.png")), None, (Feature.IMAGE_URL, REFUSED)),
        (Image(source=Source(media_type="image/tiff", data="AAAA")), None, (Feature.IMAGE_DATA, REFUSED)),
        (Image(source=Source(file_id="f", dialect="openai.responses")), None, (Feature.FILE_ID, REFUSED)),
        (
            Image(source=PNG, detail="high"),
            {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
            (Feature.IMAGE_DETAIL, DROPPED),
        ),
        (Video(source=Source(url="https://a/b.mp4")), None, (Feature.VIDEO, REFUSED)),
        (File(source=Source(url="https://a/b.pdf")), None, (Feature.DOCUMENT, REFUSED)),
        (File(source=Source(media_type="application/zip", data="AAAA")), None, (Feature.DOCUMENT, REFUSED)),
        (Audio(source=Source(media_type="audio/midi", data="AAAA")), None, (Feature.AUDIO, REFUSED)),
        (Audio(source=Source(), id="a1", transcript="hello"), {"text": "hello"}, (Feature.AUDIO, APPROXIMATED)),
        (Refusal(text="I cannot."), {"text": "I cannot."}, (Feature.REFUSAL, APPROXIMATED)),
        (
            Native(dialect="openai.responses", kind="web_search_call", raw=msgspec.Raw(b"{}")),
            None,
            (Feature.NATIVE_TOOLS, REFUSED),
        ),
        (
            Reasoning(text="hm", signature=Opaque("anthropic.messages", "s")),
            None,
            (Feature.REASONING_REPLAY, DROPPED),
        ),
        (Reasoning(encrypted=Opaque("openai.responses", "s")), None, (Feature.REASONING_REPLAY, DROPPED)),
        (Reasoning(text="hm"), None, (Feature.REASONING_REPLAY, DROPPED)),
        (
            Text(text="Hi", signature=Opaque("google.generate_content", "s")),
            {"text": "Hi"},
            (Feature.REASONING_REPLAY, DROPPED),
        ),
        (
            Text(text="5", citations=(Citation(url="https://a", title="t"),)),
            {"text": "5"},
            (Feature.CITATIONS, DROPPED),
        ),
        (
            ToolCall(id="t", name="f", arguments="free", is_custom=True),
            {"toolUse": {"toolUseId": "t", "name": "f", "input": {"input": "free"}}},
            (Feature.CUSTOM_TOOLS, APPROXIMATED),
        ),
    ],
)
def test_parts_that_are_not_carried_over_exactly(part: Part, block: Any, loss: tuple[Feature, Outcome]) -> None:
    report = LossReport("permissive")
    assert written(Text(text="a"), part, report=report) == [{"text": "a"}, *([block] if block else [])]
    assert losses(report) == [(*loss, "messages[0].parts[1]")]


def test_sound_in_a_result_is_refused() -> None:
    report = LossReport("permissive")
    sound = Audio(source=Source(media_type="audio/wav", data="AAAA"))
    assert written(ToolResult(call_id="t", content=(sound,)), report=report)[0]["toolResult"]["content"] == []
    assert losses(report) == [(Feature.TOOL_RESULT_MEDIA, REFUSED, "messages[0].parts[0].content[0]")]


def test_cache_marks_stand_behind_their_part() -> None:
    assert written(Text(text="a", cache=CacheMark()), ToolResult(call_id="t", cache=CacheMark("5m"))) == [
        {"text": "a"},
        {"cachePoint": {"type": "default"}},
        {"toolResult": {"toolUseId": "t", "content": []}},
        {"cachePoint": {"type": "default", "ttl": "5m"}},
    ]


def test_unsigned_thoughts_go_to_hosts_that_want_them() -> None:
    block = {"reasoningContent": {"reasoningText": {"text": "hm"}}}
    traits = Traits(replays_reasoning=True)
    assert written(Reasoning(text="hm"), model="openai.gpt-oss-20b-1:0", traits=traits) == [block]
    report = LossReport()
    assert written(Reasoning(text="hm"), report=report, traits=traits) == []
    assert [entry.feature for entry in report.entries] == [Feature.REASONING_REPLAY]


def test_ids_are_the_same_for_call_and_result() -> None:
    messages = (
        Message(role="user", parts=(Text(text="Hi"),)),
        Message(role="assistant", parts=(ToolCall(id="call|1", name="f", arguments="{}"),)),
        Message(role="user", parts=(ToolResult(call_id="call|1"),)),
    )
    turns = encoded(asked(messages=messages, tools=TOOLS))["messages"]
    called = turns[1]["content"][0]["toolUse"]["toolUseId"]
    assert called == turns[2]["content"][0]["toolResult"]["toolUseId"]
    assert called != "call|1"


@pytest.mark.parametrize(
    ("part", "blocks", "told"),
    [
        (Text(text="Hi"), [{"text": "Hi"}], []),
        (Text(text=""), [], []),
        (Text(text="", extra=OWN), [{"text": ""}], []),
        (
            Text(text="5", citations=(Citation(url="https://a", title="t", quote="q", start=1, end=2), Citation())),
            [
                {
                    "citationsContent": {
                        "content": [{"text": "5"}],
                        "citations": [
                            {"title": "t", "sourceContent": [{"text": "q"}], "location": {"web": {"url": "https://a"}}},
                            {},
                        ],
                    }
                }
            ],
            [],
        ),
        (
            ToolCall(id="call|1", name="a.b", arguments='{"a":1}'),
            [{"toolUse": {"toolUseId": "call|1", "name": "a.b", "input": {"a": 1}}}],
            [],
        ),
        (
            Reasoning(text="hm", signature=Opaque("google.generate_content", "s"), encrypted=Opaque(NAME, "AAAA")),
            [
                {
                    "reasoningContent": {
                        "reasoningText": {"text": "hm", "signature": "gatewright.google.generate_content:s"}
                    }
                },
                {"reasoningContent": {"redactedContent": "AAAA"}},
            ],
            [],
        ),
        (Image(source=PNG), [{"image": {"format": "png", "source": {"bytes": "AAAA"}}}], []),
        (Image(source=Source(url="https://a/b.png")), [], [Feature.MEDIA_OUTPUT]),
        (Audio(source=PNG, transcript="hello"), [{"text": "hello"}], [Feature.MEDIA_OUTPUT]),
        (Refusal(text="no"), [{"text": "no"}], [Feature.REFUSAL]),
        (Native(dialect=NAME, kind="new", raw=msgspec.Raw(b'{"new":1}')), [{"new": 1}], []),
        (Native(dialect="x", kind="search", raw=msgspec.Raw(b"{}")), [], [Feature.NATIVE_TOOLS]),
        (
            ToolCall(id="t", name="f", arguments="", signature=Opaque("google.generate_content", "s")),
            [
                {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}},
                {"reasoningContent": {"redactedContent": b64("gatewright.google.generate_content@call/t:s")}},
            ],
            [],
        ),
    ],
)
def test_parts_of_answers(part: Part, blocks: list[Any], told: list[Feature]) -> None:
    noted: list[Feature] = []
    out = write_answer_blocks(part, "x", lambda feature, path, what: noted.append(feature))
    assert json.loads(msgspec.json.encode(out)) == blocks
    assert noted == told


def test_extensions_of_others_are_not_written() -> None:
    foreign = Extension("openai.chat", {"index": msgspec.Raw(b"1")})
    assert written(Text(text="a", extra=foreign)) == [{"text": "a"}]
