"""Opaque credentials: asked about once, remembered no longer than told, and never rubbish."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.unit.server.issuing import FakeProvider, compiled, rounds, task_group

from gatewright.config.identity import Introspection
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.secret import Secret
from gatewright.server import introspection as introspection_module
from gatewright.server import verified as verified_module
from gatewright.server.introspection import MAX_BYTES, IntrospectionIdentity

URL = "https://as.example/introspect"
NOW = 1_800_000_000.0
ANSWER = {"active": True, "client_id": "indexer", "team": "search", "exp": NOW + 600}


class World:
    def __init__(self, **changes: Any) -> None:
        config = Introspection(
            **{
                "url": URL,
                "client_id": "gateway",
                "client_secret": Secret("hunter2"),
                "consumer": "acme/${team}/${client_id}",
                **changes,
            }
        )
        built = compiled(introspection=config).introspection
        assert built is not None
        self.failures: list[BaseException] = []
        self.provider = FakeProvider()
        self.provider.documents[URL] = ANSWER
        self.tasks = task_group(self.failures)
        self.identity = IntrospectionIdentity(*built, self.provider, self.tasks)  # type: ignore[arg-type]

    @property
    def questions(self) -> int:
        return len(self.provider.forms)

    async def refusal(self, credential: bytes = b"opaque", now: float = NOW) -> GatewayError:
        with pytest.raises(GatewayError) as refusal:
            await self.identity.find(credential, now)
        return refusal.value


def run(test: Callable[[World], Awaitable[None]], **changes: Any) -> None:
    async def inside() -> None:
        await test(World(**changes))

    asyncio.run(inside())


def test_answers_are_remembered_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified_module, "MAX_HELD_BYTES", 20_000)

    async def inside(w: World) -> None:
        w.provider.documents[URL] = {**ANSWER, "groups": ["g" * 100] * 40}
        for credential in (b"a", b"b", b"b", b"a"):
            await w.identity.find(credential, NOW)
        assert w.questions == 3, "there is room for one, and the second was the last"

    run(inside)


def test_a_good_credential_is_asked_about_once() -> None:
    async def inside(w: World) -> None:
        assert w.identity.known(b"opaque", NOW) is None
        found = await asyncio.gather(*[w.identity.find(b"opaque", NOW) for _ in range(20)])
        assert {consumer.path for consumer in found} == {"acme/search/indexer"}
        assert found[0].key_id == "introspection"
        assert found[0].claims == ANSWER
        assert w.questions == 1
        assert w.provider.forms[0] == {
            "token": "opaque",
            "token_type_hint": "access_token",
            "user": "gateway",
            "password": "hunter2",
        }
        assert w.identity.known(b"opaque", NOW + 59.9) is found[0]
        assert w.identity.known(b"opaque", NOW + 60) is None
        await w.identity.find(b"opaque", NOW + 60)
        assert w.questions == 2
        assert not w.failures

    run(inside)


@pytest.mark.parametrize(("exp", "cache_s", "until"), [(NOW + 10, 60.0, 10), (None, 60.0, 60), (NOW + 99, 5.0, 5)])
def test_how_long_an_answer_counts(exp: float | None, cache_s: float, until: float) -> None:
    async def inside(w: World) -> None:
        w.provider.documents[URL] = {**ANSWER, "exp": exp}
        consumer = await w.identity.find(b"opaque", NOW)
        assert consumer.expires_at == NOW + until

    run(inside, cache_s=cache_s)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"active": False}, Kind.UNAUTHENTICATED),
        ({}, Kind.UNAUTHENTICATED),
        ([], Kind.UNAUTHENTICATED),
        ({**ANSWER, "active": "true"}, Kind.UNAUTHENTICATED),
        ({**ANSWER, "active": 1}, Kind.UNAUTHENTICATED),
        ({**ANSWER, "exp": NOW}, Kind.UNAUTHENTICATED),
        ({**ANSWER, "exp": "x"}, Kind.UNAUTHENTICATED),
        ({**ANSWER, "exp": True}, Kind.UNAUTHENTICATED),
        ({**ANSWER, "nbf": NOW + 1}, Kind.UNAUTHENTICATED),
        ({**ANSWER, "aud": "other"}, Kind.UNAUTHENTICATED),
        ({**ANSWER, "aud": None}, Kind.UNAUTHENTICATED),
        ({**ANSWER, "aud": ["gw"], "team": "a/b"}, Kind.FORBIDDEN),
        ({**ANSWER, "aud": "gw", "scope": "profile"}, Kind.FORBIDDEN),
        ({**ANSWER, "aud": "gw", "scope": "ai profile"}, None),
    ],
)
def test_answers(answer: Any, kind: Kind | None) -> None:
    async def inside(w: World) -> None:
        w.provider.documents[URL] = answer
        if kind is None:
            assert await w.identity.find(b"opaque", NOW)
            return
        assert (await w.refusal()).kind is kind
        assert (await w.refusal()).kind is kind
        assert w.questions == 1
        await w.refusal(now=NOW + 6)
        assert w.questions == 2

    run(inside, audience=["gw"], required={"scope": "ai"} if "scope" in answer else {})


@pytest.mark.parametrize(
    "credential", [b"", b"a b", b"a\nb", b"a&b=c", b"\xff", "ä".encode(), b"=", b"a=b", b"x" * (MAX_BYTES + 1)]
)
def test_what_is_no_credential_is_not_asked_about(credential: bytes) -> None:
    async def inside(w: World) -> None:
        assert (await w.refusal(credential)).kind is Kind.UNAUTHENTICATED
        assert w.questions == 0

    run(inside)


def test_a_server_that_is_away_refuses_nobody_for_good() -> None:
    async def inside(w: World) -> None:
        w.provider.documents[URL] = None
        error = await w.refusal()
        assert (error.status, error.retry_after_s) == (503, 1.0)
        assert "as.example" not in error.message
        w.provider.documents[URL] = ANSWER
        assert await w.identity.find(b"opaque", NOW)

    run(inside)


def test_too_many_questions_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection_module, "MAX_ASKING", 3)

    async def inside(w: World) -> None:
        w.provider.gate.clear()
        waiting = [asyncio.ensure_future(w.identity.find(b"c%d" % number, NOW)) for number in range(3)]
        await rounds()
        assert (await w.refusal(b"another")).kind is Kind.OVERLOADED
        w.provider.gate.set()
        await asyncio.gather(*waiting)
        assert await w.identity.find(b"another", NOW)

    run(inside)


def test_one_who_leaves_takes_nothing_from_the_others() -> None:
    async def inside(w: World) -> None:
        w.provider.gate.clear()
        waiting = [asyncio.ensure_future(w.identity.find(b"opaque", NOW)) for _ in range(2)]
        await rounds()
        waiting[0].cancel()
        await rounds()
        w.provider.gate.set()
        assert (await waiting[1]).path == "acme/search/indexer"
        assert w.questions == 1

    run(inside)
