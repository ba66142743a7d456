"""Gateway tokens, without any I/O: what stands in one, how narrow it is, and what is said of the gateway that issues
them.

A token is a JWT of the profile for access tokens (RFC 9068). It never says more than its holder may do: what it was
given for, a key or the JWT of an identity provider, is named in it (`Origin`), and the key's own state and scopes count
again with every call. A scope is made of words `model:NAME` and `surface:NAME`; words of one sort are alternatives, and
a sort that has no words does not narrow.
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import msgspec
from msgspec import Struct

from gatewright.config.gateway_tokens import GatewayTokens
from gatewright.config.problems import ConfigError
from gatewright.core.consumer import Scopes
from gatewright.pipeline.access import find_surface_error
from gatewright.pipeline.oauth import OAuthError

TOKEN_PATH: Final = "/oauth/token"
REVOKE_PATH: Final = "/oauth/revoke"
JWKS_PATH: Final = "/.well-known/jwks.json"
METADATA_PATH: Final = "/.well-known/oauth-authorization-server"

CLIENT_CREDENTIALS: Final = "client_credentials"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"
ID_TOKEN: Final = "urn:ietf:params:oauth:token-type:id_token"
JWT: Final = "urn:ietf:params:oauth:token-type:jwt"

MAX_TOKEN_BYTES: Final = 8_192
"""Of a token, so that it fits into every header."""
MAX_PARENTS: Final = 8
"""How often a token may be exchanged for a narrower one of it."""
_MAX_WORDS: Final = 500
_MAX_SCOPE_CHARACTERS: Final = 6_000
_MAX_ACTORS: Final = 4
_ID_BYTES: Final = 20
_DATE_BYTES: Final = 5
RANDOM_BYTES: Final = _ID_BYTES - _DATE_BYTES
_SPOKEN: Final = "!#$&'()*+,/:;<=>?@[]^_`{|}~"
"""What needs no escape in a word of a scope (RFC 6749 §3.3), besides letters, digits and `-._`; `%` is the escape."""
_LOOPBACK: Final = frozenset(("localhost", "127.0.0.1", "::1"))
_ID_TOKEN_CLAIMS: Final = ("nonce", "at_hash", "c_hash")
"""OpenID Connect Core §2, §3.3.2.11: claims that only ID tokens have."""
_SORTS: Final = {"model": "models", "surface": "surfaces"}


class Origin(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token was given for: the claim `gatewright`."""

    consumer: str
    """Who is charged."""
    key: str = ""
    """The handle of the key (`server.issued_tokens`); empty where it was no key."""
    issuer: str = ""
    """The configured name of the identity provider; empty where it was a key."""
    parents: tuple[str, ...] = ()
    """The `jti` of the tokens that this one was exchanged for: with any of them it is revoked."""
    claims: dict[str, Any] = {}
    """What is kept of the identity provider's JWT."""


class Token(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The claims of a gateway token (RFC 9068 §2.2)."""

    iss: str
    sub: str
    aud: str
    client_id: str
    jti: str
    iat: int
    exp: int
    scope: str = ""
    act: dict[str, Any] | None = None
    """Who acts for the subject, and for whom that one acts (RFC 8693 §4.1)."""
    gatewright: Origin

    def for_conditions(self) -> dict[str, Any]:
        """What access conditions read as `jwt`."""
        own = {"iss": self.iss, "sub": self.sub, "aud": self.aud, "client_id": self.client_id, "jti": self.jti}
        found = {**self.gatewright.claims, **own, "iat": self.iat, "exp": self.exp, "scope": self.scope}
        return found if self.act is None else found | {"act": self.act}


# -- configuration ----------------------------------------------------------------------------------------------------


def find_token_errors(
    config: GatewayTokens, issuers: Sequence[str], path: str = "identity.tokens"
) -> list[ConfigError]:
    """What is wrong with the section. `issuers` are those of the identity providers."""
    errors = []
    place = urlsplit(config.issuer)
    if not place.hostname:
        errors.append(ConfigError(f"{path}.issuer", "names no host"))
    elif place.scheme != "https" and place.hostname not in _LOOPBACK:
        # RFC 8414 §2, and keys travel to its endpoints.
        errors.append(ConfigError(f"{path}.issuer", "must begin with `https://`, as keys are sent there"))
    if config.issuer in issuers:
        errors.append(ConfigError(f"{path}.issuer", "is the `issuer` of an identity provider; take another address"))
    return errors


def describe_server(config: GatewayTokens) -> dict[str, Any]:
    """The metadata of the authorisation server (RFC 8414 §2)."""
    root = config.issuer.rstrip("/")
    by_secret = ["client_secret_basic", "client_secret_post", "none"]
    return {
        "issuer": config.issuer,
        "token_endpoint": root + TOKEN_PATH,
        "jwks_uri": root + JWKS_PATH,
        "revocation_endpoint": root + REVOKE_PATH,
        "response_types_supported": [],
        "grant_types_supported": [CLIENT_CREDENTIALS, EXCHANGE],
        "token_endpoint_auth_methods_supported": by_secret,
        "revocation_endpoint_auth_methods_supported": by_secret,
    }


def metadata_paths(config: GatewayTokens) -> tuple[str, ...]:
    """Where the metadata is looked for: RFC 8414 §3.1 puts the issuer's own path behind."""
    own = urlsplit(config.issuer).path.rstrip("/")
    return (METADATA_PATH, METADATA_PATH + own) if own else (METADATA_PATH,)


def check_target(config: GatewayTokens, targets: Sequence[str]) -> None:
    """Refuse a `resource` or `audience` that is not this gateway (RFC 8707 §2, RFC 8693 §2.2.2). Raises OAuthError."""
    own = {name.rstrip("/") for name in (config.issuer, config.audience or config.issuer)}
    for target in targets:
        if target.rstrip("/") not in own:
            raise OAuthError("invalid_target", "Tokens are given for this gateway only; leave `resource` out.")


# -- names of tokens --------------------------------------------------------------------------------------------------


def make_id(expires_at: int, random: bytes) -> str:
    """A new `jti`. It begins with the date, so that what is kept of revoked ones can be thrown away in its order."""
    return spell_id(expires_at.to_bytes(_DATE_BYTES, "big") + random)


def spell_id(token_id: bytes) -> str:
    """A `jti` as text."""
    return b32encode(token_id).decode().lower()


def parse_id(text: str) -> bytes | None:
    """The bytes of a `jti` that a gateway made; None when it made no such."""
    try:
        found = b32decode(text.upper().encode())
    except (ValueError, UnicodeEncodeError):
        return None
    return found if len(found) == _ID_BYTES else None


def end_of(token_id: bytes) -> int:
    """When the token of this name ends, in Unix seconds."""
    return int.from_bytes(token_id[:_DATE_BYTES], "big")


# -- scopes -----------------------------------------------------------------------------------------------------------


def parse_scope(text: str) -> Scopes | None:
    """What the words of a `scope` narrow to; None for no words. Raises OAuthError (invalid_scope)."""
    if len(text) > _MAX_SCOPE_CHARACTERS:
        raise OAuthError("invalid_scope", f"The scope is longer than {_MAX_SCOPE_CHARACTERS} characters.")
    words = text.split()
    if len(words) > _MAX_WORDS:
        raise OAuthError("invalid_scope", f"The scope has more than {_MAX_WORDS} words.")
    found: dict[str, list[str]] = {}
    for word in words:
        sort, colon, spelled = word.partition(":")
        name = unquote(spelled, errors="replace")
        if not colon or sort not in _SORTS:
            raise OAuthError("invalid_scope", f"The scope's `{word[:100]}` is neither `model:NAME` nor `surface:NAME`.")
        error = _find_name_error(sort, name)
        if error is not None:
            raise OAuthError("invalid_scope", f"The scope's `{word[:100]}`: {error}.")
        found.setdefault(_SORTS[sort], []).append(name)
    return Scopes(**{sort: tuple(dict.fromkeys(names)) for sort, names in found.items()}) if found else None


def _find_name_error(sort: str, name: str) -> str | None:
    if not name or not name.isprintable():
        return "a name of printable characters is missing behind the colon"
    if sort == "surface":
        return find_surface_error(name)
    return "a `*` may stand at the end only" if "*" in name[:-1] else None


def render_scope(scopes: Scopes | None) -> str:
    """The words for `scopes`; its networks have none."""
    if scopes is None:
        return ""
    words = [f"model:{quote(name, safe=_SPOKEN)}" for name in scopes.models]
    return " ".join([*words, *(f"surface:{name}" for name in scopes.surfaces)])


def narrow(allowed: Scopes | None, wanted: Scopes | None) -> Scopes | None:
    """What both allow; the networks are those of `allowed`. Raises OAuthError when that is nothing."""
    if allowed is None or wanted is None:
        return wanted if allowed is None else allowed
    return Scopes(
        models=_meet("model", allowed.models, wanted.models),
        surfaces=_meet("surface", allowed.surfaces, wanted.surfaces),
        networks=allowed.networks,
    )


def _meet(sort: str, allowed: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[str, ...]:
    if not allowed or not wanted or allowed == wanted:
        return allowed or wanted
    both = (_meet_names(one, other) for one in allowed for other in wanted)
    found = tuple(dict.fromkeys(name for name in both if name is not None))
    if not found:
        # Never an empty tuple: that would not narrow at all.
        raise OAuthError("invalid_scope", f"None of the {sort}s in the scope is one that may be called.")
    return found


def _meet_names(one: str, other: str) -> str | None:
    """The names that two names or patterns share, as a name or a pattern."""
    if one.endswith("*") and other.removesuffix("*").startswith(one[:-1]):
        return other
    if other.endswith("*") and one.removesuffix("*").startswith(other[:-1]):
        return one
    return one if one == other else None


# -- token exchange ---------------------------------------------------------------------------------------------------


def check_subject_type(kind: str, claims: Mapping[str, Any], name: str) -> None:
    """Refuse a JWT that is not what the request calls it (RFC 8693 §3). Raises OAuthError."""
    if kind not in (ACCESS_TOKEN, ID_TOKEN, JWT):
        raise OAuthError("invalid_request", f"`{name}_type` must be {ACCESS_TOKEN}, {ID_TOKEN} or {JWT}.")
    if kind == ACCESS_TOKEN and any(claim in claims for claim in _ID_TOKEN_CLAIMS):
        raise OAuthError("invalid_request", f"The `{name}` is an ID token; say so in `{name}_type`.")


def act_for(subject: Mapping[str, Any], actor: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The `act` of a token that is given for `subject`, to `actor` if there is one (RFC 8693 §4.1, §4.4).

    Raises OAuthError when the subject does not let this actor act for it.
    """
    before = subject.get("act")
    if before is not None and not isinstance(before, dict):
        raise OAuthError("invalid_request", "The `act` of the `subject_token` is no object.")
    if actor is None:
        return before
    allowed = subject.get("may_act")
    if allowed is not None and not _names(allowed, actor):
        raise OAuthError("invalid_request", "The `subject_token` does not let this actor act for it (`may_act`).")
    found = {name: actor[name] for name in ("iss", "sub") if isinstance(actor.get(name), str)}
    if "sub" not in found:
        raise OAuthError("invalid_request", "The `actor_token` does not say who the actor is (`sub`).")
    depth, chain = 1, before
    while isinstance(chain, dict):
        depth, chain = depth + 1, chain.get("act")
    if depth > _MAX_ACTORS:
        raise OAuthError("invalid_request", f"More than {_MAX_ACTORS} actors stand behind each other.")
    return found if before is None else found | {"act": before}


def _names(allowed: object, actor: Mapping[str, Any]) -> bool:
    return isinstance(allowed, dict) and bool(allowed) and all(actor.get(name) == allowed[name] for name in allowed)


def text_claim(claims: Mapping[str, Any], *names: str) -> str:
    """The first of these claims that is a text of a sensible length; empty when none is."""
    for name in names:
        found = claims.get(name)
        if isinstance(found, str) and 0 < len(found) <= 500 and found.isprintable():
            return found
    return ""


encode_token: Final = msgspec.json.Encoder().encode
decode_token: Final = msgspec.json.Decoder(Token).decode
