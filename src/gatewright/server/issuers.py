"""JWTs of trusted issuers: their keys, fetched and kept fresh, and the JWTs that were checked by them.

Theory of operation. Each issuer has an `IssuerKeys`. Its keys are fetched in the background as soon as it is known, and
again when what was fetched has aged; a JWT whose `kid` is not among them has them fetched at once, as that is how a
rotation shows, but at most once in ten seconds: a JWT that names a key nobody has costs its sender more than us. There
is one fetch at a time, and everyone who waits shares its outcome. While the provider is away the keys at hand go on
serving for a day. When a fetch shows that a key is gone, every JWT of the issuer is looked at again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

from joserfc.jwk import Key

from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError, Kind
from gatewright.net.tasks import TaskGroup
from gatewright.pipeline.identities import TrustedIssuer, discovery_url, refused, way_of
from gatewright.pipeline.jwt import (
    MAX_BYTES,
    KeyRing,
    Unverified,
    check_algorithm,
    parse,
    parse_keys,
    shorten,
    verify,
)
from gatewright.server.fetch import Fetched, Fetcher, FetchFailed
from gatewright.server.verified import Verified

REFRESH_GAP_S: Final = 10.0
"""Keys are fetched no sooner than this after the last time, whatever JWTs name."""
STALE_S: Final = 24 * 3600.0
"""How long keys serve when they cannot be fetched again."""
_DEFAULT_AGE_S: Final = 600.0
_LEAST_AGE_S: Final = 60.0
_GREATEST_AGE_S: Final = 6 * 3600.0
"""A key that was withdrawn must not be good for longer, whatever `max-age` says."""
_RETRY_S: Final = 30.0

Report = Callable[[str], None]
"""What the operator should read in the gateway's own log."""


class IssuerKeys:
    """The public keys of one issuer. `on_change` is called when keys are gone that were there before."""

    def __init__(
        self,
        trusted: TrustedIssuer,
        fetcher: Fetcher,
        tasks: TaskGroup,
        loop: asyncio.AbstractEventLoop,
        report: Report,
    ) -> None:
        self.trusted = trusted
        self._fetcher = fetcher
        self._tasks = tasks
        self._loop = loop
        self._report = report
        config = trusted.config
        self._way = way_of(config)
        self._jwks_url = config.jwks_url
        self._ring: KeyRing | None = None
        self._fetched_s = 0.0
        self._attempted_s = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.on_change: Callable[[], None] = lambda: None

    @property
    def ring(self) -> KeyRing | None:
        """The keys at hand; None before the first were fetched, and when they are too old."""
        # It is not thrown away: what comes next is compared with it, and whom a lost key vouched for is forgotten.
        return None if self._loop.time() - self._fetched_s > STALE_S else self._ring

    @property
    def may_refresh(self) -> bool:
        """Whether waiting for `refresh` can bring anything."""
        return self._fetching is not None or self._loop.time() - self._attempted_s >= REFRESH_GAP_S

    def refresh(self) -> asyncio.Future[None]:
        """Fetch the keys, or join who does. The future never fails; `ring` tells what came of it."""
        if self._fetching is None:
            self._attempted_s = self._loop.time()
            self._fetching = self._tasks.spawn(self._fetch(), f"keys of {self.trusted.rules.name}")
        return asyncio.shield(self._fetching)

    def close(self) -> None:
        """Fetch no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    async def _fetch(self) -> None:
        again_s = _RETRY_S
        try:
            fetched = await self._fetcher.get(await self._find_url(), self._way)
            again_s = self._take(fetched)
        except (FetchFailed, ValueError) as error:
            self._jwks_url = self.trusted.config.jwks_url
            state = "the keys at hand go on serving" if self.ring is not None else "its JWTs cannot be checked"
            self._report(f"The keys of the issuer `{self.trusted.rules.name}` could not be fetched ({error}); {state}.")
        finally:
            self._fetching = None
            # From its end: who waited for a provider that is slower than the gap is not to wait for it again.
            self._attempted_s = self._loop.time()
            if not self._closed:
                self._schedule(again_s)

    def _take(self, fetched: Fetched) -> float:
        """Use these keys from now on; in how many seconds to look again. Raises ValueError when there are none."""
        ring = parse_keys(fetched.body)
        before, self._ring = self._ring, ring
        self._fetched_s = self._loop.time()
        if before is not None and not before.names <= ring.names:
            self.on_change()
        age = _DEFAULT_AGE_S if fetched.max_age_s is None else fetched.max_age_s
        return min(max(age, _LEAST_AGE_S), _GREATEST_AGE_S)

    async def _find_url(self) -> str:
        if self._jwks_url is None:
            issuer = self.trusted.rules.issuer
            found = (await self._fetcher.get(discovery_url(issuer), self._way)).document
            # §4.3: or one issuer could speak in the name of another.
            if not isinstance(found, dict) or found.get("issuer") != issuer:
                raise FetchFailed(f"its discovery document is not one of the issuer {issuer!r}")
            url = found.get("jwks_uri")
            if not isinstance(url, str):
                raise FetchFailed("its discovery document names no jwks_uri; configure `jwks_url`")
            # §3 demands it, and an issuer elsewhere must not have this gateway ask what listens on its own machine.
            if issuer.startswith("https:") and not url.lower().startswith("https:") and not self._way.allow_http:
                raise FetchFailed(f"its discovery document leads to {url!r}, which is not https; configure `jwks_url`")
            self._jwks_url = url
        return self._jwks_url

    def _schedule(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self.refresh)


class JwtIdentity:
    """Whom JWTs stand for. Replaced as a whole when the configuration changes; `previous` hands its keys on."""

    def __init__(
        self,
        issuers: Mapping[str, TrustedIssuer],
        fetcher: Fetcher,
        tasks: TaskGroup,
        loop: asyncio.AbstractEventLoop,
        report: Report,
        *,
        previous: JwtIdentity | None = None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._verified = Verified()
        self._on_change = on_change
        kept = {} if previous is None else previous.hand_over(issuers.values())
        self._sources = {
            issuer: kept.get(issuer) or IssuerKeys(trusted, fetcher, tasks, loop, report)
            for issuer, trusted in issuers.items()
        }
        for issuer, source in self._sources.items():
            source.trusted = issuers[issuer]
            source.on_change = partial(self._forget, source.trusted.rules.name)
            if source.ring is None and source.may_refresh:
                source.refresh()

    def hand_over(self, issuers: Iterable[TrustedIssuer]) -> dict[str, IssuerKeys]:
        """Give the keys of issuers that are fetched as before to a successor; fetch those of the others no more.

        Callers who are waiting here go on being served.
        """
        wanted = {trusted.rules.issuer: trusted.config for trusted in issuers}
        kept = {}
        for issuer, source in self._sources.items():
            new, old = wanted.get(issuer), source.trusted.config
            if new is not None and (new.jwks_url, way_of(new)) == (old.jwks_url, way_of(old)):
                kept[issuer] = source
            else:
                source.close()
        return kept

    def close(self) -> None:
        """Fetch no more keys."""
        self.hand_over(())

    def known(self, credential: bytes, now: float) -> Consumer | None:
        """Whom a JWT stands for, as far as that can be told at once; None when keys must be fetched: then `find`.

        `now` is Unix seconds. Raises GatewayError when the JWT is refused.
        """
        # What is too large is refused by `parse`, before it costs its sender's time in hashing.
        consumer = self._verified.find(credential, now) if len(credential) <= MAX_BYTES else None
        if consumer is not None:
            return consumer
        jwt = parse(credential)
        source = self._source(jwt)
        key = self._key(jwt, source)
        if key is None:
            return None
        rules = source.trusted.rules
        try:
            until = verify(jwt, rules, key, now)
            consumer = source.trusted.claims.consumer_of(jwt.claims, f"jwt:{rules.name}", rules.name, until)
        except GatewayError as error:
            # What costs less than a signature is refused anew each time; and keys that come count at once.
            self._verified.keep_refusal(credential, error, now)
            raise
        self._verified.keep(credential, consumer, now)
        return consumer

    async def find(self, credential: bytes, now: float) -> Consumer:
        """Whom a JWT stands for, once the keys it needs are fetched. Raises GatewayError when it is refused."""
        consumer = self.known(credential, now)
        while consumer is None:
            source = self._source(parse(credential))
            await source.refresh()
            consumer = self.known(credential, now)
        return consumer

    def _source(self, jwt: Unverified) -> IssuerKeys:
        source = self._sources.get(jwt.issuer)
        if source is None:
            raise refused(f"The JWT's issuer `{shorten(jwt.issuer)}` is not one that this gateway trusts.")
        return source

    def _key(self, jwt: Unverified, source: IssuerKeys) -> Key | None:
        """The key to check it by; None when it may be among keys that are still to be fetched. Raises GatewayError."""
        check_algorithm(jwt, source.trusted.rules)
        ring = source.ring
        key = None if ring is None else ring.find(jwt.kid, jwt.algorithm)
        if key is not None or source.may_refresh:
            return key
        if ring is None:
            raise unavailable(source.trusted.rules.name)
        raise refused("The JWT's issuer publishes no key that it could be signed with (`kid`, `alg`).")

    def _forget(self, name: str) -> None:
        self._verified.forget(name)
        self._on_change()


def unavailable(name: str) -> GatewayError:
    """The identity provider is away: nobody's fault who calls, and no reason to throw a credential away."""
    return GatewayError(
        Kind.UPSTREAM_CONNECT_FAILED,
        f"The identity provider `{name}` cannot be reached at the moment, so your credential cannot be checked. "
        "Try again.",
        status=503,
        retry_after_s=REFRESH_GAP_S,
    )
