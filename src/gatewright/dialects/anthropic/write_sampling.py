"""How tokens are chosen, and the labels of a request: what the API has of them, and what is told to be left out."""

from __future__ import annotations

from typing import Any, Final

from gatewright.core.chat import ChatRequest, Sampling
from gatewright.core.loss import Feature, LossReport
from gatewright.dialects.anthropic.reasoning import Thinking
from gatewright.dialects.anthropic.vocabulary import render_cache

_TIERS: Final = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_MIN_THINKING_TOP_P: Final = 0.95
_NOWHERE: Final = "the API has no such setting"


def write_sampling(body: dict[str, Any], request: ChatRequest, thinking: Thinking, report: LossReport) -> None:
    """Add sampling, user, tier and caching to `body`; tell the rest to the report."""
    sampling = request.sampling
    is_thinking = thinking.is_on and not thinking.is_literal
    _write_temperature(body, sampling, report, is_thinking=is_thinking)
    if sampling.stop:
        words = [word for word in sampling.stop if word.strip()]
        if len(words) < len(sampling.stop):
            report.dropped(Feature.STOP, "sampling.stop", "stop sequences of white space alone are refused")
        if words:
            body["stop_sequences"] = words
    _tell_sampling(sampling, report)
    if request.user is not None:
        body["metadata"] = {"user_id": request.user}
    if request.service_tier is not None:
        tier = _TIERS.get(request.service_tier)
        if tier is not None:
            body["service_tier"] = tier
        else:
            report.dropped(Feature.SERVICE_TIER, "service_tier", f"there is no tier `{request.service_tier}`")
    if request.cache is not None:
        body["cache_control"] = render_cache(request.cache)
    _tell_labels(request, report)


def _write_temperature(body: dict[str, Any], sampling: Sampling, report: LossReport, *, is_thinking: bool) -> None:
    temperature, top_p, top_k = sampling.temperature, sampling.top_p, sampling.top_k
    if is_thinking and temperature not in (None, 1.0):
        report.dropped(Feature.TEMPERATURE, "sampling.temperature", "thinking excludes it")
        temperature = None
    if is_thinking and top_p is not None and top_p < _MIN_THINKING_TOP_P:
        report.dropped(Feature.TOP_P, "sampling.top_p", f"thinking excludes values below {_MIN_THINKING_TOP_P}")
        top_p = None
    if is_thinking and top_k is not None:
        report.dropped(Feature.TOP_K, "sampling.top_k", "thinking excludes it")
        top_k = None
    if temperature is not None and temperature > 1:
        report.approximated(Feature.TEMPERATURE, "sampling.temperature", "lowered to 1, the most the API takes")
        temperature = 1.0
    values = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
    body.update({name: value for name, value in values.items() if value is not None})


def _tell_sampling(sampling: Sampling, report: LossReport) -> None:
    if sampling.n is not None and sampling.n > 1:
        report.refused(Feature.N, "sampling.n", "one answer is given at a time")
    if sampling.logprobs or sampling.top_logprobs:
        report.refused(Feature.LOGPROBS, "sampling.logprobs", "the API tells none")
    if sampling.seed is not None:
        report.dropped(Feature.SEED, "sampling.seed", _NOWHERE)
    if sampling.frequency_penalty:
        report.dropped(Feature.PENALTIES, "sampling.frequency_penalty", _NOWHERE)
    if sampling.presence_penalty:
        report.dropped(Feature.PENALTIES, "sampling.presence_penalty", _NOWHERE)
    if sampling.logit_bias is not None and bytes(sampling.logit_bias).strip() not in (b"{}", b"null"):
        report.dropped(Feature.LOGIT_BIAS, "sampling.logit_bias", _NOWHERE)


def _tell_labels(request: ChatRequest, report: LossReport) -> None:
    if set(request.modalities) - {"text"}:
        report.refused(Feature.MODALITIES, "modalities", "answers are made of text")
    if request.verbosity is not None:
        report.dropped(Feature.VERBOSITY, "verbosity", _NOWHERE)
    if request.metadata:
        report.dropped(Feature.METADATA, "metadata", "only the end user's id has a place")
    if request.store:
        report.dropped(Feature.STORE, "store", "the vendor stores no exchanges")
    if request.cache_key is not None:
        report.dropped(Feature.CACHE_KEY, "cache_key", "prompts are cached by their marks alone")
