"""What the tests of issuers and introspection share: a provider that answers from a table, and time that stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from tests.signing import AUDIENCE, ISSUER

from gatewright.config.identity import Identity, Issuer
from gatewright.config.problems import ConfigError
from gatewright.net.tasks import TaskGroup
from gatewright.pipeline.identities import Identities, TrustedIssuer, build_identities
from gatewright.server.fetch import Fetched, FetchFailed
from gatewright.testing.clock import FakeClock

JWKS_URL = "https://login.acme.example/keys"


class FakeLoop:
    """The time and the timers of a loop."""

    def __init__(self) -> None:
        self.time = FakeClock()
        self.timers: list[tuple[float, Callable[[], object]]] = []

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Any:
        timer = (self.time() + seconds, callback)
        self.timers.append(timer)
        loop = self

        class Handle:
            def cancel(self) -> None:
                if timer in loop.timers:
                    loop.timers.remove(timer)

        return Handle()

    def advance(self, seconds: float) -> None:
        now = self.time.advance(seconds)
        due = [timer for timer in self.timers if timer[0] <= now]
        self.timers = [timer for timer in self.timers if timer[0] > now]
        for _, callback in due:
            callback()


class FakeProvider:
    """Stands for a Fetcher: gives documents by address, counts what is asked, waits while `gate` is closed."""

    def __init__(self, **documents: Any) -> None:
        self.documents: dict[str, Any] = {}
        self.asked: list[str] = []
        self.forms: list[dict[str, str]] = []
        self.ways: list[Any] = []
        self.max_age_s: float | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def get(self, url: str, way: Any) -> Fetched:
        self.asked.append(url)
        self.ways.append(way)
        await self.gate.wait()
        await asyncio.sleep(0)
        document = self.documents.get(url)
        if callable(document):
            document = document()
        if document is None:
            raise FetchFailed(f"{url}: nothing there")
        body = document if isinstance(document, bytes) else msgspec.json.encode(document)
        return Fetched(msgspec.json.decode(body), body, self.max_age_s)

    async def post(self, url: str, way: Any, form: dict[str, str], user: str, password: Any) -> Fetched:
        self.forms.append({**form, "user": user, "password": password.reveal()})
        return await self.get(url, way)


def issuer(**changes: Any) -> Issuer:
    good = Issuer(issuer=ISSUER, audience=[AUDIENCE], jwks_url=JWKS_URL, consumer="acme/${groups[0]}/${azp}")
    return msgspec.structs.replace(good, **changes)


def compiled(**sections: Any) -> Identities:
    errors: list[ConfigError] = []
    built = build_identities(Identity(**sections), errors)
    assert not errors, errors
    return built


def trusted(**changes: Any) -> dict[str, TrustedIssuer]:
    return dict(compiled(issuers={"corp": issuer(**changes)}).issuers)


def task_group(failures: list[BaseException]) -> TaskGroup:
    return TaskGroup(asyncio.get_running_loop(), lambda _, error: failures.append(error), lambda _: False)


async def rounds(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
