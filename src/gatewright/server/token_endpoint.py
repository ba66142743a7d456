"""What the data plane answers as an authorisation server: tokens given and revoked, and how they are checked.

| path | |
| --- | --- |
| `POST /oauth/token` | client credentials (RFC 6749 §4.4) and token exchange (RFC 8693) |
| `POST /oauth/revoke` | RFC 7009 |
| `GET /.well-known/oauth-authorization-server` | RFC 8414 |
| `GET /.well-known/jwks.json` | RFC 7517 |

None of these is a call of a model: no policy applies, and nothing is booked. Each stands in the access log, with the
consumer once that is known, and with the reason when it is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
from msgspec import Struct

from gatewright.config.gateway_tokens import GatewayTokens
from gatewright.core.consumer import Consumer, Scopes
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.keys import find_id
from gatewright.core.reply import Reply
from gatewright.core.surface import Surface
from gatewright.pipeline.gateway_tokens import (
    ACCESS_TOKEN,
    CLIENT_CREDENTIALS,
    EXCHANGE,
    ID_TOKEN,
    JWKS_PATH,
    JWT,
    MAX_PARENTS,
    REVOKE_PATH,
    TOKEN_PATH,
    Origin,
    act_for,
    check_subject_type,
    check_target,
    describe_server,
    metadata_paths,
    narrow,
    parse_scope,
    text_claim,
)
from gatewright.pipeline.guesses import Guesses
from gatewright.pipeline.oauth import (
    NO_STORE,
    Client,
    Form,
    OAuthError,
    member,
    parse_form,
    read_client,
    required,
)
from gatewright.server.federation import Federation
from gatewright.server.issued_tokens import Issued, IssuedTokens, KeyHolder, Recognised
from gatewright.server.signing_keys import UnusableSigningKeys
from gatewright.store.revoked_tokens import UnusableRevocations
from gatewright.wire.request import Request

_PUBLIC: Final = ((b"cache-control", b"public, max-age=300"),)
"""For keys and metadata. A resource server that meets a new key sooner looks for it by itself."""

Serve = Callable[[Request, Exchange, str], Awaitable[Reply]]


class Endpoint(Struct, frozen=True):
    """One path."""

    surface: Surface
    serve: Serve


class _Subject(Struct, frozen=True):
    """Somebody in whose name a token was shown."""

    consumer: Consumer
    claims: Mapping[str, Any]
    token: Recognised | None
    """When it was a gateway token."""
    ends_at: float


class TokenEndpoints:
    """The paths of one configuration."""

    def __init__(
        self,
        config: GatewayTokens,
        tokens: IssuedTokens,
        federation: Federation,
        guesses: Guesses,
        wall: Callable[[], float],
    ) -> None:
        self._config = config
        self._tokens = tokens
        self._federation = federation
        self._guesses = guesses
        self._wall = wall
        self._metadata = msgspec.json.encode(describe_server(config))
        self._endpoints = {
            TOKEN_PATH.encode(): _endpoint("oauth_token", b"POST", TOKEN_PATH, self._give),
            REVOKE_PATH.encode(): _endpoint("oauth_revoke", b"POST", REVOKE_PATH, self._revoke),
            JWKS_PATH.encode(): _endpoint("oauth_keys", b"GET", JWKS_PATH, self._publish_keys),
        }
        for path in metadata_paths(config):
            self._endpoints[path.encode()] = _endpoint("oauth_metadata", b"GET", path, self._describe)

    def find(self, path: bytes) -> Endpoint | None:
        """What is served on a path."""
        return self._endpoints.get(path)

    async def answer(self, endpoint: Endpoint, request: Request, x: Exchange, address: str) -> Reply:
        """Serve a request; a refusal is an answer too, and stands in `x.error`. `address` is the client's."""
        try:
            if request.method != endpoint.surface.method:
                return _refuse_method(endpoint, x)
            return await endpoint.serve(request, x, address)
        except OAuthError as error:
            x.error = error.as_gateway_error()
            return error.as_reply()
        except (UnusableSigningKeys, UnusableRevocations) as error:
            fault = OAuthError("temporarily_unavailable", "Try again in a moment.", retry_after_s=5.0, cause=error)
            x.error = fault.as_gateway_error()
            return fault.as_reply()

    # -- giving ---------------------------------------------------------------------------------------------------

    async def _give(self, request: Request, x: Exchange, address: str) -> Reply:
        form = parse_form(request.headers, request.query, request.body)
        client = read_client(request.headers, form)
        grant = required(form, "grant_type")
        if grant not in (CLIENT_CREDENTIALS, EXCHANGE):
            raise OAuthError("unsupported_grant_type", f"`grant_type` must be {CLIENT_CREDENTIALS} or {EXCHANGE}.")
        holder = None if client is None else self._authenticate(client, x, address)
        check_target(self._config, [*form.get("resource", ()), *form.get("audience", ())])
        wanted = parse_scope(member(form, "scope"))
        await self._tokens.ready()
        if grant == EXCHANGE:
            issued = await self._exchange(form, holder, wanted, x, address)
        elif holder is None or client is None:
            raise OAuthError("invalid_client", "Authenticate with a key of this gateway as `client_secret`.")
        else:
            issued = self._give_for_key(holder, wanted)
        return _render(issued, is_exchange=grant == EXCHANGE, now=self._wall())

    def _give_for_key(self, holder: KeyHolder, wanted: Scopes | None) -> Issued:
        consumer = holder.consumer
        return self._tokens.issue(
            Origin(consumer=consumer.path, key=holder.handle),
            narrow(consumer.scopes, wanted),
            consumer.expires_at,
            sub=consumer.path,
            client_id=consumer.key_id or consumer.path,
        )

    async def _exchange(
        self, form: Form, holder: KeyHolder | None, wanted: Scopes | None, x: Exchange, address: str
    ) -> Issued:
        asked = member(form, "requested_token_type")
        if asked not in ("", ACCESS_TOKEN, JWT):
            raise OAuthError("invalid_request", f"`requested_token_type` can only be {ACCESS_TOKEN} or {JWT}.")
        subject = await self._verify(form, "subject_token", address)
        actor = None
        if "actor_token" in form:
            actor = (await self._verify(form, "actor_token", address)).claims
        elif "actor_token_type" in form:
            raise OAuthError("invalid_request", "`actor_token_type` was sent without `actor_token`.")
        act = act_for(subject.claims, actor)
        consumer = x.consumer = subject.consumer
        client_id = text_claim(subject.claims, "client_id", "azp") or consumer.path
        if holder is not None:
            client_id = holder.consumer.key_id or holder.consumer.path
        return self._tokens.issue(
            self._origin_of(subject),
            narrow(consumer.scopes, wanted),
            subject.ends_at,
            sub=text_claim(subject.claims, "sub") or consumer.path,
            client_id=client_id,
            act=act,
        )

    def _origin_of(self, subject: _Subject) -> Origin:
        if subject.token is None:
            kept = {name: subject.claims[name] for name in self._config.claims if name in subject.claims}
            return Origin(consumer=subject.consumer.path, issuer=subject.consumer.issuer, claims=kept)
        token = subject.token.token
        parents = (*token.gatewright.parents, token.jti)
        if len(parents) > MAX_PARENTS:
            raise OAuthError("invalid_request", f"The `subject_token` was exchanged {MAX_PARENTS} times already.")
        return msgspec.structs.replace(token.gatewright, parents=parents)

    async def _verify(self, form: Form, name: str, address: str) -> _Subject:
        """Whose JWT or gateway token a member is. Raises OAuthError."""
        credential, kind = required(form, name).encode(), required(form, f"{name}_type")
        try:
            subject = await self._find_subject(credential)
        except GatewayError as error:
            if error.status == 503:
                raise OAuthError(
                    "temporarily_unavailable", error.message, retry_after_s=error.retry_after_s, cause=error
                ) from None
            self._count_mistake(address, "")
            # RFC 8693 §2.2.2 wants this code, not invalid_grant.
            raise OAuthError("invalid_request", f"`{name}`: {error.message}", kind=error.kind, cause=error) from None
        if subject.token is not None and kind == ID_TOKEN:
            raise OAuthError("invalid_request", f"The `{name}` is no ID token.")
        check_subject_type(kind, subject.claims, name)
        return subject

    async def _find_subject(self, credential: bytes) -> _Subject:
        # Keys are no subject: who has one uses client credentials.
        if not (credential.startswith(b"eyJ") and b"." in credential):
            raise GatewayError(Kind.UNAUTHENTICATED, "It must be a JWT.")
        token = self._tokens.recognise(credential)
        if token is not None:
            consumer = self._tokens.consumer_of(token)
            return _Subject(consumer, consumer.claims, token, consumer.expires_at)
        found = self._federation.known(credential)
        if found is None:
            pending = self._federation.find(credential)
            found = None if pending is None else await pending
        if found is None or not found.issuer or not found.key_id.startswith("jwt:"):
            raise GatewayError(Kind.UNAUTHENTICATED, "It is of no identity provider that this gateway trusts.")
        # The leeway that lets a JWT outlive its own `exp` is for clocks, and not to be handed on.
        expires = found.claims.get("exp")
        ends_at = min(found.expires_at, expires) if isinstance(expires, int | float) else found.expires_at
        return _Subject(found, found.claims, None, ends_at)

    # -- revoking -------------------------------------------------------------------------------------------------

    async def _revoke(self, request: Request, x: Exchange, address: str) -> Reply:
        form = parse_form(request.headers, request.query, request.body)
        client = read_client(request.headers, form)
        credential = required(form, "token").encode()
        holder = None if client is None else self._authenticate(client, x, address)
        if credential.startswith(b"gw-"):
            raise OAuthError("unsupported_token_type", "Keys are revoked by `gatewright keys revoke`.")
        try:
            found = self._tokens.recognise(credential)
        except GatewayError:
            found = None
        if found is not None and self._wall() < found.token.exp:
            origin = found.token.gatewright
            if holder is None and origin.key:
                raise OAuthError("invalid_client", "Authenticate with the key that the token was got with.")
            if holder is not None and holder.consumer.path != origin.consumer:
                raise OAuthError("unauthorized_client", "The token is not of this client's consumer.")
            await self._tokens.revoke(found.names[0])
        # RFC 7009 §2.2: what is no token (any more) is as good as revoked.
        return Reply(200, b"{}", headers=NO_STORE)

    # -- telling --------------------------------------------------------------------------------------------------

    async def _publish_keys(self, request: Request, x: Exchange, address: str) -> Reply:
        await self._tokens.ready()
        return Reply(200, self._tokens.signing.jwks(self._wall()), b"application/jwk-set+json", _PUBLIC)

    async def _describe(self, request: Request, x: Exchange, address: str) -> Reply:
        return Reply(200, self._metadata, headers=_PUBLIC)

    # -- clients --------------------------------------------------------------------------------------------------

    def _authenticate(self, client: Client, x: Exchange, address: str) -> KeyHolder:
        """Whose key the client shows, which it must name too. Raises OAuthError."""
        try:
            holder = self._tokens.find_key(client.secret.encode())
            if holder is None and client.sent:
                holder = self._tokens.find_key(client.sent.encode())
            if holder is not None and _is_named(client.id, holder.consumer):
                x.consumer = holder.consumer
                x.snapshot.access.check_address(holder.consumer, address)
                return holder
        except GatewayError as error:
            # The key is right, so this is no guess; but it does not hold now, or not from here.
            raise OAuthError("invalid_client", error.message, kind=error.kind) from None
        self._count_mistake(address, client.id[:100])
        message = "`client_id` and `client_secret` are not a key of this gateway, or not that of this client."
        raise OAuthError("invalid_client", f"{message} Send the key's id, or its consumer, and the key.")

    def _count_mistake(self, address: str, client: str) -> None:
        """Note a wrong secret or token. Raises OAuthError, without a reason, where there were too many.

        Only what is wrong may be refused by the count: anybody can make mistakes at an address that others share.
        """
        now = self._wall()
        wait_s = self._guesses.wait_s(address, client, now)
        if wait_s > 0:
            raise OAuthError(
                "temporarily_unavailable",
                "Too many wrong secrets or tokens came from this address, and this is another. Try again later.",
                status=429,
                kind=Kind.RATE_LIMITED,
                retry_after_s=wait_s,
            )
        self._guesses.add(address, client, now)


def _endpoint(name: str, method: bytes, path: str, serve: Serve) -> Endpoint:
    return Endpoint(Surface(name, method, path.encode(), "oauth"), serve)


def _refuse_method(endpoint: Endpoint, x: Exchange) -> Reply:
    method = endpoint.surface.method
    error = OAuthError("invalid_request", f"Use {method.decode()} here.", status=405, kind=Kind.METHOD_NOT_ALLOWED)
    x.error = error.as_gateway_error()
    return replace(error.as_reply(), headers=(*NO_STORE, (b"allow", method)))


def _is_named(name: str, consumer: Consumer) -> bool:
    return name == consumer.path or (bool(consumer.key_id) and find_id(name) == consumer.key_id)


def _render(issued: Issued, *, is_exchange: bool, now: float) -> Reply:
    """RFC 6749 §5.1, RFC 8693 §2.2.1."""
    token = issued.token
    body: dict[str, Any] = {
        "access_token": issued.text.decode(),
        "token_type": "Bearer",
        "expires_in": max(token.exp - int(now), 0),
    }
    if is_exchange:
        body["issued_token_type"] = ACCESS_TOKEN
    if token.scope:
        body["scope"] = token.scope
    return Reply(200, msgspec.json.encode(body), headers=NO_STORE)
