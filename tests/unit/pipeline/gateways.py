"""A small gateway, compiled: what the tests of the pipeline run exchanges against."""

from __future__ import annotations

from collections.abc import Coroutine, Iterator, Sequence
from typing import Any

import msgspec

from gatewright.config.documents import Document, Gateway, ProviderConfig
from gatewright.core.exchange import Exchange
from gatewright.core.ports import Ports, StreamSink
from gatewright.core.secret import Secret
from gatewright.pipeline.build import build_snapshot
from gatewright.pipeline.filters import Filter, FilterType
from gatewright.pipeline.provider import ProviderType, Upstream, build_upstream
from gatewright.pipeline.snapshot import Snapshot
from gatewright.store.memory import MemoryCounters
from gatewright.testing.clock import FakeClock


class Config(Document, frozen=True):
    """Anything a test needs to tell its filter."""

    note: str = ""


class HostConfig(ProviderConfig, frozen=True):
    """A provider that speaks chat."""

    type: str = "host"


def build(name: str, config: HostConfig) -> Upstream:
    if config.url is None:
        raise ValueError("`url` is missing")
    credential = ("authorization", Secret(f"Bearer {config.key.reveal()}")) if config.key else None
    paths = {"openai.chat": "/chat/completions"}
    return build_upstream(name, config, url=config.url, paths=paths, credential=credential)


def build_claude(name: str, config: HostConfig) -> Upstream:
    paths = {"anthropic.messages": "/messages"}
    return build_upstream(name, config, url=config.url or "http://claude.test/v1", paths=paths, credential=None)


HOST: ProviderType[Any] = ProviderType("host", HostConfig, build, "A host.")
CLAUDE: ProviderType[Any] = ProviderType("claude", HostConfig, build_claude, "A host of another dialect.")


class Answer:
    """An upstream's answer, whole or a stream nobody reads."""

    def __init__(self, status: int = 200, body: bytes | None = b'{"model": "their-name"}', **headers: bytes) -> None:
        self.status, self.body = status, body
        self.headers = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        self.aborted = False

    def start(self, sink: StreamSink) -> None:
        raise AssertionError("nobody reads it here")

    def pause(self) -> None: ...
    def resume(self) -> None: ...

    def abort(self) -> None:
        self.aborted = True


class World:
    """Ports with scripted chance, and a `send` that plays what it is given."""

    def __init__(self, *chances: float) -> None:
        self.clock = FakeClock()
        self.chances: Iterator[float] = iter(chances)
        self.spawned = 0
        self.sent: list[tuple[str, bytes]] = []
        self.script: list[Answer | BaseException] = []
        self.ports = Ports(
            counters=MemoryCounters(self.clock), now=self.clock, random=lambda: next(self.chances), spawn=self._spawn
        )

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        self.spawned += 1
        return coroutine

    async def send(self, upstream: Upstream, request: bytes) -> Answer:
        self.sent.append((upstream.name, request))
        self.clock.advance(0.5)
        what = self.script.pop(0) if self.script else Answer()
        if isinstance(what, BaseException):
            raise what
        return what

    def snapshot(self, document: dict[str, Any], *filters: FilterType) -> Snapshot:
        return build_snapshot(
            msgspec.convert(document, Gateway), version=1, providers=[HOST, CLAUDE], filters=filters, ports=self.ports
        )

    def exchange(self, snapshot: Snapshot, body: bytes, **headers: bytes) -> Exchange:
        sent = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        return Exchange("req_1", snapshot, sent, body, self.clock())


def targets(*rows: tuple[str, int]) -> list[dict[str, Any]]:
    return [{"provider": name, "model": f"{name}-model", "weight": weight} for name, weight in rows]


def document(
    rows: Sequence[tuple[str, int]] = (("a", 1),), fallback: Sequence[tuple[str, int]] = (), **more: Any
) -> dict[str, Any]:
    names = [name for name, _ in [*rows, *fallback]]
    model = {"targets": targets(*rows), "fallback": targets(*fallback), **more.pop("model", {})}
    return {
        "providers": {name: {"type": "host", "url": f"http://{name}.test/v1"} for name in names},
        "models": {"m": model},
        **more,
    }


def filter_type(kind: type[Filter], name: str = "probe") -> FilterType:
    return FilterType(name, Config, kind, "A probe.")
