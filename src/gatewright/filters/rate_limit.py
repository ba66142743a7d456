"""`rate_limit`: how many requests and tokens each consumer may use per second, minute, hour or day."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from gatewright.config.documents import Document
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange, Reply
from gatewright.core.ports import Ports
from gatewright.pipeline.filters import Filter, FilterType

_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_BYTES_PER_TOKEN: Final = 4
"""English text has about four bytes per token in today's tokenizers; the estimate is settled with the real number."""

_MAX_NAMES: Final = 10_000
"""Whose counters' keys are kept; beyond it they are made again."""

Count = Annotated[int, Meta(ge=1)]


class Config(Document, frozen=True):
    """Let each consumer use so much per period. At least one of `requests` and `tokens` is given."""

    requests: Count | None = None
    """Requests per period."""
    tokens: Count | None = None
    """Input and output tokens together per period."""
    per: Literal["second", "minute", "hour", "day"] = "minute"
    """The period. Allowance flows back evenly, so there is no edge at which two periods' worth can be used at once."""
    by: Literal["consumer", "model", "consumer_and_model", "all"] = "consumer"
    """Who shares an allowance: each consumer has its own, each model, each pair of both, or all exchanges one."""


class RateLimit(Filter):
    """Takes a request and an estimate of its tokens before the call, and settles with what was really used.

    Concurrent requests cannot pass together what only one of them may use, whichever workers they are on.
    """

    needs_task = False

    def __init__(self, config: Config, ports: Ports) -> None:
        if config.requests is None and config.tokens is None:
            raise ValueError("give `requests`, `tokens` or both")
        self._config = config
        self._counters = ports.counters
        self._scope = ports.scope
        self._per_s = _SECONDS[config.per]
        self._requests = config.requests
        self._tokens = config.tokens
        self._by_consumer = config.by == "consumer"
        self._keys: dict[str, tuple[str, str]] = {}
        """Who shares an allowance → the keys of its counters, for requests and for tokens. Kept, because every request
        asks for them, and a string made anew must be hashed anew."""

    async def on_reserve(self, x: Exchange) -> Reply | None:
        # Counted here, not per attempt: failover must not multiply a consumer's charge.
        who = x.consumer.path if self._by_consumer else self._name(x)
        requests_key, tokens_key = self._keys.get(who) or self._make_keys(who)
        counters, per_s = self._counters, self._per_s
        requests, tokens = self._requests, self._tokens
        if requests is not None:
            wait_s = counters.take(requests_key, 1.0, requests, per_s)
            if wait_s:
                raise self._refusal("requests", wait_s)
        if tokens is not None:
            estimate = _estimate_tokens(x)
            wait_s = counters.take(tokens_key, estimate, tokens, per_s)
            if wait_s:
                if requests is not None:
                    counters.give(requests_key, 1.0, requests, per_s)
                raise self._refusal("tokens", wait_s)
            x.notes[self] = (tokens_key, estimate)
        return None

    def on_settle(self, x: Exchange) -> None:
        note = x.notes.pop(self, None)
        if note is None or self._tokens is None:
            return
        tokens_key, estimate = note
        usage = x.usage
        if usage is not None:
            used: float = usage.input_total + usage.output_total
        else:
            # Nothing reported: an exchange that brought no answer costs nothing, one that was cut keeps its estimate.
            used = estimate if x.status in (200, 499) and x.bytes_out else 0.0
        self._counters.give(tokens_key, estimate - used, self._tokens, self._per_s)

    def _refusal(self, what: Literal["requests", "tokens"], wait_s: float) -> GatewayError:
        limit = f"{getattr(self._config, what)} {what} per {self._config.per}"
        return GatewayError(
            Kind.RATE_LIMITED,
            f"The limit of {limit} is used up. Try again in {max(wait_s, 0.001):.3g} s.",
            retry_after_s=wait_s,
        )

    def _name(self, x: Exchange) -> str:
        by = self._config.by
        if by == "model":
            return f":{x.published_model}"
        return "" if by == "all" else f"{x.consumer.path}:{x.published_model}"

    def _make_keys(self, who: str) -> tuple[str, str]:
        key = f"{self._scope}:{who}" if self._config.by != "all" else self._scope
        if len(self._keys) >= _MAX_NAMES:
            self._keys.clear()
        keys = self._keys[who] = ("requests:" + key, "tokens:" + key)
        return keys


def _estimate_tokens(x: Exchange) -> float:
    """Input by the size of the body, output by what the client allows; never less than one."""
    if x.is_media:
        return 1.0
    estimate = len(x.body) / _BYTES_PER_TOKEN
    fields = x.fields
    allowed = fields.get("max_completion_tokens") or fields.get("max_tokens")
    if allowed is not None:
        text = bytes(allowed)
        if text.isdigit() and len(text) < 10:
            estimate += int(text)
    return estimate if estimate > 1.0 else 1.0


RATE_LIMIT: Final = FilterType(
    "rate_limit", Config, RateLimit, "How many requests and tokens a consumer or model may use per period."
)
