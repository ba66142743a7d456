"""The `identity` section, compiled: what each way of recognising a caller demands, and which consumer it gives.

Nothing here fetches anything: `server.issuers` and `server.introspection` bring the keys and the answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from gatewright.config.identity import Certificates, Identity, Introspection, Issuer
from gatewright.config.problems import ConfigError
from gatewright.core.consumer import Consumer, Scopes
from gatewright.core.errors import GatewayError, Kind
from gatewright.pipeline.consumer_mapping import (
    MISSING,
    Facts,
    MapFacts,
    Steps,
    check_path,
    compile_template,
    find_claim,
    parse_claim,
)
from gatewright.pipeline.expressions import compile_expression
from gatewright.pipeline.gateway_tokens import find_token_errors
from gatewright.pipeline.identity_address import Way, build_target

ALGORITHMS: Final = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    **dict.fromkeys(("EdDSA", "Ed25519"), "OKP"),
}
"""Algorithm → the type of key it takes. What is not here cannot be configured (`config.identity.Algorithm`)."""
_MAX_MODELS: Final = 1_000
_CHALLENGE: Final = ((b"www-authenticate", b'Bearer error="invalid_token"'),)
_CERTIFICATE_FACTS: Final = ("subject", "issuer", "san", "serial", "fingerprint")


class Rules(Struct, frozen=True):
    """What the JWTs of one issuer must be."""

    name: str
    """The configured name."""
    issuer: str
    """Their `iss`."""
    audience: frozenset[str]
    """Their `aud` must name one of these."""
    algorithms: frozenset[str] = frozenset(ALGORITHMS)
    """Those of ALGORITHMS that are accepted."""
    leeway_s: float = 30.0
    """How far the clocks may be apart."""
    max_age_s: float | None = None
    """How long after its `iat` a JWT may be used."""


class ClaimRules(Struct, frozen=True):
    """What claims must say, and whom they stand for."""

    path: MapFacts
    required: tuple[tuple[str, Steps, tuple[Any, ...]], ...] = ()
    """The claim's name as it is configured, the way to it, the values of which one is enough."""
    models: tuple[str, Steps] | None = None
    """The claim that lists models."""

    def consumer_of(self, claims: Facts, key_id: str, issuer: str, expires_at: float) -> Consumer:
        """The consumer that verified claims stand for. Raises GatewayError when they stand for none."""
        for name, steps, values in self.required:
            if not _holds(steps[-1], find_claim(claims, steps), values):
                raise GatewayError(
                    Kind.FORBIDDEN, f"Your credential's `{name}` is not one that may call this gateway, or is missing."
                )
        scopes = None if self.models is None else Scopes(models=_read_models(claims, *self.models))
        return Consumer(self.path(claims), key_id, issuer, scopes, claims, expires_at)


class TrustedIssuer(Struct, frozen=True):
    """One issuer of JWTs, compiled."""

    config: Issuer
    rules: Rules
    claims: ClaimRules


class CertificateRules(Struct, frozen=True):
    """Whom client certificates stand for."""

    path: MapFacts

    def consumer_of(self, facts: Facts, expires_at: float) -> Consumer:
        """The consumer of a certificate, by its facts (`pipeline.certificate_facts`). Raises GatewayError."""
        return Consumer(self.path(facts), "certificate", "", None, facts, expires_at)


class Identities(Struct, frozen=True):
    """The section, compiled."""

    issuers: Mapping[str, TrustedIssuer] = {}
    """By their `iss`."""
    introspection: tuple[Introspection, ClaimRules] | None = None
    certificates: CertificateRules | None = None


def build_identities(config: Identity, errors: list[ConfigError], path: str = "identity") -> Identities:
    """Compile the section that stands at `path`; what is wrong is added to `errors` and left out."""
    issuers: dict[str, TrustedIssuer] = {}
    for name, issuer in config.issuers.items():
        place = f"{path}.issuers.{name}"
        if issuer.issuer in issuers:
            errors.append(ConfigError(f"{place}.issuer", f"`{issuer.issuer}` is the `issuer` of another entry already"))
            continue
        claims = _build_claims(issuer, place, errors)
        if issuer.jwks_url is None:
            _check_address(discovery_url(issuer.issuer), issuer, f"{place}.issuer", errors)
        else:
            _check_address(issuer.jwks_url, issuer, f"{place}.jwks_url", errors)
        if claims is not None:
            issuers[issuer.issuer] = TrustedIssuer(issuer, _build_rules(name, issuer), claims)
    if config.tokens is not None:
        errors.extend(find_token_errors(config.tokens, list(issuers), f"{path}.tokens"))
    introspection = None
    if config.introspection is not None:
        claims = _build_claims(config.introspection, f"{path}.introspection", errors)
        _check_address(config.introspection.url, config.introspection, f"{path}.introspection.url", errors)
        introspection = None if claims is None else (config.introspection, claims)
    certificates = None
    if config.certificates is not None:
        mapping = _build_path(config.certificates, f"{path}.certificates", _CERTIFICATE_FACTS, errors)
        certificates = None if mapping is None else CertificateRules(mapping)
    return Identities(issuers, introspection, certificates)


def refused(message: str, *, cause: BaseException | None = None) -> GatewayError:
    """The refusal of a credential, with the challenge of RFC 6750 §3."""
    return GatewayError(Kind.UNAUTHENTICATED, message, cause=cause, headers=_CHALLENGE)


def way_of(config: Issuer | Introspection) -> Way:
    """How its addresses are reached."""
    return Way(config.allow_http, config.ca, config.proxy)


def discovery_url(issuer: str) -> str:
    """Where an issuer describes itself (OpenID Connect Discovery 1.0 §4.1: a slash at its end is left out)."""
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


def _check_address(url: str, config: Issuer | Introspection, place: str, errors: list[ConfigError]) -> None:
    try:
        build_target(url, way_of(config))
    except ValueError as error:
        errors.append(ConfigError(place, f"nothing can be fetched there: {error}"))


def _build_rules(name: str, issuer: Issuer) -> Rules:
    return Rules(
        name=name,
        issuer=issuer.issuer,
        audience=frozenset(issuer.audience),
        algorithms=frozenset(issuer.algorithms or ALGORITHMS),
        leeway_s=issuer.leeway_s,
        max_age_s=issuer.max_age_s,
    )


def _build_claims(config: Issuer | Introspection, place: str, errors: list[ConfigError]) -> ClaimRules | None:
    count = len(errors)
    mapping = _build_path(config, place, ("jwt",), errors)
    required = []
    for name, value in config.required.items():
        values = value if isinstance(value, list) else [value]
        steps = _parse(name, f"{place}.required.{name}", errors)
        if not values or not all(isinstance(each, str | int | float) for each in values):
            errors.append(ConfigError(f"{place}.required.{name}", "expected a value, or a list of values"))
        elif steps is not None:
            required.append((name, steps, tuple(values)))
    models = None
    if config.models_claim is not None:
        steps = _parse(config.models_claim, f"{place}.models_claim", errors)
        models = None if steps is None else (config.models_claim, steps)
    if mapping is None or len(errors) > count:
        return None
    return ClaimRules(mapping, tuple(required), models)


def _build_path(
    config: Issuer | Introspection | Certificates, place: str, names: tuple[str, ...], errors: list[ConfigError]
) -> MapFacts | None:
    template, expression = config.consumer, config.consumer_expression
    if (template is None) == (expression is None):
        problem = "say by `consumer` or by `consumer_expression` whom it stands for, not by both"
        errors.append(ConfigError(place, problem))
        return None
    try:
        if template is not None:
            return compile_template(template)
        return _from_expression(expression or "", names)
    except ValueError as error:
        field = "consumer" if template is not None else "consumer_expression"
        errors.append(ConfigError(f"{place}.{field}", str(error)))
        return None


def _from_expression(source: str, names: tuple[str, ...]) -> MapFacts:
    expression = compile_expression(source, names)

    def evaluate(facts: Facts) -> str:
        try:
            found = expression.evaluate({"jwt": facts} if names == ("jwt",) else dict(facts))
        except ValueError as error:
            raise GatewayError(
                Kind.FORBIDDEN,
                "What your credential says does not tell this gateway who you are; a claim may be missing.",
                cause=error,
            ) from None
        return check_path(found)

    return evaluate


def _parse(claim: str, place: str, errors: list[ConfigError]) -> Steps | None:
    try:
        return parse_claim(claim)
    except ValueError as error:
        errors.append(ConfigError(place, str(error)))
        return None


def _holds(name: str | int, found: object, values: tuple[Any, ...]) -> bool:
    if name == "scope" and isinstance(found, str):
        found = found.split()  # RFC 8693 §4.2
    held = found if isinstance(found, list) else [found]
    # By type too: for Python, true is 1.
    return any(type(one) is type(value) and one == value for one in held for value in values)


def _read_models(claims: Facts, name: str, steps: Steps) -> tuple[str, ...]:
    found = find_claim(claims, steps)
    listed = found.split() if isinstance(found, str) else found
    if found is MISSING or not isinstance(listed, list) or not all(isinstance(model, str) for model in listed):
        raise GatewayError(Kind.FORBIDDEN, f"Your credential does not list the models that you may call (`{name}`).")
    if not listed or len(listed) > _MAX_MODELS:
        # Empty scopes would not narrow at all.
        raise GatewayError(Kind.FORBIDDEN, f"Your credential lists no models that you may call (`{name}`).")
    return tuple(listed)
