"""The compiled configuration an exchange runs under: immutable, swapped by one assignment, held to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from hashlib import sha256
from typing import Any, Final

import msgspec

from gatewright.config.catalogue import find, on_day
from gatewright.config.documents import Gateway
from gatewright.config.pricing import Pricing, compile_pricing
from gatewright.core.consumer import Consumer
from gatewright.core.traits import Traits
from gatewright.pipeline.access import Access
from gatewright.pipeline.chain import EMPTY_CHAIN, Chain
from gatewright.pipeline.identities import Identities
from gatewright.pipeline.matching import NameTable, find_dividing, is_match, is_selected
from gatewright.pipeline.provider import Upstream
from gatewright.pipeline.targets import AttachedPolicy, PublishedModel

_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY_CHECKED_S: Final = 60.0
_MAX_CHAINS: Final = 10_000
"""Chains, traits and prices kept per snapshot; beyond it a table is begun anew, so no model names can grow it."""


class Snapshot:
    """Everything the data plane asks of the configuration, as look-ups."""

    def __init__(
        self,
        *,
        version: int,
        document: Gateway,
        models: Mapping[str, PublishedModel],
        keys: Mapping[bytes, Consumer],
        anonymous: bool,
        policies: Sequence[AttachedPolicy],
        access: Access,
        identities: Identities,
    ) -> None:
        self.version = version
        self.document = document
        self.models: NameTable[PublishedModel] = NameTable(models)
        self.anonymous = anonymous
        self.access = access
        self.has_access_rules = access.has_rules
        self.identities = identities
        self.user_header = document.identity.end_user.header.encode()
        self._keys = keys
        self._policies = tuple(policies)
        self.has_reservations = any(Chain([policy.filter]).on_reserve for policy in self._policies)
        self.mixed_dialects = _mixed_dialects(models.values())
        """Client dialects that one target speaks and another is translated to: what was carried through a client of
        theirs may come to a target that cannot read it."""
        self._pricings: dict[tuple[str, str], Pricing | None] = {}
        self._day = ""
        self._day_until = float("-inf")
        self._traits: dict[tuple[str, str], Traits] = {}
        self._chains: dict[tuple[str, str, str], Chain] = {}
        selectors = [selector for policy in self._policies for selector in policy.on.models]
        self._dividing = {name: found for name in models if (found := find_dividing(name, selectors))}
        """For each published pattern the selectors that mean some of its names: the others mean all or none."""
        self._divided_chains: dict[tuple[str, str, str, tuple[str, ...]], Chain] = {}
        self._published = tuple(models.values())
        self._holders: dict[str, tuple[PublishedModel | None, int]] = {}

    def consumer_of(self, key: bytes) -> Consumer | None:
        """Who holds this key. Keys are compared by their SHA-256, so timing tells nothing about the key itself."""
        return self._keys.get(sha256(key).digest()) if self._keys else None

    @property
    def configured_keys(self) -> Mapping[bytes, Consumer]:
        """The keys of the configuration, by their SHA-256."""
        return self._keys

    def holder_of(self, dialect: str) -> tuple[PublishedModel | None, int]:
        """For calls that name no model: the first published one whose provider speaks `dialect`, and how many providers
        do."""
        found = self._holders.get(dialect)
        if found is None:
            able = [
                (model, target.provider)
                for model in self._published
                for target in model.in_use()
                if dialect in target.upstream.paths
            ]
            found = self._holders[dialect] = (able[0][0] if able else None, len({provider for _, provider in able}))
        return found

    def traits_of(self, upstream: Upstream, model: str) -> Traits:
        """How to speak to one model of a provider, as its type's table and the catalogue tell."""
        key = (upstream.name, model)
        traits = self._traits.get(key)
        if traits is None:
            if len(self._traits) >= _MAX_CHAINS:
                self._traits.clear()
            traits = self._traits[key] = self._find_traits(upstream, model)
        return traits

    def pricing_of(self, upstream: Upstream, model: str, now: float, wall: Callable[[], float]) -> Pricing | None:
        """What one model of a provider costs today; None when that is not known. `now` is monotonic, and asked first:
        the calendar is looked at once a minute."""
        if now >= self._day_until:
            self._day_until = now + _DAY_CHECKED_S
            day = date.fromordinal(_EPOCH + int(wall() // 86_400)).isoformat()
            if day != self._day:
                self._day = day
                self._pricings.clear()
        key = (upstream.type, model)
        pricing = self._pricings.get(key)
        if pricing is not None or key in self._pricings:
            return pricing
        if len(self._pricings) >= _MAX_CHAINS:
            self._pricings.clear()
        facts = find(self.document.catalogue, upstream.type, model)
        found = self._pricings[key] = None if facts is None else compile_pricing(on_day(facts, self._day))
        return found

    def _find_traits(self, upstream: Upstream, model: str) -> Traits:
        changes: dict[str, Any] = {}
        for pattern, members in upstream.model_traits:
            if is_match(pattern, model):
                changes |= members
                break
        facts = find(self.document.catalogue, upstream.type, model)
        if facts is not None:
            changes["max_output_tokens"] = facts.max_output_tokens
            if facts.capabilities is not None and "json_schema" in facts.capabilities:
                changes["has_json_schema"] = True
        return msgspec.structs.replace(upstream.traits, **changes)

    def chain_for(self, consumer: Consumer, published: str, called: str) -> Chain:
        """The filters for this consumer and model, by its published name and the one it is called by.

        The two differ under a published pattern, where policies may be for some names alone.
        """
        if not self._policies:
            return EMPTY_CHAIN
        path, issuer = consumer.path, consumer.issuer
        chain = self._chains.get((path, issuer, published))
        return self._find_chain(path, issuer, published, called) if chain is None else chain

    def _find_chain(self, path: str, issuer: str, published: str, called: str) -> Chain:
        dividing = self._dividing.get(published)
        if dividing is None:
            if len(self._chains) >= _MAX_CHAINS:
                self._chains.clear()
            chain = self._chains[path, issuer, published] = self._build_chain(path, issuer, called)
            return chain
        # Kept by what the name matches, not by the name: callers may invent as many as they like.
        key = (path, issuer, published, tuple([selector for selector in dividing if is_match(selector, called)]))
        found = self._divided_chains.get(key)
        if found is None:
            if len(self._divided_chains) >= _MAX_CHAINS:
                self._divided_chains.clear()
            found = self._divided_chains[key] = self._build_chain(path, issuer, called)
        return found

    def _build_chain(self, path: str, issuer: str, called: str) -> Chain:
        return Chain(
            [
                policy.filter
                for policy in self._policies
                if is_selected(policy.on.models, called)
                and is_selected(policy.on.consumers, path)
                and (not policy.on.issuers or issuer in policy.on.issuers)
            ]
        )


def _mixed_dialects(models: Iterable[PublishedModel]) -> frozenset[str]:
    spoken: set[str] = set()
    translated: set[str] = set()
    for model in models:
        for target in (*model.targets, *model.fallback):
            for name, route in target.routes.items():
                (spoken if route.is_identity else translated).add(name)
    return frozenset(spoken & translated)
