"""From a checked document to a snapshot: every reference bound, every request head rendered, every filter built.

Control builds one for trial before it hands a document on; each worker builds its own. Either way all errors come
together, and nothing outside is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from gatewright.config.access import find_access_errors
from gatewright.config.check import convert
from gatewright.config.documents import Document, Gateway, Model, Target
from gatewright.config.problems import ConfigError, InvalidConfig
from gatewright.core.consumer import Consumer
from gatewright.core.ports import Ports
from gatewright.pipeline.access import build_access
from gatewright.pipeline.filters import Filter, FilterType
from gatewright.pipeline.identities import build_identities
from gatewright.pipeline.provider import ProviderType, Upstream
from gatewright.pipeline.routes import build_routes
from gatewright.pipeline.snapshot import Snapshot
from gatewright.pipeline.targets import AttachedPolicy, BoundTarget, PublishedModel
from gatewright.translate.identity import render_name


def build_snapshot(
    document: Gateway,
    *,
    version: int,
    providers: Sequence[ProviderType[Any]],
    filters: Sequence[FilterType],
    ports: Ports,
) -> Snapshot:
    """Compile `document`. Raises InvalidConfig with every error."""
    errors: list[ConfigError] = []
    upstreams = build_upstreams(document, providers, errors)
    models = {name: _build_model(name, model, upstreams) for name, model in document.models.items()}
    policies = _build_policies(document, filters, ports, errors)
    access = build_access(document.access, errors)
    errors.extend(find_access_errors(document.access, document.identity.issuers))
    identities = build_identities(document.identity, errors)
    if errors:
        raise InvalidConfig(errors)
    return Snapshot(
        version=version,
        document=document,
        models={name: model for name, model in models.items() if model is not None},
        keys=_build_keys(document),
        anonymous=is_anonymous_allowed(document),
        policies=policies,
        access=access,
        identities=identities,
    )


def is_anonymous_allowed(document: Gateway) -> bool:
    """Whether calls without a key are served: as configured, else only when there is nobody to tell apart."""
    if document.anonymous is not None:
        return document.anonymous
    return not document.consumers and not document.identity.recognises_callers


def build_upstreams(
    document: Gateway, providers: Sequence[ProviderType[Any]], errors: list[ConfigError]
) -> dict[str, Upstream]:
    """Compile every provider; what is wrong with one is added to `errors`, and it is left out."""
    types = {provider.name: provider for provider in providers}
    upstreams: dict[str, Upstream] = {}
    for name, raw in document.providers.items():
        path = f"providers.{name}"
        kind = raw.get("type")
        if not isinstance(kind, str) or kind not in types:
            known = ", ".join(sorted(types))
            wrong = "has no type" if kind is None else f"there is no provider type {kind!r}"
            errors.append(ConfigError(f"{path}.type" if kind is not None else path, f"{wrong}; known types: {known}"))
            continue
        built = _build_checked(types[kind].config, raw, path, errors, partial(types[kind].build, name))
        if built is not None:
            upstreams[name] = built
    return upstreams


def _build_policies(
    document: Gateway, filters: Sequence[FilterType], ports: Ports, errors: list[ConfigError]
) -> list[AttachedPolicy]:
    types = {kind.name: kind for kind in filters}
    policies: list[AttachedPolicy] = []
    for index, policy in enumerate(document.policies):
        path = f"policies[{index}]"
        kind = types.get(policy.filter)
        if kind is None:
            known = ", ".join(sorted(types))
            errors.append(
                ConfigError(f"{path}.filter", f"there is no filter {policy.filter!r}; known filters: {known}")
            )
            continue
        # Counters are kept under the scope: a name outlives a new order of the policies.
        scope = policy.name if policy.name is not None else f"{policy.filter}#{index}"
        scoped = msgspec.structs.replace(ports, scope=scope, is_named=policy.name is not None)
        built = _build_checked(
            kind.config, policy.config, f"{path}.config", errors, partial(_build_filter, kind, scoped)
        )
        if built is not None:
            policies.append(AttachedPolicy(policy.name or policy.filter, policy.on, built))
    return policies


def _build_filter(kind: FilterType, ports: Ports, config: Document) -> Filter:
    return kind.build(config, ports)


def _build_checked(
    config_type: Any, raw: Any, path: str, errors: list[ConfigError], build: Callable[[Any], Any]
) -> Any | None:
    config, found = convert(raw, config_type, path)
    errors.extend(found)
    if config is None:
        return None
    try:
        return build(config)
    except ValueError as error:
        errors.append(ConfigError(path, str(error)))
        return None


def _build_model(name: str, model: Model, upstreams: Mapping[str, Upstream]) -> PublishedModel | None:
    targets = tuple(_bind(model.targets, upstreams))
    if not targets:
        return None  # its providers are in error themselves
    return PublishedModel(
        name=name,
        name_json=render_name(name),
        targets=targets,
        fallback=tuple(_bind(model.fallback, upstreams)),
        attempts=model.attempts,
        fidelity=model.fidelity,
        total_weight=sum(target.weight for target in targets),
    )


def _bind(targets: Sequence[Target], upstreams: Mapping[str, Upstream]) -> Iterable[BoundTarget]:
    for target in targets:
        upstream = upstreams.get(target.provider)
        if upstream is not None:
            yield BoundTarget(
                provider=target.provider,
                model=target.model,
                model_json=None if target.model is None else render_name(target.model),
                weight=target.weight,
                upstream=upstream,
                routes=build_routes(upstream, target.model),
                timeouts=upstream.timeouts,
            )


def _build_keys(document: Gateway) -> dict[bytes, Consumer]:
    keys: dict[bytes, Consumer] = {}
    for org_name, organisation in document.consumers.items():
        for team_name, team in organisation.teams.items():
            for app_name, app in team.apps.items():
                consumer = Consumer(f"{org_name}/{team_name}/{app_name}")
                for key in app.keys:
                    keys[bytes.fromhex(key.removeprefix("sha256:"))] = consumer
    return keys
