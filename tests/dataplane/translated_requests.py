"""Hostile requests as data: one rich, valid request of each dialect, and everything that can be put into its members.

Each member, at any depth, is replaced by each odd value, and left out once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

PNG: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA: Final = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ARGUMENTS: Final = '{"city":"Paris"}'
MODEL: Final = "@model"
"""Stands for the name of the model that is called."""
_SHOWN: Final = 60


class Surface(NamedTuple):
    """One client-facing path, and a request that uses as much of it as fits into one."""

    name: str
    path: str
    """With `@model` where the model is named."""
    client: str
    """The dialect of its errors."""
    body: dict[str, Any]


OPENAI_CHAT: Final = Surface(
    "openai.chat",
    "/v1/chat/completions",
    "openai.chat",
    {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "Be short.", "name": "boss"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hi"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                    {"type": "file", "file": {"file_data": f"data:image/png;base64,{PNG}", "filename": "a.png"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "parallel_tool_calls": True,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_completion_tokens": 50,
        "n": 1,
        "stop": ["x"],
        "seed": 3,
        "logit_bias": {"5": 1},
        "logprobs": True,
        "top_logprobs": 2,
        "reasoning_effort": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA, "strict": True}},
        "stream": False,
        "stream_options": {"include_usage": True},
        "user": "u",
        "metadata": {"a": "b"},
    },
)
RESPONSES: Final = Surface(
    "openai.responses",
    "/v1/responses",
    "openai.responses",
    {
        "model": MODEL,
        "instructions": "Be short.",
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "hi"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "low"},
                    {"type": "input_file", "file_data": f"data:image/png;base64,{PNG}", "filename": "a.png"},
                ],
            },
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "s"}]},
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": ARGUMENTS},
            {"type": "function_call_output", "call_id": "c1", "output": "sun"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "sun", "annotations": []}]},
        ],
        "tools": [{"type": "function", "name": "weather", "description": "d", "parameters": SCHEMA, "strict": True}],
        "tool_choice": {"type": "function", "name": "weather"},
        "parallel_tool_calls": True,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 50,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "s", "schema": SCHEMA, "strict": True}, "verbosity": "low"},
        "include": ["reasoning.encrypted_content"],
        "truncation": "disabled",
        "store": False,
        "stream": False,
        "metadata": {"a": "b"},
    },
)
ANTHROPIC: Final = Surface(
    "anthropic.messages",
    "/v1/messages",
    "anthropic.messages",
    {
        "model": MODEL,
        "max_tokens": 2000,
        "system": [{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral", "ttl": "5m"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hi"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Paris"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "is_error": False,
                        "content": [{"type": "text", "text": "sun"}],
                    }
                ],
            },
        ],
        "tools": [{"name": "weather", "description": "d", "input_schema": SCHEMA}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "temperature": 1,
        "top_p": 0.95,
        "top_k": 5,
        "stop_sequences": ["x"],
        "metadata": {"user_id": "u"},
        "service_tier": "auto",
        "stream": False,
    },
)
_GOOGLE_BODY: Final[dict[str, Any]] = {
    "systemInstruction": {"parts": [{"text": "Be short."}]},
    "contents": [
        {
            "role": "user",
            "parts": [
                {"text": "hi"},
                {"inlineData": {"mimeType": "image/png", "data": PNG}},
                {"fileData": {"mimeType": "image/png", "fileUri": "https://example.test/a.png"}},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
                {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Paris"}}},
            ],
        },
        {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "weather", "response": {"r": "sun"}}}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "weather", "description": "d", "parameters": SCHEMA}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
    "generationConfig": {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 5,
        "candidateCount": 1,
        "maxOutputTokens": 50,
        "stopSequences": ["x"],
        "seed": 3,
        "presencePenalty": 0.1,
        "responseMimeType": "application/json",
        "responseSchema": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}},
        "thinkingConfig": {"thinkingBudget": 100, "includeThoughts": True},
    },
}
GOOGLE: Final = Surface(
    "google.generate_content", f"/v1beta/models/{MODEL}:generateContent", "google.generate_content", _GOOGLE_BODY
)
GOOGLE_STREAM: Final = Surface(
    "google stream",
    f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse",
    "google.generate_content",
    {name: _GOOGLE_BODY[name] for name in ("contents", "generationConfig")},
)
_BEDROCK_BODY: Final[dict[str, Any]] = {
    "system": [{"text": "Be short."}, {"cachePoint": {"type": "default"}}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"text": "hi"},
                {"image": {"format": "png", "source": {"bytes": PNG}}},
                {"document": {"format": "txt", "name": "d", "source": {"bytes": "ZA=="}}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
                {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Paris"}}},
            ],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "t1", "status": "success", "content": [{"text": "sun"}]}}],
        },
    ],
    "toolConfig": {
        "tools": [{"toolSpec": {"name": "weather", "description": "d", "inputSchema": {"json": SCHEMA}}}],
        "toolChoice": {"tool": {"name": "weather"}},
    },
    "inferenceConfig": {"maxTokens": 50, "temperature": 0.5, "topP": 0.9, "stopSequences": ["x"]},
    "additionalModelRequestFields": {"top_k": 5},
}
BEDROCK: Final = Surface("bedrock.converse", f"/model/{MODEL}/converse", "bedrock.converse", _BEDROCK_BODY)
BEDROCK_STREAM: Final = Surface(
    "bedrock stream",
    f"/model/{MODEL}/converse-stream",
    "bedrock.converse",
    {name: _BEDROCK_BODY[name] for name in ("messages", "inferenceConfig")},
)
COHERE: Final = Surface(
    "cohere.chat",
    "/v2/chat",
    "cohere.chat",
    {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "Be short."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hi"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
                ],
            },
            {
                "role": "assistant",
                "tool_plan": "hm",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "document", "document": {"data": "sun"}}]},
        ],
        "documents": [{"id": "1", "data": {"title": "t"}}],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}],
        "response_format": {"type": "json_object", "json_schema": SCHEMA},
        "thinking": {"type": "enabled", "token_budget": 100},
        "max_tokens": 50,
        "temperature": 0.5,
        "k": 5,
        "p": 0.9,
        "seed": 3,
        "stop_sequences": ["x"],
        "stream": False,
    },
)
OLLAMA: Final = Surface(
    "ollama.chat",
    "/api/chat",
    "ollama.chat",
    {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "hi", "images": [PNG]},
            {
                "role": "assistant",
                "content": "",
                "thinking": "hm",
                "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Paris"}}}],
            },
            {"role": "tool", "tool_name": "weather", "content": "sun"},
        ],
        "tools": [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}],
        "format": SCHEMA,
        "options": {"temperature": 0.5, "top_p": 0.9, "top_k": 5, "num_predict": 50, "seed": 3, "stop": ["x"]},
        "think": True,
        "keep_alive": "5m",
        "stream": False,
    },
)
COMPLETIONS: Final = Surface(
    "openai.completions",
    "/v1/completions",
    "openai.chat",
    {"model": MODEL, "prompt": "hi", "max_tokens": 5, "temperature": 0.5, "stop": ["x"], "n": 1, "stream": False},
)
_COUNTED: Final = ("model", "system", "messages", "tools", "thinking")
COUNTS: Final = (
    Surface(
        "anthropic.count_tokens",
        "/v1/messages/count_tokens",
        "anthropic.messages",
        {name: ANTHROPIC.body[name] for name in _COUNTED},
    ),
    Surface(
        "google.count_tokens",
        f"/v1beta/models/{MODEL}:countTokens",
        "google.generate_content",
        {"generateContentRequest": {"model": "models/x", "contents": _GOOGLE_BODY["contents"]}},
    ),
)
EMBEDDINGS: Final = (
    Surface(
        "openai.embeddings",
        "/v1/embeddings",
        "openai.chat",
        {"model": MODEL, "input": ["a", "b"], "dimensions": 4, "encoding_format": "float", "user": "u"},
    ),
    Surface(
        "cohere.embed",
        "/v2/embed",
        "cohere.chat",
        {"model": MODEL, "texts": ["a"], "input_type": "search_query", "embedding_types": ["float"]},
    ),
    Surface("ollama.embed", "/api/embed", "ollama.chat", {"model": MODEL, "input": ["a"], "truncate": True}),
    Surface(
        "google.embed_content",
        f"/v1beta/models/{MODEL}:embedContent",
        "google.generate_content",
        {"content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 4},
    ),
    Surface(
        "google.batch_embed_contents",
        f"/v1beta/models/{MODEL}:batchEmbedContents",
        "google.generate_content",
        {"requests": [{"model": "models/x", "content": {"parts": [{"text": "a"}]}}]},
    ),
)
CHATS: Final = (
    OPENAI_CHAT,
    RESPONSES,
    ANTHROPIC,
    GOOGLE,
    GOOGLE_STREAM,
    BEDROCK,
    BEDROCK_STREAM,
    COHERE,
    OLLAMA,
    COMPLETIONS,
)

ODD: Final[dict[str, bytes]] = {
    "null": b"null",
    "a number": b"7",
    "a negative number": b"-1",
    "a fraction": b"0.5",
    "a number beyond any": b"1e999",
    "an integer beyond any": b"9" * 400,
    "true": b"true",
    "an empty string": b'""',
    "a string": b'"odd"',
    "a long string": b'"' + b"a" * 20_000 + b'"',
    "half a surrogate pair": b'"\\ud800"',
    "an empty list": b"[]",
    "a list": b'[1,null,"x",[],{}]',
    "an empty object": b"{}",
    "an object": b'{"type":"odd","text":5,"role":[],"name":null}',
    "a nested list": b"[" * 5_000 + b"]" * 5_000,
    "a nested object": b'{"a":' * 1_500 + b"1" + b"}" * 1_500,
}
"""What may stand where something else belongs."""


def mutations(document: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """`(what was done, the JSON)` for each member of a document at any depth, with each odd value, and without it."""
    for path in _paths(document, ()):
        shown = ".".join(map(str, path))[:_SHOWN]
        for name, value in ODD.items():
            yield f"{shown} is {name}", msgspec.json.encode(_changed(document, path, msgspec.Raw(value)))
        yield f"no {shown}", msgspec.json.encode(_changed(document, path, None))


def _paths(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from _paths(inner, (*path, key))


def _changed(value: Any, path: tuple[str | int, ...], new: msgspec.Raw | None) -> Any:
    """The document with another value at a path; without what is there for None."""
    key, rest = path[0], path[1:]
    pairs: list[tuple[Any, Any]] = list(value.items() if isinstance(value, dict) else enumerate(value))
    changed = [
        (name, _changed(inner, rest, new) if name == key and rest else new if name == key else inner)
        for name, inner in pairs
        if not (name == key and new is None and not rest)
    ]
    return dict(changed) if isinstance(value, dict) else [inner for _, inner in changed]
