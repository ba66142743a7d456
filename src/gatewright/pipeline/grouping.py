"""Who shares an allowance: every consumer its own, every team one, everybody together, or as an expression says."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, Literal

from gatewright.core.exchange import Exchange
from gatewright.pipeline.expressions import Expression, ExpressionError, compile_expression
from gatewright.pipeline.facts import FACTS, facts_of

By = Literal["consumer", "organisation", "team", "user", "key", "issuer", "model", "consumer_and_model", "all"]
"""Each application, organisation, team, end user, key, identity provider or model has its own; each pair of consumer
and model; or everybody has one together. Who has no key with an id counts by `key` as its consumer."""

_UNKNOWN: Final = "(unknown)"
_MAX_NAME: Final = 200
"""Characters of what a caller gives of a group's name. What is longer is told apart by a digest."""
_OTHERS: Final = "\n"
"""In the place of a name: those for which there is no counter of their own. No name holds it."""
_VOUCHED_FOR: Final = ("jwt:", "introspection", "certificate")
"""How `Consumer.key_id` begins where there is no key: many consumers have the same, and must not share for that."""


class Grouping:
    """Names the group that an exchange counts for. `expression` is CEL, and then `by` is not looked at."""

    def __init__(self, by: By, expression: str | None = None, *, per_model: bool = False) -> None:
        self._by = by
        self._per_model = per_model
        self._expression: Expression | None = None
        if expression is not None:
            self._expression = compile_expression(expression, FACTS)
        self.is_fixed = expression is None and by not in ("user", "key")
        """Whether all exchanges of one consumer, from one issuer, with one model are of one group."""
        self.is_consumer = by == "consumer" and expression is None and not per_model
        """Whether the group is the consumer's path, so that callers need not ask."""

        self.is_open = expression is not None or by == "user"
        """Whether callers name the groups, and so may make as many as they like."""

    def others(self, x: Exchange) -> str:
        """The name under which a group counts together with others, where there is no room for one more: end users
        with those of the same consumer, so that nobody's users are in the way of another's."""
        who = _OTHERS
        if self._by == "user" and self._expression is None:
            who = f"{x.consumer.path}:{_OTHERS}"
        return f"{who}:{x.published_model}" if self._per_model else who

    def name(self, x: Exchange) -> str:
        """The group's name. What an expression cannot be evaluated for counts in a group of its own."""
        if self._expression is not None:
            who = _evaluate(self._expression, x)
        else:
            who = self._level(x)
        return f"{who}:{x.published_model}" if self._per_model else who

    def _level(self, x: Exchange) -> str:
        path = x.consumer.path
        match self._by:
            case "consumer":
                return path
            case "organisation":
                return path.partition("/")[0]
            case "team":
                return "/".join(path.split("/")[:2])
            case "user":
                return f"{path}:{_shorten(x.user)}"
            case "key":
                key = x.consumer.key_id
                return path if not key or key.startswith(_VOUCHED_FOR) else key
            case "issuer":
                return x.consumer.issuer
            case "model":
                return f":{x.published_model}"
            case "consumer_and_model":
                return f"{path}:{x.published_model}"
            case "all":
                return ""


def _evaluate(expression: Expression, x: Exchange) -> str:
    try:
        value = expression.evaluate(facts_of(x, expression.reads))
    except ExpressionError:
        return _UNKNOWN
    return _shorten(value if isinstance(value, str) else repr(value))


def _shorten(name: str) -> str:
    """A name as counters, metrics and the database can keep it: a caller may have chosen it, as large as a header."""
    name = name if name.isprintable() else repr(name)[1:-1]
    if len(name) <= _MAX_NAME:
        return name
    digest = blake2b(name.encode(), digest_size=16).hexdigest()
    return f"{name[: _MAX_NAME - len(digest) - 1]}…{digest}"
