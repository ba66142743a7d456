"""One small request per feature: what a dialect makes of it shows whether it can carry the feature.

The published support table and the contract tests are made with these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import (
    Audio,
    CacheMark,
    ChatRequest,
    Extension,
    File,
    Image,
    Message,
    NativeTool,
    Opaque,
    Part,
    Reasoning,
    ReasoningConfig,
    ResponseFormat,
    Sampling,
    Source,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Video,
)
from gatewright.core.loss import Feature, Loss, LossReport, Outcome
from gatewright.core.surface import Dialect
from gatewright.core.traits import Traits
from gatewright.translate.hub import fit

PIXEL: Final = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel."""
PDF: Final = "JVBERi0xLjQKJSVFT0YK"
"""The shortest of PDFs."""
WAV: Final = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAgD4AAAB9AAACABAAZGF0YQAAAAA="
"""A WAV file of no samples."""
SCHEMA: Final = Raw(
    b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}'
)
WEATHER: Final = Tool(name="get_weather", description="The weather in a city.", parameters=SCHEMA)
TIME: Final = Tool(name="get_time", description="The time in a city.", parameters=SCHEMA)
FOREIGN: Final = "another.vendor"
"""A dialect nobody speaks: what belongs to it can be carried by no other."""
ASK: Final = Message(role="user", parts=(Text(text="How is the weather in Paris?"),))
CALL: Final = ToolCall(id="call_1", name="get_weather", arguments='{"city":"Paris"}')
BASE: Final = ChatRequest(model="m", messages=(ASK,), max_output_tokens=4096)


def _with(**changes: object) -> ChatRequest:
    return msgspec.structs.replace(BASE, **changes)


def _sampling(**changes: object) -> ChatRequest:
    return _with(sampling=msgspec.structs.replace(Sampling(), **changes))


def _user(*parts: Part) -> ChatRequest:
    return _with(messages=(Message(role="user", parts=(Text(text="What is this?"), *parts)),))


def _choice(choice: ToolChoice) -> ChatRequest:
    return _with(tools=(WEATHER, TIME), tool_choice=choice)


def _results(*results: ToolResult) -> ChatRequest:
    return _with(
        tools=(WEATHER,),
        messages=(ASK, Message(role="assistant", parts=(CALL,)), Message(role="user", parts=results)),
    )


def _history(*parts: Part) -> ChatRequest:
    return _with(messages=(ASK, Message(role="assistant", parts=parts), ASK))


PROBES: Final[Mapping[Feature, ChatRequest]] = {
    Feature.SYSTEM: _with(messages=(Message(role="system", parts=(Text(text="Be brief."),)), ASK)),
    Feature.DEVELOPER: _with(messages=(Message(role="developer", parts=(Text(text="Be brief."),)), ASK)),
    Feature.MID_SYSTEM: _with(
        messages=(
            ASK,
            Message(role="assistant", parts=(Text(text="Fine."),)),
            Message(role="system", parts=(Text(text="Be brief."),)),
            ASK,
        )
    ),
    Feature.MESSAGE_NAME: _with(messages=(Message(role="user", name="ann", parts=ASK.parts),)),
    Feature.PREFILL: _with(messages=(ASK, Message(role="assistant", parts=(Text(text="It is"),)))),
    Feature.IMAGE_URL: _user(Image(source=Source(url="https://pictures.example/cat.png"))),
    Feature.IMAGE_DATA: _user(Image(source=Source(data=PIXEL, media_type="image/png"))),
    Feature.IMAGE_DETAIL: _user(Image(source=Source(data=PIXEL, media_type="image/png"), detail="low")),
    Feature.AUDIO: _user(Audio(source=Source(data=WAV, media_type="audio/wav"))),
    Feature.VIDEO: _user(Video(source=Source(data="AAAA", media_type="video/mp4"))),
    Feature.DOCUMENT: _user(File(source=Source(data=PDF, media_type="application/pdf", filename="report.pdf"))),
    Feature.FILE_ID: _user(File(source=Source(file_id="file-1", dialect=FOREIGN))),
    Feature.TOOLS: _with(
        tools=(WEATHER, TIME),
        messages=(
            ASK,
            Message(role="assistant", parts=(CALL, ToolCall(id="call_2", name="get_time", arguments="{}"))),
            Message(role="user", parts=(ToolResult(call_id="call_1", content=(Text(text="Sunny."),)),)),
            Message(role="user", parts=(ToolResult(call_id="call_2", content=(Text(text="Noon."),)),)),
        ),
    ),
    Feature.CUSTOM_TOOLS: _with(tools=(Tool(name="run", description="Run a program.", is_custom=True),)),
    Feature.NATIVE_TOOLS: _with(
        tools=(NativeTool(dialect=FOREIGN, kind="web_search", raw=Raw(b'{"type":"web_search"}')),)
    ),
    Feature.STRICT_TOOLS: _with(tools=(msgspec.structs.replace(WEATHER, strict=True),)),
    Feature.TOOL_CHOICE_NONE: _choice(ToolChoice(mode="none")),
    Feature.TOOL_CHOICE_REQUIRED: _choice(ToolChoice(mode="required")),
    Feature.TOOL_CHOICE_NAMED: _choice(ToolChoice(mode="named", name="get_weather")),
    Feature.TOOL_CHOICE_ALLOWED: _choice(ToolChoice(mode="auto", allowed=("get_weather",))),
    Feature.PARALLEL_TOOLS: _with(tools=(WEATHER, TIME), parallel_tool_calls=False),
    Feature.TOOL_RESULT_MEDIA: _results(
        ToolResult(
            call_id="call_1",
            content=(Text(text="Seen."), Image(source=Source(data=PIXEL, media_type="image/png"))),
        )
    ),
    Feature.TOOL_RESULT_ERROR: _results(
        ToolResult(call_id="call_1", content=(Text(text="No such city."),), is_error=True)
    ),
    Feature.JSON_MODE: _with(response_format=ResponseFormat(kind="json")),
    Feature.JSON_SCHEMA: _with(
        response_format=ResponseFormat(kind="json_schema", name="place", schema=SCHEMA, strict=True)
    ),
    Feature.REASONING_EFFORT: _with(reasoning=ReasoningConfig(effort="low")),
    Feature.REASONING_BUDGET: _with(reasoning=ReasoningConfig(budget_tokens=2048, is_enabled=True)),
    Feature.REASONING_SUMMARY: _with(reasoning=ReasoningConfig(effort="low", summary="auto")),
    Feature.REASONING_REPLAY: _history(
        Reasoning(text="Let me see.", signature=Opaque(FOREIGN, "c2ln")), Text(text="Fine.")
    ),
    Feature.MAX_TOKENS: _with(max_output_tokens=100),
    Feature.TEMPERATURE: _sampling(temperature=0.5),
    Feature.TOP_P: _sampling(top_p=0.5),
    Feature.TOP_K: _sampling(top_k=40),
    Feature.SEED: _sampling(seed=7),
    Feature.PENALTIES: _sampling(frequency_penalty=0.5),
    Feature.STOP: _sampling(stop=("END",)),
    Feature.N: _sampling(n=2),
    Feature.LOGPROBS: _sampling(logprobs=True, top_logprobs=2),
    Feature.LOGIT_BIAS: _sampling(logit_bias=Raw(b'{"50256":-100}')),
    Feature.MODALITIES: _with(modalities=("text", "image")),
    Feature.VERBOSITY: _with(verbosity="low"),
    Feature.USER: _with(user="user-1"),
    Feature.METADATA: _with(metadata={"ticket": "42"}),
    Feature.SERVICE_TIER: _with(service_tier="priority"),
    Feature.STORE: _with(store=True),
    Feature.CACHE_MARK: _with(
        messages=(
            Message(role="system", parts=(Text(text="A long text.", cache=CacheMark()),)),
            ASK,
        )
    ),
    Feature.CACHE_KEY: _with(cache_key="tenant-1"),
    Feature.VENDOR: _with(extra=Extension(FOREIGN, {"special": Raw(b"true")})),
}
"""Features that a request can show. What only an answer holds (refusals, citations, media) has none."""

_SEVERITY: Final = {Outcome.APPROXIMATED: 1, Outcome.DROPPED: 2, Outcome.REFUSED: 3}


def probe(dialect: Dialect, feature: Feature) -> Outcome | None:
    """What becomes of a feature in a request of this chat dialect; None when it is carried over exactly."""
    request = probe_request(dialect, feature)
    usual = {loss.feature for loss in _losses(dialect, BASE)} - {feature}
    found = [loss.outcome for loss in _losses(dialect, request) if loss.feature not in usual]
    return max(found, key=_SEVERITY.__getitem__) if found else None


def probe_request(dialect: Dialect, feature: Feature) -> ChatRequest:
    """The probe as it is put to a dialect: what only the issuer can take back is the dialect's own."""
    return _own(PROBES[feature], dialect.name) if feature in _OWN else PROBES[feature]


def _losses(dialect: Dialect, request: ChatRequest) -> list[Loss]:
    if dialect.chat is None:
        raise ValueError(f"{dialect.name} is no chat dialect")
    report = LossReport("permissive")
    dialect.chat.encode_request(fit(request, dialect.name, report), Traits(), report)
    return report.entries


_OWN: Final = frozenset((Feature.REASONING_REPLAY, Feature.FILE_ID))
"""What only the dialect that issued it can take back: probed with the dialect's own."""


def _own(request: ChatRequest, name: str) -> ChatRequest:
    return msgspec.json.decode(  # every mention of the foreign dialect becomes the dialect's own
        msgspec.json.encode(request).replace(FOREIGN.encode(), name.encode()), type=ChatRequest
    )
