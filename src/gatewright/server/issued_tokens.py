"""Gateway tokens as a worker issues and recognises them.

Theory of operation. A token is signed by a key that all workers share, so any of them recognises it without asking
anybody. It names the key that it was got with by a *handle*: for a managed key the digest under which the key table has
it, for one of the configuration a digest of that kind of its hash; neither tells anything without the gateway's secret.
With every call the handle is looked up again, so a key that is suspended, revoked, narrowed or gone takes its tokens
with it as fast as itself; and limits, conditions and reports by key take a token for its key. Besides, the names of the
token and of those it was exchanged for are looked up among the revoked ones. Only what cannot change is remembered: the
signature, and what was signed.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from gatewright.config.gateway_tokens import GatewayTokens
from gatewright.config.problems import ConfigError, InvalidConfig
from gatewright.core.consumer import Consumer, Scopes
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.keys import digest_of
from gatewright.pipeline.gateway_tokens import (
    MAX_TOKEN_BYTES,
    RANDOM_BYTES,
    Origin,
    Token,
    decode_token,
    encode_token,
    make_id,
    narrow,
    parse_id,
    parse_scope,
    render_scope,
)
from gatewright.pipeline.identities import refused
from gatewright.pipeline.oauth import OAuthError
from gatewright.pipeline.snapshot import Snapshot
from gatewright.server.signing_keys import HEADER_CHARACTERS, SigningKeys, UnusableSigningKeys
from gatewright.server.verified import Memory, Verified
from gatewright.store.key_table import KeyReader
from gatewright.store.revoked_tokens import DIRECTORY, RevokedTokens, UnusableRevocations

_MANAGED: Final = "m"
_CONFIGURED: Final = "c"
_KEY_IS_GONE: Final = "The gateway token is signed by a key that is not in use here (any more). Get a new one."


class KeyHolder(Struct, frozen=True):
    """Who has a key."""

    consumer: Consumer
    handle: str


class Recognised(Struct):
    """A genuine token: what it says, and what was last made of it."""

    token: Token
    scopes: Scopes | None
    names: tuple[bytes, ...]
    """Its own, and those of the tokens it was exchanged for."""
    held: Consumer | None = None
    """The holder of its key when it was last used."""
    consumer: Consumer | None = None
    """Whom it then stood for."""


class Issued(Struct, frozen=True):
    """A new token."""

    text: bytes
    token: Token


class _Issuer(Struct):
    """As much of a JWT as says whose it is."""

    iss: str


_decode_issuer: Final = msgspec.json.Decoder(_Issuer).decode


class IssuedTokens:
    """The gateway tokens of one worker. Times are Unix seconds."""

    def __init__(
        self,
        state: Path,
        keys: KeyReader | None,
        secret: bytes,
        wall: Callable[[], float],
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Raises UnusableRevocations, UnusableSigningKeys."""
        self._keys = keys
        self._secret = secret
        self._wall = wall
        self._random = random
        self.signing = SigningKeys(state)
        self.signing.refresh()
        self._revoked = RevokedTokens(state / DIRECTORY)
        self._snapshot: Snapshot | None = None
        self._config = GatewayTokens(issuer="")
        self._audience = ""
        self._issuers: frozenset[str] = frozenset()
        self._configured: dict[str, Consumer] | None = None
        """The keys of the configuration by their handles, once one was asked for."""
        self._known: Memory[Recognised] = Memory()
        self._refusals = Verified()

    def use(self, config: GatewayTokens, snapshot: Snapshot) -> None:
        """Issue and accept tokens by this configuration from now on."""
        self._config, self._snapshot = config, snapshot
        self._audience = config.audience or config.issuer
        self._issuers = frozenset(snapshot.document.identity.issuers)
        self._configured = None
        self._known.clear()
        self._refusals = Verified()

    def tick(self) -> str | None:
        """Notice signing keys that were withdrawn, and revocations that were replaced. Call every 50 ms.

        Gives what is wrong now and was not before, in words for the log.
        """
        problem = self._revoked.problem if self._revoked.refresh() else None
        try:
            if self.signing.refresh():
                self._known.clear()
        except UnusableSigningKeys:
            # Those at hand go on serving; whoever needs another is told.
            pass
        return problem

    def close(self) -> None:
        """Give the files back."""
        self._revoked.close()

    # -- keys -----------------------------------------------------------------------------------------------------

    def find_key(self, key: bytes) -> KeyHolder | None:
        """Who has this key, of the configuration or of the key table. Raises GatewayError when it does not hold."""
        consumer = None if self._snapshot is None else self._snapshot.consumer_of(key)
        if consumer is not None:
            return KeyHolder(consumer, self._handle_of_hash(sha256(key).digest()))
        digest = digest_of(key, self._secret)
        found = self._find_managed(digest)
        return None if found is None else KeyHolder(found, _MANAGED + _b64(digest))

    def _find_managed(self, digest: bytes) -> Consumer | None:
        record = None if self._keys is None else self._keys.find(digest)
        if record is None:
            return None
        fault = record.fault(self._wall())
        if fault is not None:
            raise refused(f"The API key gw-{record.id} {fault}.")
        return record.as_consumer()

    def _find_handle(self, handle: str) -> Consumer | None:
        if handle.startswith(_MANAGED):
            return self._find_managed(_unb64(handle[1:]))
        if self._configured is None:
            keys = {} if self._snapshot is None else self._snapshot.configured_keys
            self._configured = {self._handle_of_hash(digest): consumer for digest, consumer in keys.items()}
        return self._configured.get(handle)

    def _handle_of_hash(self, digest: bytes) -> str:
        # Keyed, as somebody may have configured the hash of a word that can be guessed.
        return _CONFIGURED + _b64(hashlib.blake2b(digest, key=self._secret, digest_size=24).digest())

    async def ready(self) -> None:
        """Wait until there is a key to sign with. Raises UnusableSigningKeys."""
        if not self.signing.is_ready:
            # In a thread: making one waits for the disk, and for other workers that make one.
            await asyncio.to_thread(self.signing.current, self._wall())

    # -- issuing --------------------------------------------------------------------------------------------------

    def issue(
        self,
        origin: Origin,
        scopes: Scopes | None,
        ends_at: float,
        *,
        sub: str,
        client_id: str,
        act: dict[str, Any] | None = None,
    ) -> Issued:
        """A new token that ends at `ends_at` or sooner. Raises OAuthError, UnusableSigningKeys."""
        now = self._wall()
        expires_at = int(min(now + self._config.lifetime_s, ends_at))
        if expires_at <= now:
            raise OAuthError("invalid_grant", "What the token would be given for ends this second.")
        scope = render_scope(scopes)
        # As it will be read: names that an identity provider gave may be more, or odder, than a scope can hold.
        parse_scope(scope)
        token = Token(
            iss=self._config.issuer,
            sub=sub,
            aud=self._audience,
            client_id=client_id,
            jti=make_id(expires_at, self._random(RANDOM_BYTES)),
            iat=int(now),
            exp=expires_at,
            scope=scope,
            act=act,
            gatewright=origin,
        )
        text = self.signing.current(now).sign(encode_token(token))
        if len(text) > MAX_TOKEN_BYTES:
            raise OAuthError(
                "invalid_scope",
                f"The token would be larger than {MAX_TOKEN_BYTES} bytes; ask for a narrower scope, or have the gateway"
                " keep fewer claims (`identity.tokens.claims`).",
            )
        return Issued(text, token)

    # -- recognising ----------------------------------------------------------------------------------------------

    def known(self, credential: bytes) -> Consumer | None:
        """Whom a gateway token stands for now; None when it is none. Raises GatewayError when it does not hold."""
        found = self.recognise(credential)
        return None if found is None else self.consumer_of(found)

    def recognise(self, credential: bytes) -> Recognised | None:
        """What a genuine token says, whether it holds or not; None when this is none of this gateway's keys.

        Raises GatewayError when it is not genuine.
        """
        if len(credential) > MAX_TOKEN_BYTES:
            return None
        digest = sha256(credential).digest()
        held = self._known.get(digest)
        if held is not None:
            return held[0]
        header, _, rest = credential.partition(b".")
        try:
            key = self.signing.find(header)
        except UnusableSigningKeys as error:
            raise _unavailable(error) from None
        if key is None:
            if self._claims_to_be_ours(header, rest):
                raise refused(_KEY_IS_GONE)
            return None
        now = self._wall()
        self._refusals.find(credential, now)
        try:
            payload, _, signature = rest.partition(b".")
            if not key.has_signed(b"%b.%b" % (header, payload), signature):
                raise refused("The gateway token's signature is not valid. It may have been cut or changed.")
            found = self._read(payload)
            if not key.vouches_for(found.token.exp):
                raise refused(_KEY_IS_GONE)
        except GatewayError as error:
            self._refusals.keep_refusal(credential, error, now)
            raise
        # Half as much again, since a scope is held in words and as the names in them.
        self._known.keep(digest, found, found.token.exp, len(credential) * 3 // 2, now)
        return found

    def consumer_of(self, found: Recognised) -> Consumer:
        """Whom a genuine token stands for now. Raises GatewayError when it does not hold (any more)."""
        token = found.token
        if self._wall() >= token.exp:
            raise refused("The gateway token has expired. Get a new one.")
        if self.is_revoked(found):
            raise refused("The gateway token was revoked. Get a new one.")
        origin = token.gatewright
        held = None
        if origin.key:
            held = self._find_handle(origin.key)
            if held is None or held.path != origin.consumer:
                raise refused("The key that the gateway token was got with is gone.")
        elif origin.issuer not in self._issuers:
            raise refused("The identity provider that the gateway token was got by is no longer trusted here.")
        if found.consumer is None or (held is not found.held and held != found.held):
            found.consumer = self._build_consumer(found, held)
        found.held = held
        return found.consumer

    def is_revoked(self, found: Recognised) -> bool:
        """Whether it, or one that it was exchanged for, was revoked. Raises GatewayError when that cannot be told."""
        try:
            return any(self._revoked.is_revoked(name) for name in found.names)
        except UnusableRevocations as error:
            raise _unavailable(error) from None

    def _claims_to_be_ours(self, header: bytes, rest: bytes) -> bool:
        """Whether a JWT that we did not sign says that we issued it. Others who issue JWTs like ours may be trusted."""
        if len(header) != HEADER_CHARACTERS:
            return False
        try:
            payload = _unb64(rest.partition(b".")[0].decode("ascii"))
            return _decode_issuer(payload).iss == self._config.issuer
        except ValueError:
            return False

    async def revoke(self, token_id: bytes) -> None:
        """Let a token hold no longer, on any worker. Raises UnusableRevocations."""
        # In a thread: it waits for the disk.
        await asyncio.to_thread(self._revoked.add, token_id, self._wall())

    def _read(self, payload: bytes) -> Recognised:
        """What was signed. A key may have signed under another configuration, so it is checked like any JWT."""
        try:
            token = decode_token(_unb64(payload.decode("ascii")))
            names = tuple(parse_id(name) for name in (token.jti, *token.gatewright.parents))
            scopes = parse_scope(token.scope)
        except (msgspec.MsgspecError, ValueError, OAuthError) as error:
            raise refused(
                "The gateway token is not one that this version issues. Get a new one.", cause=error
            ) from None
        if token.iss != self._config.issuer:
            raise refused("The gateway token was issued under another address than `identity.tokens.issuer`.")
        if token.aud != self._audience:
            raise refused("The gateway token is for another audience.")
        known = tuple(name for name in names if name is not None)
        if len(known) != len(names):
            raise refused("The gateway token has no name (`jti`) that this gateway gives.")
        return Recognised(token, scopes, known)

    def _build_consumer(self, found: Recognised, held: Consumer | None) -> Consumer:
        token = found.token
        try:
            scopes = found.scopes if held is None else narrow(held.scopes, found.scopes)
        except OAuthError:
            raise GatewayError(
                Kind.FORBIDDEN, "The key that the gateway token was got with may call nothing of its scope any more."
            ) from None
        return Consumer(
            path=token.gatewright.consumer,
            # Not the token's own name: it would have limits by key of its own, and who needs more takes another.
            key_id=f"jwt:{token.gatewright.issuer}" if held is None else held.key_id,
            issuer=token.gatewright.issuer,
            scopes=scopes,
            claims=token.for_conditions(),
            expires_at=token.exp if held is None else min(token.exp, held.expires_at),
        )


def open_tokens(state: Path, keys: KeyReader | None, secret: bytes, wall: Callable[[], float]) -> IssuedTokens:
    """What a worker needs for gateway tokens. Raises InvalidConfig when the state directory cannot hold it."""
    try:
        return IssuedTokens(state, keys, secret, wall)
    except (UnusableRevocations, UnusableSigningKeys) as error:
        raise InvalidConfig([ConfigError("identity.tokens", str(error))]) from None


def _unavailable(error: Exception) -> GatewayError:
    """Fails closed, and says so: nobody can tell whether the token holds."""
    return GatewayError(
        Kind.OVERLOADED, "Gateway tokens cannot be checked at the moment. Try again.", cause=error, retry_after_s=5.0
    )


def _b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
