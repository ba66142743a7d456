from typing import Any

import pytest
from msgspec import Raw
from tests.unit.dialects.google.wires import again, model, read, user

from gatewright.core.chat import Bound, Extension, Image, Message, Reasoning, Text, ToolCall, ToolResult
from gatewright.core.errors import GatewayError, Kind
from gatewright.dialects.google.members import NAME
from gatewright.dialects.google.read_request import decode_request

HELLO = user({"text": "hello"})
PNG = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}

REQUESTS: list[dict[str, Any]] = [
    {"contents": [HELLO]},
    {"contents": [HELLO, model({"text": "a"}, {"text": ""}), user({"text": "b"}, PNG)]},
    {"contents": [HELLO, HELLO, model(), model({"text": "x"})]},
    {"contents": [{"parts": [{"text": "hello"}], "role": "function"}]},
    {"contents": [HELLO], "systemInstruction": {"role": "user", "parts": [{"text": "be brief"}, PNG]}},
    {"contents": [HELLO], "systemInstruction": {"parts": [{"text": ""}]}},
    {"contents": [HELLO], "safetySettings": [{"category": "C", "threshold": "T"}], "labels": {"a_b": "c_d"}},
    {"contents": [HELLO], "serviceTier": "flex", "store": False, "modelArmorConfig": {"promptTemplateName": "p"}},
    {"contents": [HELLO], "serviceTier": "unspecified"},
    {"contents": [{**HELLO, "x": 1}]},
    {"contents": [user({"text": "see", "videoMetadata": {"fps": 5}}, {**PNG, "mediaResolution": {"level": "L"}})]},
    {"contents": [user({"fileData": {"mimeType": "video/mp4", "fileUri": "gs://x"}, "videoMetadata": {"fps": 5}})]},
    {"contents": [user({"inlineData": {"mimeType": "text/csv", "data": "AAAA", "displayName": "x.csv"}})]},
    {"contents": [user({"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}, "thoughtSignature": "c2ln"})]},
    {
        "contents": [
            HELLO,
            model({"text": "hm", "thought": True, "thoughtSignature": "c2ln"}, {"thoughtSignature": "c2ln"}),
        ]
    },
    {
        "contents": [
            HELLO,
            model({"text": "", "thought": True}, {"executableCode": {"language": "PYTHON", "code": "1"}}),
        ]
    },
    {"contents": [HELLO, model({"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"})]},
    {
        "contents": [
            HELLO,
            model(
                {"functionCall": {"name": "f", "args": {"a": 1}}},
                {"functionCall": {"id": "2", "name": "f", "args": {}}},
            ),
            user(
                {"functionResponse": {"name": "f", "response": {"result": "x"}}},
                {"functionResponse": {"id": "2", "name": "f", "response": {"error": "x"}, "scheduling": "SILENT"}},
            ),
            user({"functionResponse": {"name": "f", "response": {"a": 1}, "parts": [PNG]}}),
        ]
    },
]


@pytest.mark.parametrize("body", REQUESTS)
def test_a_request_survives_the_hub(body: dict[str, Any]) -> None:
    assert again(body) == body


def test_what_the_hub_says_of_a_conversation() -> None:
    request = read({"system_instruction": {"parts": {"text": "be brief"}}, "contents": HELLO}, "m", stream=True)
    own = Extension(NAME, {})
    assert request.messages == (
        Message(role="system", parts=(Text(text="be brief"),), extra=own),
        Message(role="user", parts=(Text(text="hello"),), extra=own),
    )
    assert (request.model, request.stream, request.extra) == ("m", True, None)


@pytest.mark.parametrize("content", [{"parts": [{"text": "x"}]}, {"role": "", "parts": [{"text": "x"}]}])
def test_a_role_left_out_means_the_user(content: dict[str, Any]) -> None:
    assert read({"contents": [content]}).messages[0].role == "user"
    assert again({"contents": [content]}) == {"contents": [user({"text": "x"})]}


def test_a_content_of_texts_is_read_the_same_whichever_way() -> None:
    texts = [{"text": "a😀"}, {"text": "b"}]
    quick = read({"contents": [user(*texts)]}).messages[0]
    assert quick == read({"contents": [{"parts": texts, "role": "user"}]}).messages[0]
    other = read({"contents": [{**user(*texts), "x": 1}]}).messages[0]
    assert (quick.role, quick.parts) == (other.role, other.parts)


def test_half_a_surrogate_is_mended() -> None:
    [message] = decode_request({"contents": Raw(b'[{"parts":[{"text":"a\\ud800"}]}]')}, "m", False).messages
    assert message.parts == (Text(text="a\ufffd"),)


def test_members_of_this_api_alone_are_kept() -> None:
    request = read(
        {"contents": [HELLO], "cachedContent": "cachedContents/1", "safety_settings": [], "model": "models/m"}
    )
    assert request.extra is not None
    assert set(request.extra.members) == {"cachedContent", "safetySettings"}
    assert request.bound == (
        Bound(dialect=NAME, path="cachedContent", advice="send the cached contents with the request"),
    )


def test_tiers_in_the_words_of_the_hub() -> None:
    assert read({"contents": [HELLO], "serviceTier": "standard"}).service_tier == "default"
    assert read({"contents": [HELLO], "serviceTier": "priority"}).service_tier == "priority"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "contents"),
        ({"contents": 5}, "contents"),
        ({"contents": ["x"]}, "contents[0]"),
        ({"contents": [{"role": "system", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"role": "tool", "parts": [{"text": "x"}]}]}, "contents[0].role"),
        ({"contents": [HELLO, {"role": "user", "parts": "x"}]}, "contents[1].parts"),
        ({"contents": [HELLO, user({"text": "a"}, {"text": 5})]}, "contents[1].parts[1].text"),
        ({"contents": [HELLO], "systemInstruction": "x"}, "systemInstruction"),
        ({"contents": [HELLO], "tools": 5}, "tools"),
        ({"contents": [HELLO], "toolConfig": {"functionCallingConfig": 5}}, "toolConfig.functionCallingConfig"),
        ({"contents": [HELLO], "generationConfig": {"temperature": "x"}}, "generationConfig.temperature"),
        ({"contents": [HELLO], "generationConfig": {"stopSequences": "x"}}, "generationConfig.stopSequences"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(body)
    assert (caught.value.kind, caught.value.param) == (Kind.MALFORMED_REQUEST, path)


def test_ids_made_up_stay_the_same_while_the_conversation_grows() -> None:
    turns = [HELLO]
    seen: list[list[str]] = []
    for _ in range(3):
        turns += [
            model({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}}),
            user(*[{"functionResponse": {"name": "f", "response": {}}}] * 2),
        ]
        parts = [part for message in read({"contents": turns}).messages for part in message.parts]
        calls = [part.id for part in parts if isinstance(part, ToolCall)]
        assert calls == [part.call_id for part in parts if isinstance(part, ToolResult)]
        assert len(set(calls)) == len(calls)
        seen.append(calls)
    assert seen[2][:4] == seen[1]
    assert seen[1][:2] == seen[0]


def test_pictures_and_thoughts_are_typed() -> None:
    parts = read({"contents": [HELLO, model({"text": "hm", "thought": True}, PNG)]}).messages[1].parts
    assert [type(part) for part in parts] == [Reasoning, Image]
