from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.chat import (
    ChatRequest,
    Extension,
    Image,
    Message,
    Native,
    Part,
    Reasoning,
    ReasoningConfig,
    ResponseFormat,
    Source,
    Text,
    Tool,
)
from gatewright.core.errors import GatewayError
from gatewright.core.loss import Feature, LossReport
from gatewright.core.traits import DEFAULT
from gatewright.dialects.openai.completions.request import decode_request, encode_request


def decode(stream: bool = False, **members: Any) -> ChatRequest:
    return decode_request(msgspec.json.decode(msgspec.json.encode(members), type=dict[str, msgspec.Raw]), "m", stream)


def encode(request: ChatRequest, report: LossReport | None = None) -> Any:
    return msgspec.json.decode(msgspec.json.encode(encode_request(request, DEFAULT, report or LossReport("strict"))))


@pytest.mark.parametrize(
    "members",
    [
        {"prompt": "a"},
        {"prompt": ["a"]},
        {"prompt": ["a", "b"]},
        {"prompt": [1, 2]},
        {"prompt": [[1], [2]]},
        {},
        {"prompt": "a", "suffix": "z", "echo": True, "best_of": 3, "max_tokens": 5, "logprobs": 0, "n": 2},
        {"prompt": "a", "logprobs": 4, "stop": ["x"], "temperature": 0.5, "user": "u", "min_p": 0.1},
    ],
)
def test_members_go_through_the_hub(members: dict[str, Any]) -> None:
    assert encode(decode(**members)) == {"model": "m", **members}


def test_a_prompt_is_a_message_of_the_user() -> None:
    assert decode(prompt="a").messages == (Message(role="user", parts=(Text(text="a"),)),)
    (part,) = decode(prompt=["a", "b"]).messages[0].parts
    assert isinstance(part, Native)


def test_streams_ask_for_usage() -> None:
    request = decode(stream=True, prompt="a", stream_options={"x": 1})
    assert not request.include_usage
    assert encode(request)["stream_options"] == {"x": 1, "include_usage": True}


def test_a_conversation_is_a_transcript() -> None:
    report = LossReport("warn")
    messages = (
        Message(role="system", parts=(Text(text="Be brief."),)),
        Message(role="user", parts=(Text(text="Hi"),)),
        Message(role="assistant", parts=(Reasoning(text="hm"), Text(text="Hello"))),
        Message(role="user", parts=(Text(text="Bye"),)),
    )
    body = encode(ChatRequest(model="m", messages=messages), report)
    assert body["prompt"] == "System: Be brief.\n\nUser: Hi\n\nAssistant: Hello\n\nUser: Bye\n\nAssistant:"
    assert [loss.feature for loss in report.entries] == [Feature.SYSTEM, Feature.REASONING_REPLAY]


@pytest.mark.parametrize(
    ("members", "feature"),
    [
        ({"tools": (Tool(name="f"),)}, Feature.TOOLS),
        ({"response_format": ResponseFormat(kind="json")}, Feature.JSON_MODE),
        ({"response_format": ResponseFormat(kind="json_schema")}, Feature.JSON_SCHEMA),
        ({"modalities": ("text", "audio")}, Feature.MODALITIES),
        ({"reasoning": ReasoningConfig(effort="low")}, Feature.REASONING_EFFORT),
        ({"metadata": {}}, Feature.METADATA),
        ({"extra": Extension("another", {"x": msgspec.Raw(b"1")})}, Feature.VENDOR),
    ],
)
def test_what_only_chats_can_do_is_told(members: dict[str, Any], feature: Feature) -> None:
    report = LossReport("permissive")
    encode(ChatRequest(model="m", messages=(), **members), report)
    assert [loss.feature for loss in report.entries] == [feature]


@pytest.mark.parametrize(
    ("part", "feature"),
    [
        (Image(source=Source(url="u")), Feature.IMAGE_DATA),
        (Native(dialect="another", kind="k", raw=msgspec.Raw(b"1")), Feature.NATIVE_TOOLS),
    ],
)
def test_a_prompt_holds_text(part: Part, feature: Feature) -> None:
    report = LossReport("permissive")
    encode(ChatRequest(model="m", messages=(Message(role="user", parts=(Text(text="a"), part)),)), report)
    assert [loss.feature for loss in report.entries] == [feature]


def test_names_of_speakers_are_told() -> None:
    report = LossReport("warn")
    named = Message(role="user", name="ann", parts=(Text(text="Hi"),))
    assert encode(ChatRequest(model="m", messages=(named,)), report)["prompt"] == "Hi"
    assert [(loss.feature, loss.path) for loss in report.entries] == [(Feature.MESSAGE_NAME, "messages[0].name")]


@pytest.mark.parametrize(("members", "path"), [({"prompt": {}}, "prompt"), ({"logprobs": "x"}, "logprobs")])
def test_wrong_shapes_name_their_place(members: Any, path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(**members)
    assert caught.value.param == path
