"""Converse through boto3, with a Bedrock API key, for which the SDK wants TLS."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any, Final

import boto3
from botocore.config import Config
from clients.told import QUESTION, SYSTEM, TOOLS, Address, Told, kept

NAME: Final = "bedrock.converse"
FINISH: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
}
CARRIES: Final = True


@kept
def connect(at: Address) -> Any:
    """The SDK's client, which finds its key in `AWS_BEARER_TOKEN_BEDROCK`."""
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=at.base,
        region_name="eu-central-1",
        verify=at.ca,
        config=Config(retries={"total_max_attempts": 1}),
    )


class ConverseTalk:
    """Messages grow by the content blocks the SDK gave."""

    def __init__(self, at: Address, model: str) -> None:
        self._client, self._model = connect(at), model
        self._messages: list[Any] = [{"role": "user", "content": [{"text": QUESTION}]}]
        self._tools: dict[str, Any] = {}
        self._limit = 4096

    def ask(self, *, stream: bool, tools: bool = False, limit: int | None = None) -> Told:
        if tools:
            specs = [
                {"toolSpec": {**{k: t[k] for k in ("name", "description")}, "inputSchema": {"json": t["parameters"]}}}
                for t in TOOLS
            ]
            self._tools = {"toolConfig": {"tools": specs}}
        self._limit = limit or self._limit
        return self._send(stream=stream)

    def answer(self, results: dict[str, str], *, stream: bool) -> Told:
        blocks = [
            {"toolResult": {"toolUseId": block["toolUse"]["toolUseId"], "content": [{"text": results[name]}]}}
            for block in self._messages[-1]["content"]
            if "toolUse" in block
            for name in (block["toolUse"]["name"],)
        ]
        self._messages.append({"role": "user", "content": blocks})
        return self._send(stream=stream)

    def _send(self, *, stream: bool) -> Told:
        request: dict[str, Any] = {
            "modelId": self._model,
            "system": [{"text": SYSTEM}],
            "messages": self._messages,
            "inferenceConfig": {"maxTokens": self._limit},
            **self._tools,
        }
        if stream:
            with closing(self._client.converse_stream(**request)["stream"]) as events:
                blocks, finish, usage = fold(events)
        else:
            answer = self._client.converse(**request)
            blocks, finish, usage = answer["output"]["message"]["content"], answer["stopReason"], answer["usage"]
        self._messages.append({"role": "assistant", "content": blocks})
        thoughts = [
            block["reasoningContent"].get("reasoningText", {}) for block in blocks if "reasoningContent" in block
        ]
        cached = usage.get("cacheReadInputTokens", 0)
        return Told(
            "".join(map(_text, blocks)),
            "".join(thought.get("text", "") for thought in thoughts),
            tuple(
                (block["toolUse"]["toolUseId"], block["toolUse"]["name"], block["toolUse"]["input"])
                for block in blocks
                if "toolUse" in block
            ),
            finish,
            {}
            if not usage
            else {
                "input": usage["inputTokens"] + cached + usage.get("cacheWriteInputTokens", 0),
                "cached": cached,
                "output": usage["outputTokens"],
            },
        )


def _text(block: dict[str, Any]) -> str:
    """The text of a block; one with citations holds it in a list."""
    if "citationsContent" in block:
        return "".join(part["text"] for part in block["citationsContent"]["content"])
    return str(block.get("text", ""))


def fold(events: Any) -> tuple[list[dict[str, Any]], str, dict[str, Any]]:
    """The content blocks, the stop reason and the usage of a stream."""
    blocks: dict[int, dict[str, Any]] = {}
    finish, usage = "", {}
    for event in events:
        if "contentBlockStart" in event:
            start = event["contentBlockStart"]
            blocks[start["contentBlockIndex"]] = {"toolUse": {**start["start"]["toolUse"], "input": ""}}
        elif "contentBlockDelta" in event:
            delta = event["contentBlockDelta"]
            _grow(blocks.setdefault(delta["contentBlockIndex"], {}), delta["delta"])
        elif "messageStop" in event:
            finish = event["messageStop"]["stopReason"]
        elif "metadata" in event:
            usage = event["metadata"]["usage"]
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    return [blocks[index] for index in sorted(blocks)], finish, usage


def _grow(block: dict[str, Any], delta: dict[str, Any]) -> None:
    if "text" in delta:
        block["text"] = block.get("text", "") + delta["text"]
    elif "toolUse" in delta:
        block["toolUse"]["input"] += delta["toolUse"]["input"]
    elif "redactedContent" in delta.get("reasoningContent", {}):
        block["reasoningContent"] = delta["reasoningContent"]
    elif "reasoningContent" in delta:
        thought = block.setdefault("reasoningContent", {}).setdefault("reasoningText", {"text": ""})
        for name, value in delta["reasoningContent"].items():
            thought[name] = thought.get(name, "") + value


def begin(at: Address, model: str) -> ConverseTalk:
    """A new conversation."""
    return ConverseTalk(at, model)
