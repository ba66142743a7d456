"""Sampling, limits, labels and the answer's form → the members of a Converse request that hold them."""

from __future__ import annotations

import re
from typing import Any, Final

from msgspec import Raw

from gatewright.core.chat import ChatRequest, Sampling
from gatewright.core.loss import Feature, LossReport
from gatewright.core.traits import Traits
from gatewright.dialects.bedrock.media import own

_TIERS: Final = frozenset(("priority", "default", "flex", "reserved"))
_LABEL: Final = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")
_MAX_LABELS: Final = 16


def write_inference(request: ChatRequest, report: LossReport, *, is_thinking: bool) -> dict[str, Any]:
    """The `inferenceConfig` member; `is_thinking` when the model takes no sampling because it thinks."""
    sampling = request.sampling
    out: dict[str, Any] = {}
    if request.max_output_tokens is not None:
        out["maxTokens"] = request.max_output_tokens
    for value, name, feature, path in (
        (sampling.temperature, "temperature", Feature.TEMPERATURE, "sampling.temperature"),
        (sampling.top_p, "topP", Feature.TOP_P, "sampling.top_p"),
    ):
        if value is None:
            continue
        if is_thinking:
            report.dropped(feature, path, "the model takes none while it thinks")
            continue
        if value > 1:
            report.approximated(feature, path, "sent as 1, the most")
            value = 1
        out[name] = value
    stop = [text for text in sampling.stop if text]
    if stop:
        out["stopSequences"] = stop
    _tell_sampling(sampling, report)
    return out


def _tell_sampling(sampling: Sampling, report: LossReport) -> None:
    if sampling.n is not None and sampling.n > 1:
        report.refused(Feature.N, "sampling.n", "Converse gives one answer")
    if sampling.logprobs or sampling.top_logprobs:
        report.refused(Feature.LOGPROBS, "sampling.logprobs", "Converse gives no log probabilities")
    for feature, path, value in (
        (Feature.SEED, "sampling.seed", sampling.seed),
        (Feature.PENALTIES, "sampling.frequency_penalty", sampling.frequency_penalty or None),
        (Feature.PENALTIES, "sampling.presence_penalty", sampling.presence_penalty or None),
        (Feature.LOGIT_BIAS, "sampling.logit_bias", sampling.logit_bias),
    ):
        if value is not None:
            report.dropped(feature, path, "Converse has no such member")


def write_labels(request: ChatRequest, report: LossReport) -> dict[str, Any]:
    """Members that say who asks and at what price; tells of all that have no place."""
    out: dict[str, Any] = {}
    if request.metadata is not None:
        labels = {
            name: value
            for name, value in request.metadata.items()
            if name and _LABEL.fullmatch(name) and _LABEL.fullmatch(value)
        }
        labels = dict(list(labels.items())[:_MAX_LABELS])
        if len(labels) < len(request.metadata):
            report.dropped(Feature.METADATA, "metadata", "labels of other characters, too long or more than 16")
        out["requestMetadata"] = labels
    tier = request.service_tier
    if tier in _TIERS or (tier is not None and "serviceTier" in own(request.extra)):
        out["serviceTier"] = {"type": tier}
    elif tier not in (None, "auto"):
        report.dropped(Feature.SERVICE_TIER, "service_tier", f"{tier} is no tier of Bedrock")
    _tell_labels(request, report)
    return out


def _tell_labels(request: ChatRequest, report: LossReport) -> None:
    if any(kind != "text" for kind in request.modalities):
        report.refused(Feature.MODALITIES, "modalities", "Converse answers in text")
    for feature, path, value in (
        (Feature.VERBOSITY, "verbosity", request.verbosity),
        (Feature.USER, "user", request.user),
        (Feature.STORE, "store", request.store or None),
        (Feature.CACHE_KEY, "cache_key", request.cache_key),
    ):
        if value is not None:
            report.dropped(feature, path, "Converse has no such member")


def write_output(request: ChatRequest, traits: Traits, effort: Raw | None) -> dict[str, Any]:
    """The `outputConfig` member; the answer's form only where the model knows JSON Schema."""
    out: dict[str, Any] = {}
    form = request.response_format
    if form is not None and form.kind == "json_schema" and form.schema is not None and traits.has_json_schema:
        defined: dict[str, Any] = {"schema": bytes(form.schema).decode("utf-8", "replace")}
        if form.name:
            defined["name"] = form.name
        if form.description:
            defined["description"] = form.description
        defined.update(own(form.extra))
        out["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": defined}}
    if effort is not None:
        out["effort"] = effort
    return out
