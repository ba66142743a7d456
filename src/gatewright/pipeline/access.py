"""Who may call what: the scopes of a credential, and the rules of the configuration (DESIGN §4, authorize).

A call is allowed when the scopes of its credential hold it and, once there is any rule, one rule covers and allows it.
What depends only on consumer, credential, model and surface is decided once and remembered as a verdict; most verdicts
allow, and a call then costs one look-up. The others know which rules must look into the request.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from typing import Any, Final

from msgspec import Struct

from gatewright.config.access import AccessRule
from gatewright.config.problems import ConfigError
from gatewright.config.wording import listing, shortened, suggestion
from gatewright.core.chat import ChatRequest, Message, Text
from gatewright.core.consumer import Consumer, Scopes
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.loss import LossReport
from gatewright.core.surface import Dialect
from gatewright.core.traits import Traits
from gatewright.dialects import DIALECTS
from gatewright.pipeline.expressions import Expression, ExpressionError, compile_expression
from gatewright.pipeline.facts import FACTS, answers_of, facts_of, max_tokens_of, media_of, tools_of
from gatewright.pipeline.matching import is_selected
from gatewright.pipeline.model_choice import find_choices, find_published, is_called_model

_FAMILIES: Final = {surface.name: dialect.family for dialect in DIALECTS for surface in dialect.surfaces}
_ACCOUNT: Final = frozenset(
    surface.name for dialect in DIALECTS for surface in dialect.surfaces if not surface.names_model
)
"""Surfaces of what a provider's account holds, where a call can run any of its models: files and batches."""
_MAX_KEPT: Final = 10_000
"""Verdicts, and consumers' rules, that are remembered; beyond it the table is begun anew."""
_MAX_NAME: Final = 256
"""A model's name longer than this is no published one, so nothing is remembered of it."""
_MAX_ADDRESSES: Final = 1_000
_MAX_SHOWN: Final = 5
_MARK: Final = 7_919
"""A limit that stands nowhere else in a request, to find the member that holds it."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Reason(Struct, frozen=True):
    """Why one rule does not allow a call that it covers."""

    text: str
    param: str | None = None
    cause: BaseException | None = None


class Rule:
    """A compiled access rule."""

    __slots__ = ("_document", "_when", "is_conditional", "name", "restricts_models")

    def __init__(self, document: AccessRule) -> None:
        """Raises ValueError when `when` is not an expression over the facts of an exchange."""
        self._document = document
        self._when: Expression | None = None
        if document.when is not None:
            self._when = compile_expression(document.when, FACTS)
        self.name = document.name
        self.is_conditional = document.when is not None or document.is_limited
        """Whether it must look at each request."""
        self.restricts_models = bool(document.models) or (self._when is not None and _reads_model(self._when))
        """Whether it does not treat all models alike."""

    def covers_consumer(self, consumer: Consumer) -> bool:
        """Whether it says anything of this consumer."""
        document = self._document
        return is_selected(document.consumers, consumer.path) and (
            not document.issuers or consumer.issuer in document.issuers
        )

    def covers_model(self, model: str) -> bool:
        """Whether it covers this model on any surface."""
        return is_selected(self._document.models, model)

    def covers_surface(self, surface: str) -> bool:
        """Whether it covers calls on this surface."""
        document = self._document
        if document.surfaces and surface not in document.surfaces:
            return False
        if surface in _ACCOUNT and self.restricts_models and not document.surfaces:
            return False
        return not document.is_limited or _FAMILIES.get(surface) != "passing"

    def covers_any_of(self, surfaces: Sequence[str]) -> bool:
        """Whether it covers one of these surfaces; none means all."""
        return not surfaces or any(self.covers_surface(surface) for surface in surfaces)

    def find_reason(self, x: Exchange) -> Reason | None:
        """Why a call that it covers is not allowed by it; None allows it. Raises GatewayError (malformed_request)."""
        document = self._document
        if document.max_tokens is not None and x.dialect is not None and x.dialect.family == "chat":
            asked = max_tokens_of(x)
            if asked is None or asked > document.max_tokens:
                member = limit_member(x.dialect)
                must = "may be at most" if asked is not None else "must be sent, and be at most"
                answers = answers_of(x) or 1
                over = "" if answers == 1 else f" for all {answers} answers together"
                return Reason(f"`{member}` {must} {document.max_tokens}{over} (rule `{self.name}`)", member)
        if not document.tools and tools_of(x):
            return Reason(f"requests may offer no tools (rule `{self.name}`)", "tools")
        if not document.images and media_of(x).images:
            return Reason(f"requests may hold no images (rule `{self.name}`)")
        return None if self._when is None else self._find_unmet(x, self._when)

    def _find_unmet(self, x: Exchange, when: Expression) -> Reason | None:
        try:
            value = when.evaluate(facts_of(x, when.reads))
        except ExpressionError as error:
            return Reason(f"the condition of the rule `{self.name}` cannot be evaluated for this request", cause=error)
        if value is True:
            return None
        if value is False:
            return Reason(f"the condition of the rule `{self.name}` is not met")
        cause = ExpressionError(f"`when` gives a value of the type {type(value).__name__}")
        return Reason(f"the condition of the rule `{self.name}` gives neither true nor false", cause=cause)


class Verdict:
    """What is known of a kind of call before its request is looked at."""

    __slots__ = ("addresses", "is_narrow", "networks", "open_rules", "refusal", "rules")

    def __init__(self, refusal: tuple[str, str | None] | None, networks: tuple[Network, ...] | None) -> None:
        self.refusal = refusal
        """Message and request member, where it is refused whatever the request holds."""
        self.networks = networks
        """Where the caller must be; None for anywhere."""
        self.rules: tuple[Rule, ...] = ()
        """If any, then one of these must allow it."""
        self.is_narrow = False
        """Whether only some models may be called, so that the request may let its provider choose no others."""
        self.open_rules: tuple[Rule, ...] = ()
        """Rules that cover it and treat all models alike: a request that one of them allows may name any."""
        self.addresses: dict[str, bool] = {}


_UNKNOWN: Final = object()


class Access:
    """Decides about calls, for one configuration; remembers verdicts, so make one per snapshot."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = tuple(rules)
        self.has_rules = bool(self._rules)
        """Without any, only credentials that are narrowed need `check`."""
        self._verdicts: dict[Any, Verdict | None] = {}
        self._own_rules: dict[tuple[str, str], tuple[Rule, ...]] = {}

    def check(self, x: Exchange, address: str) -> None:
        """Raise GatewayError (forbidden) unless the call is allowed.

        Call once per exchange, when consumer, model, surface and dialect are known. `address` is the client's, as text;
        it is looked at only for credentials that are bound to networks.
        """
        verdict = self._find_verdict(x)
        if verdict is None:
            return
        _apply(verdict, x, address)
        if verdict.is_narrow and (choices := find_choices(x.fields)):
            if any(rule.find_reason(x) is None for rule in verdict.open_rules):
                return
            for member, name in choices:
                if not is_called_model(x, name):
                    self._check_choice(x, member, name, address)

    def _find_verdict(self, x: Exchange) -> Verdict | None:
        """What is known of a call on the exchange's model; None when it is allowed whatever it holds."""
        consumer, surface = x.consumer, x.surface
        key = (
            x.requested_model,
            "" if surface is None else surface.name,
            consumer.path,
            consumer.issuer,
            consumer.scopes,
        )
        verdict = self._verdicts.get(key, _UNKNOWN)
        if verdict is None or isinstance(verdict, Verdict):
            return verdict
        found = self._decide(consumer, key[0], key[1])
        if len(key[0]) <= _MAX_NAME:
            if len(self._verdicts) >= _MAX_KEPT:
                self._verdicts.clear()
            self._verdicts[key] = found
        return found

    def _check_choice(self, x: Exchange, member: str, name: str, address: str) -> None:
        """Raise GatewayError (forbidden) unless the model that a member names could be called by this very request."""
        if not name:
            message = f"`{shortened(member)}` lets the provider choose a model, and you may call some models only."
            raise GatewayError(Kind.FORBIDDEN, message, param=member)
        published = find_published(x, name)
        if published is None:
            raise GatewayError(
                Kind.FORBIDDEN,
                f"`{shortened(member)}` names {_shown(name)}, which is not published here by the provider's name for "
                "it, and you may call some models only.",
                param=member,
            )
        called = x.requested_model, x.published_model
        x.requested_model, x.published_model = name, published
        try:
            verdict = self._find_verdict(x)
            if verdict is not None:
                _apply(verdict, x, address)
        except GatewayError as refused:
            raise GatewayError(
                refused.kind,
                f"`{shortened(member)}` names {_shown(name)}. {refused.message}",
                param=member,
                cause=refused.cause,
            ) from None
        finally:
            x.requested_model, x.published_model = called

    def check_address(self, consumer: Consumer, address: str) -> None:
        """Raise GatewayError (forbidden) when the credential is bound to networks that `address` is in none of.

        For what is answered without a model being called.
        """
        networks = _networks_of(consumer.scopes)
        if networks is not None:
            _check_address(Verdict(None, networks), address)

    def is_listed(self, consumer: Consumer, model: str) -> bool:
        """Whether the consumer may call the model in some way, as far as that can be told without a request."""
        scopes = consumer.scopes or _ANYTHING
        if not is_selected(scopes.models, model):
            return False
        if not self._rules:
            return True
        return any(
            rule.covers_model(model) and rule.covers_any_of(scopes.surfaces) for rule in self._rules_of(consumer)
        )

    def _rules_of(self, consumer: Consumer) -> tuple[Rule, ...]:
        key = (consumer.path, consumer.issuer)
        found = self._own_rules.get(key)
        if found is None:
            if len(self._own_rules) >= _MAX_KEPT:
                self._own_rules.clear()
            found = self._own_rules[key] = tuple(rule for rule in self._rules if rule.covers_consumer(consumer))
        return found

    def _decide(self, consumer: Consumer, model: str, surface: str) -> Verdict | None:
        networks = _networks_of(consumer.scopes)
        scopes = consumer.scopes or _ANYTHING
        verdict = Verdict(_refuse_by_scopes(scopes, model, surface), networks)
        verdict.is_narrow = bool(scopes.models)
        if verdict.refusal is not None:
            return verdict
        if self._rules:
            own = self._rules_of(consumer)
            covering = [rule for rule in own if rule.covers_model(model)]
            rules = tuple([rule for rule in covering if rule.covers_surface(surface)])
            if not rules:
                verdict.refusal = _refuse_uncovered(consumer, model, surface, own, covering)
                return verdict
            _add_rules(verdict, rules)
        return verdict if verdict.rules or verdict.is_narrow or networks is not None else None


def _add_rules(verdict: Verdict, rules: tuple[Rule, ...]) -> None:
    """Make it a verdict of rules too; these are those that cover the call."""
    free = [rule for rule in rules if not rule.is_conditional]
    if not free:
        verdict.rules = rules
    if not verdict.is_narrow and all(rule.restricts_models for rule in free):
        verdict.is_narrow = any(rule.restricts_models for rule in rules)
        verdict.open_rules = tuple([rule for rule in rules if not rule.restricts_models])


def _reads_model(when: Expression) -> bool:
    return any(
        path[0] == "request" and (len(path) == 1 or path[1] in ("model", "published_model")) for path in when.reads
    )


_ANYTHING: Final = Scopes()


def build_access(documents: Sequence[AccessRule], errors: list[ConfigError]) -> Access:
    """Compile the rules; what is wrong with one is added to `errors`, and it is left out."""
    rules: list[Rule] = []
    for index, document in enumerate(documents):
        place = f"access[{index}]"
        try:
            rules.append(Rule(document))
        except ValueError as error:
            errors.append(ConfigError(f"{place}.when", str(error)))
        for position, surface in enumerate(document.surfaces):
            message = find_surface_error(surface)
            if message is None and document.is_limited and _FAMILIES[surface] == "passing":
                message = (
                    f"requests on `{surface}` are passed on unread, so that `max_tokens`, `tools` and `images` cannot "
                    "be checked; write another rule for it, without these"
                )
            if message is not None:
                errors.append(ConfigError(f"{place}.surfaces[{position}]", message))
    return Access(rules)


def find_surface_error(name: str) -> str | None:
    """What is wrong with a surface's name; None when there is such a surface."""
    if name in _FAMILIES:
        return None
    near = suggestion(name, list(_FAMILIES))
    return f"there is no surface `{name}`; " + (f"did you mean `{near}`?" if near else f"use {listing(_FAMILIES)}")


def limit_member(dialect: Dialect) -> str:
    """Where a request of this chat dialect says how many tokens it wants (`inferenceConfig.maxTokens`)."""
    if dialect.chat is None:
        raise ValueError(f"{dialect.name} is no chat dialect")
    ask = Message(role="user", parts=(Text(text="?"),))
    request = ChatRequest(model="m", messages=(ask,), max_output_tokens=_MARK)
    members = dialect.chat.encode_request(request, Traits(), LossReport("permissive"))
    return _find_member(members) or "max_tokens"


def _find_member(members: dict[str, Any]) -> str | None:
    for name, value in members.items():
        if value == _MARK:
            return name
        inner = _find_member(value) if isinstance(value, dict) else None
        if inner is not None:
            return f"{name}.{inner}"
    return None


# -- refusing ---------------------------------------------------------------------------------------------------------


def _apply(verdict: Verdict, x: Exchange, address: str) -> None:
    _check_address(verdict, address)
    if verdict.refusal is not None:
        message, param = verdict.refusal
        raise GatewayError(Kind.FORBIDDEN, message, param=param)
    reasons: list[Reason] = []
    for rule in verdict.rules:
        reason = rule.find_reason(x)
        if reason is None:
            return
        reasons.append(reason)
    if reasons:
        shown = "; or ".join(reason.text for reason in reasons[:_MAX_SHOWN])
        causes = [reason.cause for reason in reasons if reason.cause is not None]
        raise GatewayError(
            Kind.FORBIDDEN,
            f"This call is not allowed: {shown}.",
            param=reasons[0].param if len(reasons) == 1 else None,
            cause=causes[0] if causes else None,
        )


def _refuse_by_scopes(scopes: Scopes, model: str, surface: str) -> tuple[str, str | None] | None:
    if not is_selected(scopes.models, model):
        return f"This key is not for the model {_shown(model)}; it is for {_some(scopes.models)}.", "model"
    if scopes.surfaces and surface not in scopes.surfaces:
        return f"This key is not for the surface `{surface}`; it is for {_some(scopes.surfaces)}.", None
    if scopes.models and not scopes.surfaces and surface in _ACCOUNT:
        return (
            f"This key is for some models only. On the surface `{surface}` any of the provider's could be run, so the "
            "key must be for that surface too.",
            None,
        )
    return None


def _refuse_uncovered(
    consumer: Consumer, model: str, surface: str, own: Collection[Rule], covering: Collection[Rule]
) -> tuple[str, str | None]:
    """What is said when no rule covers a call; nothing of what others may."""
    who = f"`{shortened(consumer.path)}`"
    if not own:
        return f"{who} may not call models: no access rule covers it.", None
    if not covering:
        return f"{who} may not call the model {_shown(model)}: no access rule covers it.", "model"
    return f"{who} may not call the model {_shown(model)} on the surface `{surface}`: no access rule covers it.", None


def _shown(model: str) -> str:
    return f"`{shortened(model)}`"


def _some(names: Sequence[str]) -> str:
    return listing(names[:_MAX_SHOWN]) + (", …" if len(names) > _MAX_SHOWN else "")


# -- where the caller is ----------------------------------------------------------------------------------------------


def _networks_of(scopes: Scopes | None) -> tuple[Network, ...] | None:
    """The networks of a credential; None when it is bound to none. What is no network holds no address."""
    if scopes is None or not scopes.networks:
        return None
    networks = []
    for text in scopes.networks:
        try:
            networks.append(parse_network(text))
        except ValueError:
            continue
    return tuple(networks)


def parse_network(text: str) -> Network:
    """A CIDR range, or one address; ranges of IPv4 addresses within IPv6 (`::ffff:10.0.0.0/104`) are of IPv4.

    Raises ValueError.
    """
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((int(mapped), network.prefixlen - 96))
    return network


def _check_address(verdict: Verdict, address: str) -> None:
    networks = verdict.networks
    if networks is None:
        return
    known = verdict.addresses
    is_inside = known.get(address)
    if is_inside is None:
        if len(known) >= _MAX_ADDRESSES:
            known.clear()
        is_inside = known[address] = _is_inside(address, networks)
    if not is_inside:
        raise GatewayError(Kind.FORBIDDEN, f"This key may not be used from {shortened(address) or 'here'}.")


def _is_inside(address: str, networks: Collection[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    return any(parsed in network for network in networks)
