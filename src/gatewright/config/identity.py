"""How callers are recognised besides by keys: JWTs of trusted issuers, opaque credentials that an authorisation server
knows, client certificates.

Each way maps what is said about the caller to a consumer, by a template (`acme/${groups[0]}/${azp}`) or by a CEL
expression. What can be wrong with those is told by `pipeline.identities`, which compiles them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from gatewright.config.gateway_tokens import GatewayTokens
from gatewright.config.references import CelText
from gatewright.core.secret import Secret

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
"""Signatures by a key pair (RFC 7518 §3.1, RFC 8037, RFC 9864). `none` and HS256 to HS512 can never be configured: who
can check a HS signature can make one, and the keys that issuers publish are known to everybody."""

Name = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="a name of letters, digits, dots, dashes and underscores")
]
Url = Annotated[str, Meta(pattern=r"^https?://[!-~]+$", description="an address such as https://login.example.com/")]
Leeway = Annotated[float, Meta(ge=0, le=600)]
Age = Annotated[float, Meta(gt=0, le=31_536_000)]
CacheTime = Annotated[float, Meta(ge=0, le=3600)]


class Issuer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An identity provider whose JWTs are trusted. Say by `consumer` or `consumer_expression` whom a JWT stands for."""

    issuer: Url
    """The `iss` of its JWTs, exactly as they have it, a slash at the end included."""
    audience: Annotated[list[str], Meta(min_length=1)]
    """What the `aud` of a JWT must name at least one of: how the identity provider calls this gateway. Without this
    check, a JWT that was made for any other service of the same provider would be good here."""
    jwks_url: Url | None = None
    """Where its public keys are; default is what its discovery document (`<issuer>/.well-known/openid-configuration`)
    says."""
    algorithms: list[Algorithm] = []
    """Signature algorithms that are accepted, when not all of RS256 to RS512, PS256 to PS512, ES256 to ES512, EdDSA and
    Ed25519 shall be."""
    leeway_s: Leeway = 30.0
    """By how many seconds the clocks may differ when `exp`, `nbf` and `iat` are checked."""
    max_age_s: Age | None = None
    """Refuse a JWT this many seconds after its `iat`, however long its `exp` allows; then `iat` must be there."""
    required: dict[str, Any] = {}
    """Claims that must be there: the value, or a list of values of which one is enough. A claim that is a list must
    hold one of them, and a `scope` counts as the list of its words."""
    consumer: str | None = None
    """The consumer's path as a template over the claims: `acme/${groups[0]}/${azp}`."""
    consumer_expression: CelText | None = None
    """The consumer's path as a CEL expression over the claims, which are called `jwt` there, instead of `consumer`."""
    models_claim: str | None = None
    """Claim that lists the published models the caller may use (patterns with a trailing `*` too). When set, a JWT
    without it is refused."""
    allow_http: bool = False
    """Whether its keys may be fetched without TLS from another machine. Who can change them on the way is trusted."""
    ca: str | None = None
    """Path of a PEM bundle of authorities to trust for its address, instead of the system's."""
    proxy: str | None = None
    """`http://host:port` of an egress proxy (CONNECT) on the way to it."""


class Introspection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An authorisation server that is asked about opaque credentials (RFC 7662): those that are neither a key of the
    gateway nor a JWT of a configured issuer."""

    url: Url
    """Its introspection endpoint."""
    client_id: str
    """How the gateway calls itself there."""
    client_secret: Secret
    """The gateway's password there, as a reference."""
    audience: list[str] = []
    """When set, the answer's `aud` must name at least one of these."""
    cache_s: CacheTime = 60.0
    """For how long an answer counts, never longer than its `exp`. This is how late a revocation is noticed."""
    required: dict[str, Any] = {}
    """Members of the answer that must be there, as the claims of an issuer."""
    consumer: str | None = None
    """The consumer's path as a template over the answer: `acme/${team}/${client_id}`."""
    consumer_expression: CelText | None = None
    """The consumer's path as a CEL expression over the answer, which is called `jwt` there, instead of `consumer`."""
    models_claim: str | None = None
    """Member that lists the published models the caller may use. When set, an answer without it is refused."""
    allow_http: bool = False
    """Whether the server may be asked without TLS on another machine."""
    ca: str | None = None
    """Path of a PEM bundle of authorities to trust for its address, instead of the system's."""
    proxy: str | None = None
    """`http://host:port` of an egress proxy (CONNECT) on the way to it."""


class Certificates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a client certificate stands for. The listener checks certificates by `tls.client_ca`; a key or a JWT that a
    client sends as well counts before its certificate."""

    consumer: str | None = None
    """The consumer's path as a template over the certificate: `acme/${subject.OU}/${subject.CN}`, `${san.uri[0]}`."""
    consumer_expression: CelText | None = None
    """The consumer's path as a CEL expression over `subject`, `issuer`, `san`, `serial` and `fingerprint`, instead of
    `consumer`."""


class EndUser(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an application says for which of its users it calls."""

    header: Annotated[
        str, Meta(pattern=r"^[a-z0-9-]{1,64}$", description="a header's name in small letters")
    ] = "x-gatewright-user"  # fmt: skip
    """The header that names the end user. Without it, what the request itself says counts (`user`, `metadata`)."""


class Identity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How callers are recognised besides by keys."""

    issuers: dict[Name, Issuer] = {}
    """Identity providers whose JWTs are trusted, by a name of your choice: it stands in logs, limits and reports."""
    introspection: Introspection | None = None
    """The authorisation server that knows opaque credentials."""
    certificates: Certificates | None = None
    """Whom client certificates stand for; without it a certificate admits to the listener and no further."""
    tokens: GatewayTokens | None = None
    """Short-lived credentials that this gateway issues itself, for a key or for a JWT of one of `issuers`."""
    end_user: EndUser = EndUser()
    """How an application says for which of its users it calls."""

    @property
    def recognises_callers(self) -> bool:
        """Whether there are callers who are told apart by something else than a key of the configuration."""
        others = (self.introspection, self.certificates, self.tokens)
        return bool(self.issuers) or any(other is not None for other in others)
