"""Facts of an exchange: right on every dialect, built only when asked for, and on the safe side where in doubt."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.chat import ChatRequest
from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.surface import Dialect
from gatewright.dialects import DIALECTS
from gatewright.pipeline.expressions import compile_expression
from gatewright.pipeline.facts import FACTS, decoded_request, facts_of, request_of
from gatewright.translate.hub import read_wish
from gatewright.translate.identity import parse_fields

NAMED = {dialect.name: dialect for dialect in DIALECTS}
USER = {"role": "user", "content": "Hello"}
PICTURE = {"type": "image_url", "image_url": {"url": "https://pictures.example/cat.png"}}


def exchange(body: Any = None, dialect: str = "openai.chat", **headers: bytes) -> Exchange:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body or {"model": "m", "messages": [USER]})
    x = Exchange("x-1", None, {name.replace("_", "-").encode(): value for name, value in headers.items()}, raw, 0.0)
    x.dialect = NAMED[dialect]
    x.surface = x.dialect.surfaces[0]
    x.requested_model, x.published_model = "gpt-4.1", "gpt-*"
    x.fields = parse_fields(raw)
    return x


def fact(source: str, x: Exchange) -> Any:
    expression = compile_expression(source, FACTS)
    return expression.evaluate(facts_of(x, expression.reads))


# -- who and where ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("request.surface", "chat_completions"),
        ("request.dialect", "openai.chat"),
        ("request.model", "gpt-4.1"),
        ("request.published_model", "gpt-*"),
        ("request.stream", False),
        ("request.max_tokens", None),
        ("request.tools + request.images + request.audio + request.videos + request.documents", 0),
        ('request.headers["x-team"]', "red"),
        ('request.headers["X-Team"]', "red"),
        ('"x-team" in request.headers', True),
        ('"x-team" in request.headers && request.headers["X-Team"] == "red"', True),
        ('has(request.headers.authorization) || "authorization" in request.headers', False),
        ('"x-api-key" in request.headers || has(request.headers.cookie)', False),
        (
            "consumer",
            {"path": "acme/search/indexer", "organisation": "acme", "team": "search", "application": "indexer"},
        ),
        ("consumer.team", "search"),
        ("user", "ann"),
        ("key.id", "k-1"),
        ("issuer", "staff"),
        ("jwt", {"sub": "u", "groups": ["a"]}),
        ("jwt.sub", "u"),
        ("has(jwt.azp)", False),
        ("size(request) > 10", True),
    ],
)
def test_facts(source: str, value: object) -> None:
    x = exchange(x_team=b"red", authorization=b"Bearer s", x_api_key=b"s", cookie=b"s")
    x.consumer = Consumer("acme/search/indexer", "k-1", "staff", claims={"sub": "u", "groups": ["a"]})
    x.user = "ann"
    assert fact(source, x) == value


@pytest.mark.parametrize(
    ("path", "parts"),
    [("anonymous", ("anonymous", "", "")), ("acme/search", ("acme", "search", "")), ("a/b/c/d", ("a", "b", "c/d"))],
)
def test_consumers_of_other_depths(path: str, parts: tuple[str, str, str]) -> None:
    x = exchange()
    x.consumer = Consumer(path)
    assert fact("[consumer.organisation, consumer.team, consumer.application]", x) == list(parts)


def test_names_alone_give_whole_facts() -> None:
    x = exchange(x_team=b"red")
    facts = facts_of(x, FACTS)
    assert facts.keys() == FACTS.keys()
    assert facts["request"].keys() == set(FACTS["request"] or ())
    for name, members in FACTS.items():
        if members is not None:
            assert facts[name].keys() == set(members), name


def nested(depth: int, value: Any) -> Any:
    for _ in range(depth):
        value = [value]
    return value


# -- what a request asks for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "body", "limit"),
    [
        ("openai.chat", {"max_tokens": 7}, 7),
        ("openai.chat", {"max_completion_tokens": 7}, 7),
        ("openai.chat", {"max_completion_tokens": 7, "max_tokens": 9_000}, 9_000),
        ("openai.chat", {"max_completion_tokens": 9_000, "max_tokens": 7}, 9_000),
        ("openai.chat", {"max_completion_tokens": 7, "max_tokens": None}, 7),
        ("openai.chat", {"max_tokens": 7, "max_new_tokens": "9000"}, None),
        ("openai.chat", {"max_tokens": 7, "n_predict": 9_000}, 9_000),
        ("openai.chat", {"max_tokens": 7, "N_Predict": -1}, None),
        ("openai.chat", {"max_tokens": 7, "min_tokens": 9_000}, 9_000),
        ("openai.chat", {"max_tokens": 7, "extra_body": [{"max_tokens": 9_000}]}, 9_000),
        ("openai.chat", {"max_tokens": 7, "extra_body": [[{"a": [{"max_tokens": 9_000}]}]]}, 9_000),
        ("openai.chat", {"max_tokens": 7, "extra_body": nested(30, {"max_tokens": 9_000})}, None),
        ("openai.chat", {"max_tokens": 7, "extra_body": [{"a": [1, "max_tokens"]}]}, 7),
        ("openai.chat", {"max_tokens": -1}, None),
        ("openai.chat", {"max_tokens": 0}, 0),
        ("openai.responses", {"input": "a", "max_output_tokens": 7}, 7),
        ("openai.completions", {"prompt": "a", "max_tokens": 7}, 7),
        ("anthropic.messages", {"max_tokens": 7}, 7),
        ("google.generate_content", {"contents": [], "generationConfig": {"maxOutputTokens": 7}}, 7),
        ("google.generate_content", {"contents": [], "generation_config": {"max_output_tokens": 7}}, 7),
        ("bedrock.converse", {"messages": [], "inferenceConfig": {"maxTokens": 7}}, 7),
        (
            "bedrock.converse",
            {"messages": [], "inferenceConfig": {"maxTokens": 7}, "additionalModelRequestFields": {"max_tokens": 900}},
            900,
        ),
        ("cohere.chat", {"max_tokens": 7}, 7),
        ("ollama.chat", {"options": {"num_predict": 7}}, 7),
        ("ollama.chat", {"options": {"num_predict": -1}}, None),
        ("openai.embeddings", {"input": "a", "max_tokens": 7}, None),
        ("openai.moderations", {"input": "a", "max_tokens": 7}, None),
    ],
)
def test_the_largest_limit_that_a_provider_may_obey(dialect: str, body: dict[str, Any], limit: int | None) -> None:
    assert fact("request.max_tokens", exchange({"messages": [USER]} | body, dialect)) == limit


@pytest.mark.parametrize(
    ("dialect", "body", "answers"),
    [
        ("openai.chat", {}, 1),
        ("openai.chat", {"n": 1}, 1),
        ("openai.chat", {"n": 0}, 1),
        ("openai.chat", {"n": None}, 1),
        ("openai.chat", {"n": 8}, 8),
        ("openai.chat", {"n": -1}, None),
        ("openai.chat", {"n_cmpl": 8}, 8),
        ("openai.chat", {"n": 2, "best_of": 8}, 8),
        ("openai.chat", {"n": 8, "extra_body": [{"best_of": "2"}]}, None),
        ("openai.completions", {"prompt": "a", "n": 2, "best_of": 8}, 8),
        ("openai.completions", {"prompt": ["a"]}, 1),
        ("openai.completions", {"prompt": ["a", "b"]}, 2),
        ("openai.completions", {"prompt": ["a", "b"], "n": 3, "best_of": 4}, 8),
        ("openai.completions", {"prompt": [1, 2, 3]}, 1),
        ("openai.completions", {"prompt": [[1, 2, 3]]}, 1),
        ("openai.completions", {"prompt": [[1, 2, 3], [4]]}, 2),
        (
            "google.generate_content",
            {"contents": [], "generationConfig": {"candidateCount": 8, "maxOutputTokens": 7}},
            8,
        ),
        ("google.generate_content", {"contents": [], "generation_config": {"candidate_count": 8}}, 8),
        ("cohere.chat", {"num_generations": 5}, 5),
        ("bedrock.converse", {"messages": [], "additionalModelRequestFields": {"numResults": 3}}, 3),
    ],
)
def test_every_answer_may_be_as_long_as_the_limit(dialect: str, body: dict[str, Any], answers: int | None) -> None:
    limit = {"inferenceConfig": {"maxTokens": 7}} if dialect == "bedrock.converse" else {"max_tokens": 7}
    expected = None if answers is None else 7 * answers
    assert fact("request.max_tokens", exchange({"messages": [USER]} | limit | body, dialect)) == expected


@pytest.mark.parametrize(
    ("dialect", "body", "tools"),
    [
        ("openai.chat", {"tools": [{"type": "function", "function": {"name": "f"}}]}, 1),
        ("openai.chat", {"functions": [{"name": "f"}, {"name": "g"}]}, 2),
        ("openai.chat", {"web_search_options": {}}, 1),
        ("openai.chat", {"tools": [], "plugins": None, "web_search_options": False}, 0),
        ("openai.responses", {"input": "a", "tools": [{"type": "web_search"}, {"type": "function", "name": "f"}]}, 2),
        ("anthropic.messages", {"mcp_servers": [{"name": "a", "type": "url", "url": "https://a.example"}]}, 1),
        (
            "google.generate_content",
            {"contents": [], "tools": [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}, {"googleSearch": {}}]},
            3,
        ),
        (
            "bedrock.converse",
            {
                "messages": [],
                "toolConfig": {
                    "tools": [
                        {"toolSpec": {"name": "f", "inputSchema": {"json": {}}}},
                        {"cachePoint": {"type": "default"}},
                    ]
                },
            },
            1,
        ),
        ("openai.embeddings", {"input": "a", "tools": [{}]}, 0),
        ("openai.chat", {"data_sources": [{"type": "azure_search"}]}, 1),
        ("openai.chat", {"search_parameters": {"mode": "on"}}, 1),
        ("openai.chat", {"enable_search": True}, 1),
        ("openai.chat", {"enable_search": False}, 0),
        ("openai.chat", {"extra_body": [{"tools": [{}, {}]}]}, 2),
        ("openai.chat", {"guided_json": {"type": "object", "properties": {"tools": {"type": "array"}}}}, 0),
        ("openai.responses", {"prompt": {"id": "pmpt_1"}}, 1),
        ("openai.responses", {"input": "a", "prompt": None}, 0),
        ("openai.responses", {"input": "a", "agent": {"type": "agent_reference", "name": "a"}}, 1),
        ("openai.responses", {"input": [{"type": "additional_tools", "tools": [{"type": "web_search"}]}]}, 1),
        ("openai.completions", {"prompt": "a"}, 0),
        ("openai.completions", {"prompt": ["a", "b"]}, 0),
        ("anthropic.messages", {"container": {"skills": [{"type": "anthropic", "skill_id": "pptx"}]}}, 2),
        ("anthropic.messages", {"container": "container_1"}, 1),
        ("google.generate_content", {"contents": [], "cachedContent": "cachedContents/a"}, 1),
        ("google.generate_content", {"contents": [], "cached_content": "cachedContents/a"}, 1),
    ],
)
def test_tools_wherever_they_are_offered(dialect: str, body: dict[str, Any], tools: int) -> None:
    assert fact("request.tools", exchange({"messages": [USER]} | body, dialect)) == tools


def user(*content: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(content)}]}


MEDIA = "[request.images, request.audio, request.videos, request.documents]"


@pytest.mark.parametrize(
    ("dialect", "body", "media"),
    [
        ("openai.chat", user({"type": "text", "text": "a"}, PICTURE, PICTURE), [2, 0, 0, 0]),
        ("openai.chat", user({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}), [0, 1, 0, 0]),
        (
            "openai.chat",
            user({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}}),
            [0, 0, 0, 1],
        ),
        (
            "openai.chat",
            user({"type": "file", "file": {"file_data": "data:image/png;base64,AA==", "filename": "a.png"}}),
            [1, 0, 0, 0],
        ),
        ("openai.chat", user({"type": "file", "file": {"file_id": "file-1"}}), [1, 0, 0, 1]),
        ("openai.chat", user({"type": "text", "text": "a"} | PICTURE | {"type": "text"}), [1, 0, 0, 0]),
        (
            "anthropic.messages",
            user({"type": "document", "source": {"type": "url", "url": "https://a.example/b.pdf?c.png"}}),
            [0, 0, 0, 1],
        ),
        (
            "openai.responses",
            {
                "input": [
                    {
                        "type": "computer_call_output",
                        "call_id": "c",
                        "output": {"type": "computer_screenshot", "image_url": "https://pictures.example/cat.png"},
                    }
                ]
            },
            [1, 0, 0, 0],
        ),
        (
            "anthropic.messages",
            user(
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [
                        {"type": "image", "source": {"type": "url", "url": "https://pictures.example/cat.png"}}
                    ],
                }
            ),
            [1, 0, 0, 0],
        ),
        (
            "anthropic.messages",
            user(
                {
                    "type": "document",
                    "source": {
                        "type": "content",
                        "content": [
                            {"type": "image", "source": {"type": "url", "url": "https://pictures.example/cat.png"}}
                        ],
                    },
                }
            ),
            [1, 0, 0, 1],
        ),
        (
            "google.generate_content",
            {
                "contents": [
                    {
                        "parts": [
                            {"inline_data": {"mime_type": "image/png", "data": "AA=="}},
                            {"inlineData": {"mimeType": "video/mp4", "data": "AA=="}},
                            {"fileData": {"fileUri": "gs://a/b"}},
                            {"fileData": {"fileUri": "gs://a/b.PNG"}},
                            {"fileData": {"fileUri": "gs://a/b.txt"}},
                            {"text": "a", "inlineData": {"mimeType": "image/png", "data": "AA=="}},
                        ]
                    }
                ]
            },
            [4, 0, 1, 3],
        ),
        (
            "bedrock.converse",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"guardContent": {"image": {"format": "png", "source": {"bytes": "AA=="}}}},
                            {"image": {"format": "png", "source": {"bytes": "AA=="}}},
                        ],
                    }
                ]
            },
            [2, 0, 0, 0],
        ),
        ("ollama.chat", {"messages": [USER | {"images": ["AA==", "AA=="]}]}, [2, 0, 0, 0]),
        ("ollama.chat", {"messages": [USER | {"Images": ["AA==", "AA=="]}]}, [2, 0, 0, 0]),
        ("ollama.chat", {"messages": [USER | {"Content": [PICTURE]}]}, [1, 0, 0, 0]),
        ("openai.chat", {"messages": [USER | {"images": ["AA=="]}]}, [1, 0, 0, 0]),
        ("openai.chat", {"messages": [USER | {"attachments": [{"contentType": "image/png"}]}]}, [1, 0, 0, 0]),
        ("openai.chat", {"messages": [{"role": "tool", "tool_call_id": "c", "images": ["AA=="]}]}, [1, 0, 0, 0]),
        ("openai.chat", user() | {"audio": {"voice": "alloy", "format": "wav"}, "modalities": ["audio"]}, [0, 0, 0, 0]),
        ("openai.chat", user() | {"image_config": {"image_size": "2K"}, "return_images": True}, [0, 0, 0, 0]),
        ("openai.chat", user() | {"guided_json": {"type": "object", "properties": {"image": {}}}}, [0, 0, 0, 0]),
        ("openai.completions", {"prompt": "a", "image_data": [{"data": "AA==", "id": 1}]}, [1, 0, 0, 0]),
        ("openai.responses", {"prompt": {"id": "pmpt_1"}}, [1, 0, 0, 0]),
        (
            "openai.responses",
            {"prompt": {"id": "p", "variables": {"a": {"type": "input_image", "image_url": "https://a"}}}},
            [2, 0, 0, 0],
        ),
        ("google.generate_content", {"contents": [], "cachedContent": "cachedContents/a"}, [1, 0, 0, 0]),
        (
            "google.generate_content",
            {"contents": [], "generationConfig": {"imageConfig": {"imageSize": "1K"}, "audioTimestamp": True}},
            [0, 0, 0, 0],
        ),
        ("anthropic.messages", user({"type": "container_upload", "file_id": "file_1"}), [1, 0, 0, 1]),
        ("anthropic.messages", user() | {"container": "container_1"}, [1, 0, 0, 0]),
        (
            "bedrock.converse",
            {"messages": [], "additionalModelRequestFields": {"messages": [{"content": [{"type": "image"}]}]}},
            [1, 0, 0, 0],
        ),
        ("cohere.embed", {"images": ["data:image/png;base64,AA=="]}, [1, 0, 0, 0]),
        (
            "cohere.embed",
            {"inputs": [{"content": [{"type": "text", "text": "a"}, PICTURE]}, {"content": [PICTURE]}]},
            [2, 0, 0, 0],
        ),
        (
            "anthropic.count_tokens",
            user({"type": "image", "source": {"type": "url", "url": "https://a"}}),
            [1, 0, 0, 0],
        ),
        ("openai.images.edits", {"image": "AA=="}, [0, 0, 0, 0]),
    ],
)
def test_media_wherever_they_stand(dialect: str, body: dict[str, Any], media: list[int]) -> None:
    assert fact(MEDIA, exchange({"model": "m"} | body, dialect)) == media


def test_numbers_too_large_for_a_float_hide_nothing() -> None:
    body = b'{"messages":[],"max_tokens":5,"x":[1e400,{"image_url":"a"}],"tools":[],"y":{"max_new_tokens":1e400}}'
    assert fact(MEDIA, exchange(body)) == [1, 0, 0, 0]
    assert fact("request.max_tokens", exchange(body)) is None


def test_depth_hides_nothing() -> None:
    picture = b'{"type": "image"}'
    for depth in (1, 10, 30, 400):
        part = b'{"type": "unknown", "content": ' + b"[" * depth + picture + b"]" * depth + b"}"
        x = exchange(b'{"messages": [{"role": "user", "content": [' + part + b"]}]}", "anthropic.messages")
        assert fact("request.images", x) == 1


def test_json_too_deep_to_be_read_is_refused() -> None:
    part = b'{"type": "unknown", "content": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"
    with pytest.raises(GatewayError) as refused:
        fact("request.images", exchange(b'{"messages": [{"role": "user", "content": [' + part + b"]}]}"))
    assert refused.value.kind is Kind.MALFORMED_REQUEST


def test_half_a_surrogate_pair_hides_nothing() -> None:
    part = b'{"type": "document", "title": "\\ud800", "source": {"type": "content", "content": [{"type": "image"}]}}'
    x = exchange(b'{"messages": [{"role": "user", "content": [' + part + b"]}]}", "anthropic.messages")
    assert fact("request.images", x) == 1


# -- decoding ---------------------------------------------------------------------------------------------------------


class Reader:
    """Counts how often a dialect's request is decoded."""

    def __init__(self, x: Exchange) -> None:
        assert x.dialect is not None
        assert x.dialect.chat is not None
        self.count = 0
        self._decode = x.dialect.chat.decode_request
        codec = msgspec.structs.replace(x.dialect.chat, decode_request=self)
        x.dialect = msgspec.structs.replace(x.dialect, chat=codec)

    def __call__(self, fields: Any, model: str, stream: bool) -> ChatRequest:
        self.count += 1
        return self._decode(fields, model, stream)


def test_a_request_is_decoded_once_and_only_when_a_parameter_is_asked_for() -> None:
    x = exchange()
    reader = Reader(x)
    fact('request.model == "a" || request.headers.size() > 0 || consumer.path == user', x)
    assert reader.count == 0
    fact("request.max_tokens == 1 || request.tools > 0 || request.images > 0", x)
    fact("request.documents > 0", x)
    assert reader.count == 1


def test_a_request_that_a_filter_changed_is_decoded_anew() -> None:
    x = exchange({"messages": [USER]})
    assert fact("request.max_tokens", x) is None
    x.fields = x.fields | {"max_tokens": msgspec.Raw(b"5")}
    assert decoded_request(x) is None
    assert fact("request.max_tokens", x) == 5


def test_a_translation_takes_over_what_was_decoded_and_facts_what_it_decoded() -> None:
    x = exchange()
    reader = Reader(x)
    assert isinstance(x.dialect, Dialect)
    assert decoded_request(x) is None
    request = request_of(x)
    assert decoded_request(x) is request
    x.wish = read_wish(
        x.dialect,
        x.fields,
        x.requested_model,
        stream=False,
        response_id="r",
        created=1,
        fidelity="warn",
        request=request,
    )
    assert request_of(x) is x.wish.request is request
    assert reader.count == 1


def test_surfaces_that_are_passed_on_unread_have_no_request() -> None:
    assert request_of(exchange({"input": "a"}, "openai.moderations")) is None


def test_a_request_that_cannot_be_read_is_the_clients_fault() -> None:
    with pytest.raises(GatewayError) as refused:
        fact("request.tools", exchange({"messages": "Hello"}))
    assert refused.value.kind is Kind.MALFORMED_REQUEST
