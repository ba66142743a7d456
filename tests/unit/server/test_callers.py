"""Which credential is looked up where, and when what was found counts no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.signing import key_set, public, rsa_key, sign
from tests.unit.server.issuing import JWKS_URL, FakeLoop, FakeProvider, compiled, issuer, task_group
from tests.unit.server.token_world import CONFIGURED, PATH, SECRET, TokenWorld

from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError, Kind
from gatewright.pipeline.gateway_tokens import Origin
from gatewright.server.callers import WorkerCallers
from gatewright.server.federation import Federation


class World(TokenWorld):
    def __init__(self, state: Path) -> None:
        super().__init__(state)
        provider = FakeProvider()
        provider.documents[JWKS_URL] = key_set(public(rsa_key()))
        loop: Any = FakeLoop()
        fetcher: Any = provider
        self.federation = Federation(loop, fetcher, task_group([]), self.clock, lambda _: None)
        self.federation.use(compiled(issuers={"corp": issuer()}))
        self.callers = WorkerCallers(self.reader, SECRET, self.federation, self.clock)
        self.callers.tokens = self.tokens

    async def find(self, credential: bytes) -> Consumer | None:
        """As a data plane asks."""
        consumer = self.callers.known(credential)
        if consumer is None:
            pending = self.callers.find(credential)
            consumer = None if pending is None else await pending
        return consumer

    def token(self) -> bytes:
        holder = self.tokens.find_key(CONFIGURED.encode())
        assert holder is not None
        origin = Origin(consumer=PATH, key=holder.handle)
        return self.tokens.issue(origin, None, float("inf"), sub=PATH, client_id="c").text


def run(state: Path, test: Callable[[World], Awaitable[None]]) -> None:
    async def inside() -> None:
        world = World(state)
        try:
            await test(world)
        finally:
            world.federation.close()
            world.close()

    asyncio.run(inside())


def test_who_is_found(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        key = w.settings.add()
        w.callers.tick()
        for credential, key_id in ((key.encode(), key[3:13]), (w.token(), ""), (sign(), "jwt:corp")):
            consumer = await w.find(credential)
            assert consumer is not None
            assert (consumer.path, consumer.key_id) == (PATH, key_id)
        assert await w.find(b"unknown") is None
        assert w.callers.of_peer(None) is None

    run(tmp_path, inside)


def test_who_is_refused(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        key = w.settings.add(is_suspended=True)
        w.callers.tick()
        for credential, told in (
            (key.encode(), f"{key[:13]} is suspended"),
            (key.encode()[:-1], "not whole"),
            (w.token()[:-4], "signature is not valid"),
            (sign()[:-9], "cut or changed"),
        ):
            with pytest.raises(GatewayError, match=told) as refusal:
                await w.find(credential)
            assert refusal.value.kind is Kind.UNAUTHENTICATED

    run(tmp_path, inside)


def test_without_tokens_of_its_own_a_gateway_token_is_a_strangers(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        text = w.token()
        w.callers.tokens = None
        w.callers.tick()
        with pytest.raises(GatewayError, match="not one that this gateway trusts"):
            await w.find(text)

    run(tmp_path, inside)


def test_changes_of_keys_raise_the_generation(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        before = w.callers.generation
        w.callers.tick()
        assert w.callers.generation == before
        w.settings.add()
        w.callers.tick()
        assert w.callers.generation == before + 1
        w.callers.forget()
        assert w.callers.generation == before + 2

    run(tmp_path, inside)


def test_revocations_that_go_are_told(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        told: list[str] = []
        callers = WorkerCallers(w.reader, SECRET, w.federation, w.clock, told.append)
        callers.tokens = w.tokens
        assert await w.find(w.token()) is not None
        (tmp_path / "revoked.lmdb").rename(tmp_path / "away")
        for _ in range(3):
            callers.tick()
        assert ["is gone" in problem for problem in told] == [True]
        with pytest.raises(GatewayError, match="cannot be checked"):
            await w.find(w.token())
        (tmp_path / "away").rename(tmp_path / "revoked.lmdb")
        callers.tick()
        assert await w.find(w.token()) is not None
        assert len(told) == 1

    run(tmp_path, inside)


def test_a_table_that_goes_is_told(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        told: list[str] = []
        callers = WorkerCallers(w.reader, SECRET, w.federation, w.clock, told.append)
        for file in (tmp_path / "keys.lmdb").iterdir():
            file.unlink()
        callers.tick()
        assert "gone" in told[0]

    run(tmp_path, inside)
