"""`generationConfig` (ai.google.dev/api/generate-content#GenerationConfig), both directions."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import ChatRequest, Extension, ResponseFormat, Sampling
from gatewright.core.chat import ReasoningConfig as Reasoning
from gatewright.core.loss import Feature, LossReport
from gatewright.core.traits import Traits
from gatewright.dialects.google.members import NAME, Members, merged, own_members
from gatewright.dialects.google.schema import to_json_schema
from gatewright.wire.json_object import render_json

_JSON: Final = "application/json"
_LEVELS: Final = {"MINIMAL": "minimal", "LOW": "low", "MEDIUM": "medium", "HIGH": "high"}
_EFFORTS: Final = {level: word for word, level in _LEVELS.items()}
_BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
"""Efforts for models that take budgets alone (ai.google.dev/gemini-api/docs/openai#thinking)."""
_BUDGET_MODELS: Final = "gemini-2.5"
"""The generation of models that think within a budget and refuse `thinkingLevel`."""
_LEVEL_MODELS: Final = "gemini-3"
"""The generation of models that cannot be told not to think."""
_strings: msgspec.json.Decoder[list[str]] = msgspec.json.Decoder(list[str])


class Generation(Struct, frozen=True, kw_only=True):
    """What `generationConfig` says, in the hub's terms."""

    sampling: Sampling = Sampling()
    max_output_tokens: int | None = None
    response_format: ResponseFormat | None = None
    reasoning: Reasoning | None = None
    modalities: tuple[str, ...] = ()
    kept: Raw | None = None
    """What the hub has no word for; an empty object when the member was there and said nothing."""


def read_generation(body: Members) -> Generation:
    """The member `generationConfig`."""
    config = body.object("generationConfig")
    if config is None:
        return Generation()
    sampling = Sampling(
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        top_k=_whole(config, "topK"),
        seed=config.integer("seed"),
        frequency_penalty=config.number("frequencyPenalty"),
        presence_penalty=config.number("presencePenalty"),
        stop=config.strings("stopSequences") or (),
        n=config.integer("candidateCount"),
        logprobs=config.boolean("responseLogprobs"),
        top_logprobs=config.integer("logprobs"),
    )
    max_output_tokens = config.integer("maxOutputTokens")
    modalities = _modalities(config)
    response_format = _format(config)
    reasoning = _reasoning(config)
    rest = config.rest(NAME)
    said = max_output_tokens is not None or modalities or response_format or reasoning or sampling != Sampling()
    kept = Raw(b"{}") if rest is None and not said else None if rest is None else render_json(rest.members)
    return Generation(
        sampling=sampling,
        max_output_tokens=max_output_tokens,
        response_format=response_format,
        reasoning=reasoning,
        modalities=modalities,
        kept=kept,
    )


def _whole(config: Members, name: str) -> int | None:
    value = config.number(name)
    if value is None:
        return None
    if value != value // 1 or abs(value) > 2**53:
        raise config.error(name, "must be a whole number")
    return int(value)


def _modalities(config: Members) -> tuple[str, ...]:
    raw = config.peek("responseModalities")
    if raw is None:
        return ()
    try:
        words = _strings.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()  # numbers of the enum: kept for this API alone
    config.drop("responseModalities")
    return tuple(word.lower() for word in words)


def _format(config: Members) -> ResponseFormat | None:
    mime_type = config.peek("responseMimeType")
    if mime_type is not None and bytes(mime_type) not in (b'"application/json"', b'"text/plain"'):
        return None  # enum output and whatever else: kept for this API alone
    spelled = config.string("responseMimeType")
    kept: dict[str, Raw] = {}
    schema = config.object_raw("responseJsonSchema")
    if schema is None:
        own = config.object_raw("responseSchema")
        if own is not None:
            kept["responseSchema"] = own
            schema = to_json_schema(own)
    if schema is not None:
        if spelled != _JSON:
            kept["responseMimeType"] = Raw(b"null") if spelled is None else render_json(spelled)
        return ResponseFormat(kind="json_schema", schema=schema, extra=Extension(NAME, kept) if kept else None)
    if spelled is None:
        return None
    return ResponseFormat(kind="json" if spelled == _JSON else "text")


def _reasoning(config: Members) -> Reasoning | None:
    thinking = config.object("thinkingConfig")
    if thinking is None:
        return None
    budget = thinking.integer("thinkingBudget")
    shown = thinking.boolean("includeThoughts")
    kept: dict[str, Raw] = {}
    effort = None
    spelled = thinking.raw("thinkingLevel")
    if spelled is not None:
        effort = _LEVELS.get(bytes(spelled).strip(b'"').decode("utf-8", "replace").upper())
        kept["thinkingLevel"] = spelled
    rest = thinking.rest(NAME)
    kept |= rest.members if rest is not None else {}
    return Reasoning(
        effort=effort,
        budget_tokens=budget,
        is_enabled=False if budget == 0 else None,
        summary=None if shown is None else "auto" if shown else "omitted",
        extra=Extension(NAME, kept) if kept else None,
    )


def write_generation(
    request: ChatRequest, kept: Raw | None, traits: Traits, report: LossReport
) -> dict[str, Any] | None:
    """The member `generationConfig`; None when it says nothing."""
    written = _write_sampling(request.sampling, report)
    if request.max_output_tokens is not None:
        written["maxOutputTokens"] = request.max_output_tokens
    if request.modalities:
        written["responseModalities"] = [word.upper() for word in request.modalities]
    if request.response_format is not None:
        written |= _write_format(request.response_format, traits, report)
    if request.reasoning is not None:
        written["thinkingConfig"] = _write_reasoning(request.reasoning, request.model, report)
    if kept is not None:
        return merged(written, kept)
    return written or None


def _write_sampling(sampling: Sampling, report: LossReport) -> dict[str, Any]:
    values = {
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "seed": sampling.seed,
        "frequencyPenalty": sampling.frequency_penalty,
        "presencePenalty": sampling.presence_penalty,
        "stopSequences": list(sampling.stop) or None,
        "candidateCount": sampling.n,
        "responseLogprobs": sampling.logprobs,
        "logprobs": sampling.top_logprobs,
    }
    if sampling.logit_bias is not None:
        report.dropped(Feature.LOGIT_BIAS, "sampling.logit_bias", "Gemini has no biases of tokens")
    return {name: value for name, value in values.items() if value is not None}


def _write_format(wanted: ResponseFormat, traits: Traits, report: LossReport) -> dict[str, Any]:
    if wanted.kind == "text":
        return {"responseMimeType": "text/plain"}
    if wanted.kind == "json" or wanted.schema is None:
        return {"responseMimeType": _JSON}
    if not traits.has_json_schema:
        report.approximated(Feature.JSON_SCHEMA, "response_format", "JSON is asked for, without the schema")
        return {"responseMimeType": _JSON}
    if wanted.description is not None:
        report.dropped(Feature.JSON_SCHEMA, "response_format.description", "only the schema's own is taken")
    kept = own_members(wanted.extra, NAME)
    written: dict[str, Any] = {"responseMimeType": _JSON}
    if "responseSchema" not in kept:
        written["responseJsonSchema"] = wanted.schema
    if kept.get("responseMimeType") == Raw(b"null"):
        del kept["responseMimeType"], written["responseMimeType"]
    return written | kept


def _write_reasoning(wanted: Reasoning, model: str, report: LossReport) -> dict[str, Any]:
    kept = own_members(wanted.extra, NAME)
    written: dict[str, Any] = {}
    if wanted.budget_tokens is not None:
        written["thinkingBudget"] = wanted.budget_tokens
    elif "thinkingLevel" not in kept:
        written = _write_effort(wanted, model, report)
    if wanted.summary is not None:
        written["includeThoughts"] = wanted.summary != "omitted"
        if wanted.summary in ("concise", "detailed"):
            report.approximated(Feature.REASONING_SUMMARY, "reasoning.summary", "Gemini chooses its length itself")
    return written | kept


def _write_effort(wanted: Reasoning, model: str, report: LossReport) -> dict[str, Any]:
    """How much to think without a budget: a level, or what the model takes in its stead."""
    if wanted.is_enabled is False or wanted.effort == "none":
        if _LEVEL_MODELS not in model:
            return {"thinkingBudget": 0}
        report.approximated(Feature.REASONING_EFFORT, "reasoning", "Gemini 3 cannot but think: as little as it can")
        return {"thinkingLevel": "LOW"}
    if wanted.effort is None:
        return {"thinkingBudget": -1} if wanted.is_enabled else {}
    if _BUDGET_MODELS in model and wanted.effort in _BUDGETS:
        report.approximated(Feature.REASONING_EFFORT, "reasoning.effort", "written as a budget of thought")
        return {"thinkingBudget": _BUDGETS[wanted.effort]}
    level = _EFFORTS.get(wanted.effort)
    if level is None:
        level = "HIGH"
        report.approximated(Feature.REASONING_EFFORT, "reasoning.effort", f"written as {level}")
    return {"thinkingLevel": level}
