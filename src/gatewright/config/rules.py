"""What must fit together across a document: names that exist, addresses that differ, a door that is not left open.

Each rule looks at one thing and yields what is wrong. A rule sees a document in which broken values are empty (see
`check.salvage`), so it skips what is empty, and it does not run at all when a section it draws conclusions from is
broken as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

from gatewright.config.address import is_loopback, is_wildcard, parse_address
from gatewright.config.counters import find_faults
from gatewright.config.documents import Application, Gateway, Model, Target
from gatewright.config.problems import ConfigError
from gatewright.config.tree import join
from gatewright.config.wording import listing, suggestion
from gatewright.core.secret import Secret

_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_NAME_FORM: Final = (
    "may hold letters, digits and . _ - only (at most 128), as it becomes part of paths, labels and logs"
)
_ORIGIN = re.compile(r"\*|https?://[^/?#\s@*]+")
_MAX_MODEL_NAME: Final = 256
_MAX_NAMES_SHOWN: Final = 12


def find_errors(document: Gateway, broken: Collection[str] = ()) -> list[ConfigError]:
    """Everything in the document that does not fit together.

    `broken` names the top-level keys that are unreadable as a whole: no rule draws a conclusion from them.
    """
    return [error for needs, rule in _ERRORS if not needs & set(broken) for error in rule(document)]


def find_warnings(document: Gateway) -> list[ConfigError]:
    """What is allowed but hardly meant."""
    return [warning for rule in _WARNINGS for warning in rule(document)]


def _addresses(document: Gateway) -> Iterator[ConfigError]:
    parsed = {}
    for key, text in (("listen", document.listen), ("admin", document.admin)):
        try:
            parsed[key] = parse_address(text)
        except ValueError as error:
            yield ConfigError(key, f"cannot listen there: {error}")
    if len(parsed) == 2:
        (host, port), (admin_host, admin_port) = parsed["listen"], parsed["admin"]
        overlap = host == admin_host or is_wildcard(host) or is_wildcard(admin_host)
        if overlap and port == admin_port != 0:
            yield ConfigError("admin", f"must differ from `listen` ({document.listen}); give it another port")


def _open_door(document: Gateway) -> Iterator[ConfigError]:
    try:
        host, _ = parse_address(document.listen)
    except ValueError:
        return
    has_callers = bool(document.consumers) or document.identity.recognises_callers
    if document.anonymous is None and not has_callers and not is_loopback(host):
        yield ConfigError(
            "listen",
            f"{document.listen} can be reached from the network, but no consumers are configured; add "
            "`anonymous: false` to serve those only who have a key (`gatewright keys create` makes one), or "
            "`anonymous: true` to serve whoever reaches it, or listen on 127.0.0.1",
        )


def _certificates(document: Gateway) -> Iterator[ConfigError]:
    if document.identity.certificates is not None and (document.tls is None or document.tls.client_ca is None):
        message = "clients are not asked for a certificate; set `tls.client_ca` to the authority that signs theirs"
        yield ConfigError("identity.certificates", message)


def _origins(document: Gateway) -> Iterator[ConfigError]:
    for index, origin in enumerate(document.cors.origins if document.cors else ()):
        if origin and not _ORIGIN.fullmatch(origin):
            message = "is not an origin; write scheme and host without a path (`https://chat.example.com`), or `*`"
            yield ConfigError(f"cors.origins[{index}]", message)


def _provider_entries(document: Gateway) -> Iterator[ConfigError]:
    for name, provider in document.providers.items():
        path = join("providers", name)
        if not _NAME.fullmatch(name):
            yield ConfigError(path, f"a provider's name {_NAME_FORM}")
        kind = provider.get("type")
        if "type" not in provider:
            typo = next((key for key in provider if suggestion(key, ["type"])), None)
            advice = f"did you mean it by `{typo}`?" if typo else "add `type: …` (openai, openai_compatible, local, …)"
            yield ConfigError(path, f"`type` is missing; {advice}")
        elif not isinstance(kind, str | Secret):
            yield ConfigError(join(path, "type"), "expected text: the provider type (openai, openai_compatible, …)")
        tls = provider.get("tls")
        if isinstance(tls, dict) and ("certificate" in tls) != ("key" in tls):
            missing = "key" if "certificate" in tls else "certificate"
            message = f"`{missing}` is missing; a client certificate and its key belong together"
            yield ConfigError(join(path, "tls"), message)


def _model_names(document: Gateway) -> Iterator[ConfigError]:
    for name in document.models:
        path = join("models", name)
        if not name or len(name) > _MAX_MODEL_NAME or not name.isprintable() or " " in name:
            message = f"a model's name must have 1 to {_MAX_MODEL_NAME} visible characters and no spaces"
            yield ConfigError(path, message)
        elif "*" in name[:-1]:
            yield ConfigError(path, f"a pattern has one `*`, at its end; write `{name.partition('*')[0]}*`")


def _targets(document: Gateway) -> Iterator[ConfigError]:
    for name, model in document.models.items():
        path = join("models", name)
        for place, target in _all_targets(path, model):
            if target.provider and target.provider not in document.providers:
                yield ConfigError(join(place, "provider"), _no_provider(target.provider, document.providers))
        if model.targets and not any(target.weight for target in model.targets):
            yield ConfigError(
                join(path, "targets"), "every target has weight 0, so none is ever chosen; give one at least 1"
            )


def _all_targets(path: str, model: Model) -> Iterator[tuple[str, Target]]:
    for key, targets in (("targets", model.targets), ("fallback", model.fallback)):
        for index, target in enumerate(targets):
            yield join(join(path, key), index), target


def _no_provider(name: str, providers: Mapping[str, object]) -> str:
    if not providers:
        return f"there is no provider `{name}`; add it under `providers`"
    near = suggestion(name, list(providers))
    if near:
        return f"there is no provider `{name}`; did you mean `{near}`?"
    shown = listing(list(providers)[:_MAX_NAMES_SHOWN]) + (", …" if len(providers) > _MAX_NAMES_SHOWN else "")
    return f"there is no provider `{name}`; add it under `providers`, or use one of {shown}"


def _consumer_names(document: Gateway) -> Iterator[ConfigError]:
    for place, names, _ in _consumers(document):
        if not _NAME.fullmatch(names[-1]):
            yield ConfigError(place, f"a consumer's name {_NAME_FORM}")


def _keys(document: Gateway) -> Iterator[ConfigError]:
    owners: dict[str, str] = {}
    for place, key in _key_hashes(document):
        if key in owners:
            message = f"this key stands at {owners[key]} already; a key belongs to one application, so remove one"
            yield ConfigError(place, message)
        elif key:
            owners[key] = place


def _selectors(document: Gateway) -> Iterator[ConfigError]:
    for place, selector in _selector_entries(document):
        if "*" in selector[:-1]:
            yield ConfigError(place, f"a pattern has one `*`, at its end; write `{selector.partition('*')[0]}*`")


def _unmatched_selectors(document: Gateway) -> Iterator[ConfigError]:
    consumers = ["/".join(names) for _, names, _ in _consumers(document)]
    for place, selector in _selector_entries(document):
        is_model = ".models[" in place
        if not is_model and document.identity.recognises_callers:
            continue  # a claim may name any consumer
        kind, published = ("model", document.models) if is_model else ("consumer of the configuration", consumers)
        if selector and not any(_overlap(selector, name) for name in published):
            near = suggestion(selector, list(published))
            if near:
                yield ConfigError(place, f"no {kind} matches `{selector}`; did you mean `{near}`?")
            elif is_model:  # whereas a key of the database may be of any consumer
                yield ConfigError(place, f"no model matches `{selector}`; the policy applies to no model by it")


def _nothing_published(document: Gateway) -> Iterator[ConfigError]:
    if not document.models:
        yield ConfigError("models", "no model is published, so there is nothing to call; add one under `models`")


def _selector_entries(document: Gateway) -> Iterator[tuple[str, str]]:
    """Each selector with its path."""
    for index, policy in enumerate(document.policies):
        for key, selectors in (("models", policy.on.models), ("consumers", policy.on.consumers)):
            for place, selector in enumerate(selectors):
                yield f"policies[{index}].on.{key}[{place}]", selector


def _consumers(document: Gateway) -> Iterator[tuple[str, tuple[str, ...], Application | None]]:
    """Each organisation, team and application: its place in the document, its names from the top, and the latter."""
    for org_name, org in document.consumers.items():
        org_place = join("consumers", org_name)
        yield org_place, (org_name,), None
        for team_name, team in org.teams.items():
            team_place = join(f"{org_place}.teams", team_name)
            yield team_place, (org_name, team_name), None
            for app_name, app in team.apps.items():
                yield join(f"{team_place}.apps", app_name), (org_name, team_name, app_name), app


def _key_hashes(document: Gateway) -> Iterator[tuple[str, str]]:
    """Each key's place in the document with its hash."""
    for place, _, app in _consumers(document):
        for index, key in enumerate(app.keys if app else ()):
            yield f"{place}.keys[{index}]", key


def _overlap(one: str, other: str) -> bool:
    """Whether some name is meant by both, each a name or a pattern."""
    if one.endswith("*") and other.endswith("*"):
        return one[:-1].startswith(other[:-1]) or other[:-1].startswith(one[:-1])
    if one.endswith("*"):
        return other.startswith(one[:-1])
    return one.startswith(other[:-1]) if other.endswith("*") else one == other


_Rule = Callable[[Gateway], Iterator[ConfigError]]


def _counters(document: Gateway) -> Iterator[ConfigError]:
    for field, message in find_faults(document.counters):
        yield ConfigError(f"counters.{field}", message)


def _policy_names(document: Gateway) -> Iterator[ConfigError]:
    places: dict[str, int] = {}
    for index, policy in enumerate(document.policies):
        if not policy.name:
            continue
        if policy.name in places:
            place = f"policies[{places[policy.name]}]"
            message = (
                f"`{policy.name}` is the name of {place} already, and what is used is kept under it; choose another"
            )
            yield ConfigError(f"policies[{index}].name", message)
        else:
            places[policy.name] = index


def _other_models(document: Gateway) -> Iterator[ConfigError]:
    """`when_dry` names what answers once a budget is used up: found missing then, it would be too late."""
    for index, policy in enumerate(document.policies):
        name = policy.config.get("when_dry")
        name = name.reveal() if isinstance(name, Secret) else name
        if not isinstance(name, str) or not name:
            continue
        if "*" in name or not any(_overlap(published, name) for published in document.models):
            near = suggestion(name, list(document.models))
            advice = f"did you mean `{near}`?" if near else "publish it under `models`, or name one that is there"
            yield ConfigError(f"policies[{index}].config.when_dry", f"there is no model `{name}`; {advice}")


_ERRORS: Final[tuple[tuple[frozenset[str], _Rule], ...]] = (
    (frozenset({"listen", "admin"}), _addresses),
    (frozenset({"listen", "consumers", "anonymous", "identity"}), _open_door),
    (frozenset({"tls", "identity"}), _certificates),
    (frozenset(), _origins),
    (frozenset(), _provider_entries),
    (frozenset(), _model_names),
    (frozenset({"providers"}), _targets),
    (frozenset(), _consumer_names),
    (frozenset(), _keys),
    (frozenset(), _selectors),
    (frozenset(), _policy_names),
    (frozenset({"models"}), _other_models),
    (frozenset(), _counters),
)
"""Each rule with the top-level keys it draws conclusions from."""
_WARNINGS: Final[tuple[_Rule, ...]] = (_unmatched_selectors, _nothing_published)
