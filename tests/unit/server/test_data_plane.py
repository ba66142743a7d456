"""The border of an exchange: answered, settled and recorded once, whatever happens inside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gatewright.config.documents import Gateway
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import RECORDED, Exchange
from gatewright.core.ports import Ports
from gatewright.core.reply import Reply
from gatewright.core.surface import Surface
from gatewright.filters import FILTERS
from gatewright.pipeline.build import build_snapshot
from gatewright.providers import PROVIDERS
from gatewright.server.data_plane import DataPlane
from gatewright.store.memory import MemoryCounters
from gatewright.testing import answers
from gatewright.testing.clock import FakeClock
from gatewright.testing.gateway import key_hash
from gatewright.wire.request import Malformed, Request

CHAT = b"/v1/chat/completions"
BODY = b'{"model": "m", "messages": []}'
STREAM = b'{"model": "m", "stream": true}'
EVENTS = b"".join(answers.sse(chunk) for chunk in [*answers.chat_chunks(), b"[DONE]"])


class Client:
    """A connection as the data plane sees it."""

    def __init__(self) -> None:
        self.sent = b""
        self.turns = 0
        self.closes = self.is_http10 = False
        self.caller: Any = None
        self.peer = "192.0.2.1"
        self.certificate: bytes | None = None

    def respond(self, message: bytes) -> None:
        self.sent += message

    def begin_stream(self, head: bytes, source: Any) -> None:
        self.sent += head

    def write_piece(self, piece: bytes) -> None:
        self.sent += piece

    def end_stream(self) -> None:
        self.sent += b"|end"

    def close_after_answer(self) -> None:
        self.closes = True

    def next_turn(self) -> None:
        self.turns += 1

    @property
    def status(self) -> int:
        return int(self.sent[9:12])

    @property
    def head(self) -> bytes:
        return self.sent.partition(b"\r\n\r\n")[0] + b"\r\n"

    @property
    def body(self) -> bytes:
        return self.sent.partition(b"\r\n\r\n")[2]


class Answer:
    def __init__(self, status: int = 200, body: bytes | None = None, pieces: tuple[bytes, ...] = ()) -> None:
        self.status, self.body, self.pieces = status, body, pieces
        self.headers: dict[bytes, bytes] = {}
        self.aborted = False

    def start(self, sink: Any) -> None:
        for piece in self.pieces:
            sink.on_data(piece)
        if self.pieces:
            sink.on_end()

    def pause(self) -> None: ...
    def resume(self) -> None: ...

    def abort(self) -> None:
        self.aborted = True


class World:
    """A data plane with fakes on every side."""

    def __init__(self, **document: Any) -> None:
        self.clock = FakeClock()
        self.records: list[Exchange] = []
        self.faults: list[BaseException] = []
        self.answer: Any = Answer(200, answers.chat_completion())
        self.max_response_bytes = 0
        world: Any = self
        self.ports = Ports(counters=MemoryCounters(self.clock), now=self.clock, random=lambda: 0.0)
        self.booked: list[Exchange] = []
        self.plane = DataPlane(
            asyncio.get_running_loop(),
            world,
            self.ports,
            world,
            world,
            lambda _, error: self.faults.append(error),
            "req_",
        )
        self.use(**document)

    def use(self, **document: Any) -> None:
        given = {
            "providers": {"p": {"type": "openai_compatible", "url": "http://p.test"}},
            "models": {
                "m": {"targets": [{"provider": "p", "model": "scripted-1"}]},
                "x/*": {"targets": [{"provider": "p"}]},
            },
            **document,
        }
        snapshot = build_snapshot(
            msgspec.convert(given, Gateway), version=1, providers=PROVIDERS, filters=FILTERS, ports=self.ports
        )
        self.plane.use(snapshot, 1_700_000_000)

    def book(self, x: Exchange) -> None:
        self.booked.append(x)

    def check_room(self) -> None: ...

    async def send(self, upstream: Any, request: bytes) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        if isinstance(self.answer, asyncio.Future):
            return await self.answer
        return self.answer

    def record(self, x: Exchange) -> None:
        self.records.append(x)

    async def ask(
        self,
        body: bytes = BODY,
        method: bytes = b"POST",
        path: bytes = CHAT,
        client: Client | None = None,
        **headers: bytes,
    ) -> Client:
        client = client or Client()
        sent = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        connection: Any = client
        await self.plane.handle(connection, Request(method, path, b"", sent, body, True, client.is_http10))
        return client


def in_a_world(body: Callable[[World], Awaitable[None]], **document: Any) -> None:
    async def made() -> None:
        world = World(**document)
        await body(world)
        assert world.plane.in_flight == 0

    asyncio.run(made())


def test_a_plain_answer() -> None:
    async def body(world: World) -> None:
        client = await world.ask(x_request_id=b"mine-1")
        assert client.status == 200
        assert b"x-request-id: mine-1\r\n" in client.head
        assert msgspec.json.decode(client.body)["model"] == "m"
        (x,) = world.records
        assert (x.status, x.bytes_out, x.error, client.turns) == (200, len(client.body), None, 1)
        assert x.usage is not None

    in_a_world(body)


def test_an_exchange_with_everything_on_keeps_the_shared_layout() -> None:
    async def body(world: World) -> None:
        client = await world.ask(authorization=b"Bearer gw-1")
        assert client.status == 200
        (x,) = world.records
        assert (x.consumer.path, x.plan is None, x.cost_femto_usd is None) == ("acme/t/a", False, False)
        # CPython 3.11 keeps attributes of an instance in its class's order for no more than thirty names.
        assert len(vars(x)) <= 30

    in_a_world(
        body,
        consumers={"acme": {"teams": {"t": {"apps": {"a": {"keys": [key_hash("gw-1")]}}}}}},
        catalogue={"openai_compatible/scripted-1": {"prices": {"input": "1", "output": "1"}}},
        policies=[
            {"filter": "rate_limit", "config": {"tokens": 1_000_000, "per": "minute"}},
            {"filter": "budget", "name": "all", "config": {"usd": 1_000, "per": "month", "by": "organisation"}},
        ],
    )


@pytest.mark.parametrize("sent", [b"", b"with space", b"x" * 129, b'"quote"'])
def test_an_odd_request_id_is_replaced(sent: bytes) -> None:
    async def body(world: World) -> None:
        await world.ask(x_request_id=sent)
        await world.ask()
        assert [x.id for x in world.records] == ["req_00000001", "req_00000002"]

    in_a_world(body)


@pytest.mark.parametrize("is_http10", [True, False])
def test_a_stream(is_http10: bool) -> None:
    async def body(world: World) -> None:
        world.answer = Answer(pieces=(EVENTS,))
        client = Client()
        client.is_http10 = is_http10
        await world.ask(STREAM, client=client)
        assert client.status == 200
        assert (b"transfer-encoding: chunked" in client.head) is not is_http10
        assert (b"connection: close" in client.head) is is_http10
        assert client.body.endswith(b"data: [DONE]\n\n|end")
        assert world.records[0].bytes_out == len(client.body) - 4

    in_a_world(body)


@pytest.mark.parametrize(
    ("pieces", "status", "kind"),
    [
        ((b'data: {"error": {"message": "no memory"}}\n\n',), 502, Kind.UPSTREAM_CUT),
        ((b": ping",), 502, Kind.UPSTREAM_CUT),
        ((answers.sse(answers.chat_chunks()[0]),), 200, Kind.UPSTREAM_CUT),
    ],
)
def test_a_stream_that_fails_is_an_honest_error_or_an_event(pieces: tuple[bytes, ...], status: int, kind: Kind) -> None:
    async def body(world: World) -> None:
        world.answer = Answer(pieces=pieces)
        client = await world.ask(STREAM)
        assert client.status == status
        assert b'"error"' in client.body
        assert b"[DONE]" not in client.body
        (x,) = world.records
        assert x.error is not None
        assert (x.error.kind, x.status) == (kind, status)
        if status != 200:
            assert msgspec.json.decode(client.body)["error"]["message"]

    in_a_world(body)


def test_a_fault_of_the_gateway_costs_one_exchange_and_shows_nothing() -> None:
    async def body(world: World) -> None:
        world.answer = RuntimeError("/secret/path")
        client = await world.ask()
        assert client.status == 500
        assert b"secret" not in client.sent
        assert [str(fault) for fault in world.faults] == ["/secret/path"]
        assert client.turns == len(world.records) == 1

    in_a_world(body)


@pytest.mark.parametrize("in_stream", [True, False])
def test_a_client_that_leaves_is_settled_and_recorded(in_stream: bool) -> None:
    async def body(world: World) -> None:
        stream = Answer()  # flows, but brings nothing
        world.answer = stream if in_stream else asyncio.get_running_loop().create_future()
        client = Client()
        task = asyncio.ensure_future(world.ask(STREAM if in_stream else BODY, client=client))
        for _ in range(6):  # through its stages
            await asyncio.sleep(0)
        assert world.plane.in_flight == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (x,) = world.records
        assert x.error is not None
        assert (x.error.kind, x.status, client.sent) == (Kind.DISCONNECTED, 499, b"")
        assert stream.aborted is in_stream

    in_a_world(body)


def test_a_client_that_leaves_between_any_two_stages_is_closed_once_with_one_outcome() -> None:
    async def body(world: World) -> None:
        outcomes = []
        for rounds in range(1, 12):
            client = Client()
            task = asyncio.ensure_future(world.ask(client=client))
            for _ in range(rounds):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert len(world.records) == rounds
            x = world.records[-1]
            assert (x.closed, client.turns) == (RECORDED, 1)
            assert (x.error is None) is (x.status == 200)
            assert world.booked.count(x) == bool(x.attempts)
            outcomes.append(x.status)
        assert outcomes == sorted(outcomes, reverse=True)  # cancelled before it is settled, answered from then on
        assert set(outcomes) == {499, 200}

    in_a_world(body)


def test_what_is_not_a_request_is_answered_and_recorded() -> None:
    async def body(world: World) -> None:
        client = Client()
        connection: Any = client
        world.plane.refuse(connection, Malformed(Kind.TOO_LARGE, "too much", b"POST", CHAT, {b"x-request-id": b"a"}))
        assert client.status == 413
        assert b"x-request-id: a" in client.head
        assert world.records[0].status == 413
        assert client.turns == 0

    in_a_world(body)


def test_a_head_request_gets_no_body() -> None:
    async def body(world: World) -> None:
        client = await world.ask(b"", b"HEAD", b"/v1/models")
        assert client.status == 405
        assert client.body == b""
        assert b"content-length: 0" not in client.head
        assert b"allow: GET\r\n" in client.head

    in_a_world(body)


def test_too_many_in_flight_are_told_to_come_back() -> None:
    async def body(world: World) -> None:
        world.answer = asyncio.get_running_loop().create_future()
        first = asyncio.ensure_future(world.ask())
        await asyncio.sleep(0)
        client = await world.ask()
        assert client.status == 503
        assert b"retry-after: 1\r\nretry-after-ms: 1000\r\n" in client.head
        world.answer.set_result(Answer(200, answers.chat_completion()))
        assert (await first).status == 200

    in_a_world(body, limits={"requests_in_flight": 1})


def test_the_models_are_listed_and_patterns_are_found() -> None:
    async def body(world: World) -> None:
        listed = await world.ask(b"", b"GET", b"/v1/models")
        assert [row["id"] for row in msgspec.json.decode(listed.body)["data"]] == ["m"]
        one = await world.ask(b"", b"GET", b"/v1/models/x%2Fy")
        assert msgspec.json.decode(one.body)["id"] == "x/y"
        assert (await world.ask(b"", b"GET", b"/v1/models/none")).status == 404

    in_a_world(body)


PAGE = b"https://page.test"


def test_pages_that_may_call_are_told_so_in_every_answer() -> None:
    async def body(world: World) -> None:
        allowed = b"access-control-allow-origin: " + PAGE
        preflight = await world.ask(b"", b"OPTIONS", origin=PAGE, access_control_request_method=b"POST")
        assert preflight.status == 204
        assert allowed in preflight.head
        assert b"content-length" not in preflight.head
        assert allowed in (await world.ask(origin=PAGE)).head
        assert allowed in (await world.ask(b"no json", origin=PAGE)).head
        world.answer = Answer(pieces=(EVENTS,))
        assert allowed in (await world.ask(STREAM, origin=PAGE)).head
        assert b"access-control" not in (await world.ask(origin=b"https://evil.test")).head
        refused = await world.ask(b"", b"OPTIONS", origin=b"https://evil.test", access_control_request_method=b"POST")
        assert refused.status == 405

    in_a_world(body, cors={"origins": [PAGE.decode()]})


def test_a_known_head_spares_the_search_for_its_caller_until_the_configuration_changes() -> None:
    async def body(world: World) -> None:
        client: Any = Client()
        mark = object()
        headers = {b"authorization": b"Bearer sk-1"}
        for _ in range(2):
            await world.plane.handle(client, Request(b"POST", CHAT, b"", headers, BODY, True, False, mark))
        assert [x.consumer.path for x in world.records] == ["o/t/a", "o/t/a"]
        world.use(consumers=_consumers("sk-2"))
        client.sent = b""
        await world.plane.handle(client, Request(b"POST", CHAT, b"", headers, BODY, True, False, mark))
        assert client.status == 401

    in_a_world(body, consumers=_consumers("sk-1"))


def _consumers(key: str) -> dict[str, Any]:
    return {"o": {"teams": {"t": {"apps": {"a": {"keys": [key_hash(key)]}}}}}}


def test_an_upstreams_own_words_and_its_wish_to_wait_reach_the_client() -> None:
    async def body(world: World) -> None:
        world.answer = GatewayError(Kind.UPSTREAM_RATE_LIMITED, "slow down", retry_after_s=1.2, body=b'{"their": 1}')
        client = await world.ask()
        assert client.status == 429
        assert client.body == b'{"their": 1}'
        assert b"retry-after: 2\r\nretry-after-ms: 1200\r\n" in client.head

    in_a_world(body)


class _Endpoints:
    """What is served besides models."""

    def find(self, path: bytes) -> Any:
        return (
            SimpleNamespace(surface=Surface("oauth_token", b"POST", path, "oauth")) if path == b"/oauth/token" else None
        )

    async def answer(self, endpoint: Any, request: Request, x: Exchange, address: str) -> Reply:
        x.error = GatewayError(Kind.UNAUTHENTICATED, f"invalid_client: {address}", status=401)
        return Reply(401, b"{}", headers=((b"cache-control", b"no-store"),))


def test_endpoints_besides_models() -> None:
    async def body(world: World) -> None:
        assert (await world.ask(path=b"/oauth/token")).status == 404
        assert world.plane.snapshot is not None
        endpoints: Any = _Endpoints()
        world.plane.use(world.plane.snapshot, 1, endpoints)
        client = await world.ask(path=b"/oauth/token")
        assert client.status == 401
        assert b"cache-control: no-store\r\n" in client.head
        x = world.records[-1]
        assert x.surface is not None
        assert (x.surface.name, x.status, str(x.error)) == ("oauth_token", 401, "invalid_client: 192.0.2.1")
        assert world.booked == []
        assert (await world.ask()).status == 200
        assert not world.faults

    in_a_world(body)
