"""Keys of issuers: fetched once for all, again when they age or a new one shows, and kept while nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.signing import ISSUER, NOW, claims, key_set, public, rsa_key, sign
from tests.unit.server.issuing import JWKS_URL, FakeLoop, FakeProvider, rounds, task_group, trusted

from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError, Kind
from gatewright.server.issuers import REFRESH_GAP_S, STALE_S, JwtIdentity

DISCOVERY_URL = "https://login.acme.example/.well-known/openid-configuration"
OLD, NEW = sign(key=rsa_key(0)), sign(key=rsa_key(1))


class World:
    """One identity with one issuer, whose keys are what a test says."""

    def __init__(self, **changes: Any) -> None:
        self.loop = FakeLoop()
        self.provider = FakeProvider()
        self.publish(rsa_key(0))
        self.failures: list[BaseException] = []
        self.tasks = task_group(self.failures)
        self.reports: list[str] = []
        self.changes = 0
        self.identity = self.build(trusted(**changes))

    def build(self, issuers: Any, previous: JwtIdentity | None = None) -> JwtIdentity:
        def changed() -> None:
            self.changes += 1

        return JwtIdentity(
            issuers,
            self.provider,  # type: ignore[arg-type]
            self.tasks,
            self.loop,  # type: ignore[arg-type]
            self.reports.append,
            previous=previous,
            on_change=changed,
        )

    def publish(self, *keys: Any) -> None:
        self.provider.documents[JWKS_URL] = key_set(*map(public, keys)) if keys else None

    @property
    def fetches(self) -> int:
        return self.provider.asked.count(JWKS_URL)

    async def find(self, token: bytes, now: float = NOW) -> str:
        return (await self.identity.find(token, now)).path

    async def refusal(self, token: bytes) -> GatewayError:
        with pytest.raises(GatewayError) as refusal:
            await self.identity.find(token, NOW)
        return refusal.value


def world(**changes: Any) -> Callable[[Callable[[World], Awaitable[None]]], Callable[[], None]]:
    """Run a test in a loop with a world of its own."""

    def decorate(test: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
        def run() -> None:
            async def inside() -> None:
                here = World(**changes)
                await test(here)
                assert not here.failures

            asyncio.run(inside())

        run.__name__ = test.__name__
        run.__doc__ = test.__doc__
        return run

    return decorate


@world()
async def test_keys_are_fetched_in_the_background_and_serve_at_once(w: World) -> None:
    assert w.identity.known(OLD, NOW) is None
    await rounds()
    consumer = w.identity.known(OLD, NOW)
    assert consumer == Consumer("acme/search/indexer", "jwt:corp", "corp", None, claims(), NOW + 630)
    assert w.identity.known(OLD, NOW + 1) is consumer
    assert w.fetches == 1


@world()
async def test_many_who_wait_share_one_fetch(w: World) -> None:
    w.provider.gate.clear()
    waiting = [asyncio.ensure_future(w.find(OLD)) for _ in range(50)]
    await rounds()
    waiting[0].cancel()
    await rounds()
    w.provider.gate.set()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert set(done[1:]) == {"acme/search/indexer"}
    assert w.fetches == 1


@world()
async def test_a_rotation_shows_by_an_unknown_key(w: World) -> None:
    assert await w.find(OLD)
    w.publish(rsa_key(1))
    w.loop.advance(REFRESH_GAP_S)
    assert w.identity.known(NEW, NOW) is None
    assert await w.find(NEW) == "acme/search/indexer"
    assert w.fetches == 2
    assert w.changes == 1
    # The old key is gone, and with it what it had signed.
    error = await w.refusal(OLD)
    assert "no key that it could be signed with" in error.message


@world()
async def test_a_key_more_changes_nothing_for_the_others(w: World) -> None:
    assert await w.find(OLD)
    w.publish(rsa_key(0), rsa_key(1))
    w.loop.advance(REFRESH_GAP_S)
    assert await w.find(NEW)
    assert w.identity.known(OLD, NOW)
    assert w.changes == 0


@world()
async def test_unknown_keys_are_looked_for_once_in_a_while_only(w: World) -> None:
    assert await w.find(OLD)
    for number in range(20):
        token = sign(key=rsa_key(1), header={"kid": f"made-up-{number}"})
        error = await w.refusal(token)
        assert error.kind is Kind.UNAUTHENTICATED
    assert w.fetches == 1
    w.loop.advance(REFRESH_GAP_S)
    for number in range(20):
        await w.refusal(sign(key=rsa_key(1), header={"kid": f"made-up-{number}"}))
    assert w.fetches == 2
    # One who was refused comes in as soon as the key is there.
    await w.refusal(NEW)
    w.publish(rsa_key(0), rsa_key(1))
    w.loop.advance(REFRESH_GAP_S)
    assert await w.find(NEW)


@world()
async def test_keys_are_fetched_again_when_they_have_aged(w: World) -> None:
    w.provider.max_age_s = 300.0
    await rounds()
    w.loop.advance(299)
    await rounds()
    assert w.fetches == 1
    w.loop.advance(1)
    await rounds()
    assert w.fetches == 2
    assert w.identity.known(OLD, NOW)


@pytest.mark.parametrize(("told", "kept"), [(0.0, 60.0), (None, 600.0), (1e9, 6 * 3600.0)])
def test_no_age_is_taken_to_the_letter(told: float | None, kept: float) -> None:
    async def inside() -> None:
        w = World()
        w.provider.max_age_s = told
        await rounds()
        w.loop.advance(kept - 1)
        await rounds()
        assert w.fetches == 1
        w.loop.advance(1)
        await rounds()
        assert w.fetches == 2

    asyncio.run(inside())


@world()
async def test_old_keys_serve_while_the_provider_is_away_for_a_day(w: World) -> None:
    assert await w.find(OLD)
    w.publish()
    for _ in range(int(STALE_S // 600) - 1):
        w.loop.advance(600)
        await rounds()
    assert await w.find(sign(claims(jti="another")))
    assert w.fetches > 100
    assert "the keys at hand go on serving" in w.reports[0]
    w.loop.advance(1300)
    await rounds()
    error = await w.refusal(sign(claims(jti="third")))
    assert (error.status, error.retry_after_s) == (503, REFRESH_GAP_S)
    assert "`corp` cannot be reached" in error.message
    w.publish(rsa_key(0))
    w.loop.advance(30)
    await rounds()
    assert w.identity.known(sign(claims(jti="third")), NOW)


@world()
async def test_a_provider_that_is_away_from_the_start_costs_nobody_time(w: World) -> None:
    w.publish()
    for _ in range(5):
        error = await w.refusal(OLD)
        assert error.status == 503
    assert w.fetches == 1
    assert "its JWTs cannot be checked" in w.reports[0]
    w.publish(rsa_key(0))
    w.loop.advance(REFRESH_GAP_S)
    assert await w.find(OLD)


@world()
async def test_who_waits_for_a_provider_that_is_slow_to_fail_waits_once(w: World) -> None:
    w.provider.gate.clear()
    waiting = asyncio.ensure_future(w.refusal(OLD))
    await rounds()
    w.publish()
    w.loop.advance(2 * REFRESH_GAP_S)
    w.provider.gate.set()
    await rounds()
    assert (await waiting).status == 503
    assert w.fetches == 1


@world()
async def test_a_key_that_was_withdrawn_during_a_long_outage_is_missed_after_it(w: World) -> None:
    lasting = sign(claims(exp=NOW + 10 * STALE_S))
    assert await w.find(lasting)
    w.publish()
    w.loop.advance(STALE_S + 1)
    await rounds()
    w.publish(rsa_key(1))
    w.loop.advance(30)
    await rounds()
    assert w.changes == 1
    assert "no key that it could be signed with" in (await w.refusal(lasting)).message


@pytest.mark.parametrize("body", [b"{}", b'{"keys":[]}', b'{"keys":[{"kty":"oct","k":"AA"}]}', b"[]"])
def test_sets_without_a_key_do_not_replace_those_at_hand(body: bytes) -> None:
    async def inside() -> None:
        w = World()
        assert await w.find(OLD)
        w.provider.documents[JWKS_URL] = body
        w.loop.advance(600)
        await rounds()
        assert w.fetches == 2
        assert w.identity.known(sign(claims(jti="x")), NOW)
        assert len(w.reports) == 1

    asyncio.run(inside())


@world()
async def test_refusals(w: World) -> None:
    await rounds()
    for token, message, kind in [
        (sign(claims(iss="https://evil.example/")), "`https://evil.example/` is not one", Kind.UNAUTHENTICATED),
        (sign(claims(iss="x\n" * 80)), "`x\\nx\\n", Kind.UNAUTHENTICATED),
        (sign(claims(exp=1)), "expired at 1970", Kind.UNAUTHENTICATED),
        (sign(key=rsa_key(1), header={"kid": "rsa-0"}), "signature is not valid", Kind.UNAUTHENTICATED),
        (sign(claims(groups=["a/b"])), "holds characters", Kind.FORBIDDEN),
        (sign(claims(azp=None)), "does not say `azp`", Kind.FORBIDDEN),
        (b"eyJ.e30", "three parts", Kind.UNAUTHENTICATED),
    ]:
        for _ in range(2):
            with pytest.raises(GatewayError) as refusal:
                w.identity.known(token, NOW)
            assert refusal.value.kind is kind
            assert message in refusal.value.message
            assert "login.acme" not in refusal.value.message
    assert w.fetches == 1


@world(algorithms=["ES256"])
async def test_an_algorithm_that_is_not_accepted_fetches_nothing(w: World) -> None:
    await rounds()
    w.loop.advance(REFRESH_GAP_S)
    error = await w.refusal(OLD)
    assert "signed by `RS256`" in error.message
    assert w.fetches == 1


@world()
async def test_a_consumer_is_forgotten_as_the_jwt_ends(w: World) -> None:
    await rounds()
    assert w.identity.known(OLD, NOW + 629)
    with pytest.raises(GatewayError, match="expired"):
        w.identity.known(OLD, NOW + 630)


@world(jwks_url=None)
async def test_discovery(w: World) -> None:
    w.provider.documents[DISCOVERY_URL] = {"issuer": ISSUER, "jwks_uri": JWKS_URL}
    assert await w.find(OLD)
    assert w.provider.asked == [DISCOVERY_URL, JWKS_URL]
    w.loop.advance(600)
    await rounds()
    assert w.provider.asked == [DISCOVERY_URL, JWKS_URL, JWKS_URL]
    w.provider.documents[JWKS_URL] = None
    w.loop.advance(600)
    await rounds()
    w.provider.documents[DISCOVERY_URL] = {"issuer": ISSUER, "jwks_uri": JWKS_URL + "2"}
    w.provider.documents[JWKS_URL + "2"] = key_set(public(rsa_key(1)))
    w.loop.advance(30)
    await rounds()
    assert w.provider.asked[-2:] == [DISCOVERY_URL, JWKS_URL + "2"]
    assert await w.find(NEW)


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": ISSUER.rstrip("/"), "jwks_uri": JWKS_URL},
        {"issuer": "https://evil.example/", "jwks_uri": JWKS_URL},
        {"jwks_uri": JWKS_URL},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": 1},
        [],
    ],
)
def test_a_discovery_document_of_somebody_else(document: Any) -> None:
    async def inside() -> None:
        w = World(jwks_url=None)
        w.provider.documents[DISCOVERY_URL] = document
        assert (await w.refusal(OLD)).status == 503
        assert w.fetches == 0

    asyncio.run(inside())


@pytest.mark.parametrize(("allow_http", "fetches"), [(False, 0), (True, 1)])
def test_a_discovery_document_that_leads_to_this_machine(allow_http: bool, fetches: int) -> None:
    async def inside() -> None:
        w = World(jwks_url=None, allow_http=allow_http)
        inner = "http://127.0.0.1:8081/keys"
        w.provider.documents[DISCOVERY_URL] = {"issuer": ISSUER, "jwks_uri": inner}
        assert (await w.refusal(OLD)).status == 503
        assert w.provider.asked.count(inner) == fetches
        assert allow_http or "is not https" in w.reports[0]

    asyncio.run(inside())


@world()
async def test_a_new_configuration_keeps_the_keys_of_issuers_that_stay(w: World) -> None:
    assert await w.find(OLD)
    changed = w.build(trusted(consumer="acme/all/${azp}"), w.identity)
    consumer = changed.known(OLD, NOW)
    assert consumer is not None
    assert consumer.path == "acme/all/indexer"
    assert w.fetches == 1
    moved = w.build(trusted(jwks_url=JWKS_URL + "2"), changed)
    assert moved.known(OLD, NOW) is None
    await rounds()
    assert w.provider.asked[-1] == JWKS_URL + "2"
    moved.close()
    asked = len(w.provider.asked)
    w.loop.advance(100_000)
    await rounds()
    assert len(w.provider.asked) == asked


@world()
async def test_a_new_configuration_leaves_nobody_behind_who_waits(w: World) -> None:
    w.provider.gate.clear()
    waiting = asyncio.ensure_future(w.find(OLD))
    await rounds()
    w.build(trusted(consumer="acme/all/${azp}"), w.identity)
    without = asyncio.ensure_future(w.find(OLD))
    await rounds()
    w.build({}, w.identity)
    w.provider.gate.set()
    assert await waiting == await without == "acme/all/indexer"
    w.loop.advance(100_000)
    await rounds()
    assert w.fetches == 1
