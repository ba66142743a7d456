"""A race for a budget: a provider that knows what it really made, a crowd that asks all at once, and who says what.

Everything here runs in one event loop, without a thread: a thousand streams are open at the same time.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from suite import build_config, render_call

from gatewright.core.counting import Allowance, Kind
from gatewright.pipeline.calendar import window_at
from gatewright.pipeline.claims import BudgetGroup
from gatewright.store.redis_scripts import shape_of
from gatewright.store.shared import SharedCounters
from gatewright.testing import answers
from gatewright.testing.gateway import GatewayProcess

CONSUMER: Final = "acme/search/indexer"
INPUT_NANO: Final = 1_000
OUTPUT_NANO: Final = 10_000
"""What a token costs, in nano-dollars: one and ten dollars a million."""
PROMPT: Final = 9
"""Tokens of every prompt, as the provider counts them."""
SLICE: Final = 512
"""Output tokens that a stream reserves at a time."""
WHOLE_UNKNOWN: Final = 1_024
WHOLE_MOST: Final = 4_096
"""Output tokens reserved for a whole answer: what the client allows, up to the second; the first if it does not say."""
PIECE: Final = 16
"""Tokens in one event of a stream."""
DEADLINE_S: Final = 60.0
_WORD: Final = " hey"
"""One token, for the provider and for whoever counts four bytes as one."""


def cost_of(output_tokens: int) -> int:
    """What an answer of so many tokens costs, in nano-dollars."""
    return PROMPT * INPUT_NANO + output_tokens * OUTPUT_NANO


def build_race(provider_url: str, budgets: Mapping[str, float], counters: dict[str, Any] | None) -> dict[str, Any]:
    """A gateway's configuration: models, each with a budget of its name and so many dollars, for the only consumer."""
    prices = {"openai_compatible/up": {"kind": "chat", "prices": {"input": "1", "output": "10"}}}
    policies = [
        {"filter": "budget", "name": name, "on": {"models": [name]}, "config": {"usd": usd, "per": "total"}}
        for name, usd in budgets.items()
    ]
    return build_config(
        {"up": {"url": provider_url, "timeouts": {"first_byte_s": 60.0, "idle_s": 60.0}}},
        {name: {"targets": [{"provider": "up", "model": "up"}]} for name in budgets},
        policies=policies,
        catalogue=prices,
        **({} if counters is None else {"counters": counters}),
    )


@dataclass
class Made:
    """What the provider made for one request."""

    is_stream: bool
    allowed: int | None
    """`max_tokens`."""
    output: int = 0
    is_complete: bool = False

    @property
    def cost(self) -> int:
        return cost_of(self.output)


@dataclass
class Provider:
    """Answers of exactly the length that the request names: `{"role": "user", "content": "ID LENGTH"}`.

    `made` is what it did for whom, since the last `begin`. A stream sends its first piece and waits for `gate`; then it
    sends one piece every `pace_s`.
    """

    pace_s: float = 0.02
    made: dict[str, Made] = field(default_factory=dict)
    running: int = 0
    most_running: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        self.gate = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        first, word, stop, usage = answers.chat_chunks("up", (_WORD * PIECE,), include_usage=True)
        self._first, self._stop = _event(first), _event(stop)
        self._piece, self._usage = word, msgspec.json.decode(usage)
        self._head = answers.render_head(200, [*answers.STREAM_HEADERS, ("transfer-encoding", "chunked")])
        self._whole = msgspec.json.decode(answers.chat_completion("up"))

    def begin(self) -> None:
        """Begin anew: another race."""
        assert not self.running, "an answer of the last race is still being made"
        self.made = {}
        self.most_running = 0
        self.gate = asyncio.Event()

    @property
    def spent(self) -> int:
        """The provider's own bill, in nano-dollars."""
        return sum(made.cost for made in self.made.values())

    async def __aenter__(self) -> Provider:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.gate.set()
        for writer in self._writers:
            writer.transport.abort()
        while self._writers:
            await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._serve_all(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the gateway has gone
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._writers.discard(writer)

    async def _serve_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            asked = msgspec.json.decode(await reader.readexactly(length))
            name, _, wanted = asked["messages"][0]["content"].partition(" ")
            made = self.made[name] = Made(bool(asked.get("stream")), asked.get("max_tokens"))
            output = int(wanted) if made.allowed is None else min(int(wanted), made.allowed)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            try:
                await (self._stream if made.is_stream else self._answer)(writer, made, output)
            finally:
                self.running -= 1

    async def _stream(self, writer: asyncio.StreamWriter, made: Made, output: int) -> None:
        writer.write(self._head + self._first)
        while made.output < output:
            piece = min(PIECE, output - made.output)
            made.output += piece
            word = (
                self._piece if piece == PIECE else self._piece.replace(_WORD.encode() * PIECE, _WORD.encode() * piece)
            )
            writer.write(_event(word))
            await writer.drain()
            await self.gate.wait()
            await asyncio.sleep(self.pace_s)
            if writer.transport.is_closing():
                raise ConnectionResetError
        made.is_complete = True
        usage = _event(msgspec.json.encode({**self._usage, "usage": _usage(output)}))
        writer.write(self._stop + usage + _event(b"[DONE]") + answers.LAST_CHUNK)
        await writer.drain()

    async def _answer(self, writer: asyncio.StreamWriter, made: Made, output: int) -> None:
        made.output = output  # an answer that is made whole is paid for whole
        await self.gate.wait()
        await asyncio.sleep(self.pace_s)
        made.is_complete = True
        body = msgspec.json.encode({**self._whole, "usage": _usage(output)})
        head = answers.render_head(200, [("content-type", "application/json"), ("content-length", str(len(body)))])
        writer.write(head + body)
        await writer.drain()


@dataclass(frozen=True)
class Ask:
    """One request of the crowd."""

    model: str
    name: str
    length: int
    is_stream: bool = True
    allowed: int | None = None

    def render(self) -> bytes:
        more = {} if self.allowed is None else {"max_tokens": self.allowed}
        message = {"role": "user", "content": f"{self.name} {self.length}"}
        body = {"model": self.model, "stream": self.is_stream, "messages": [message], **more}
        return render_call(body, headers=b"X-Request-Id: %s\r\nConnection: close\r\n" % self.name.encode())


@dataclass(frozen=True)
class Seen:
    """What the client saw of an answer."""

    ask: Ask
    status: int
    code: str | None = None
    """Of the error, in the body or within the stream."""
    is_complete: bool = False


async def ask(gateway: GatewayProcess, asked: Ask, on_head: Callable[[], object] = lambda: None) -> Seen:
    """One exchange on a connection of its own; `on_head` is called when its first bytes are there."""
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection(*gateway.address)
        try:
            writer.write(asked.render())
            head = await reader.readuntil(b"\r\n\r\n")
            on_head()
            rest = await reader.read()
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    status = int(head.split(b" ", 2)[1])
    if b"text/event-stream" not in head.lower():
        document = msgspec.json.decode(rest)
        return Seen(asked, status, (document.get("error") or {}).get("code"), status == 200)
    assert rest.endswith(b"0\r\n\r\n"), "a stream ends as HTTP says, however it went"
    errors = [line for line in rest.split(b"\n") if line.startswith(b'data: {"error"')]
    code = msgspec.json.decode(errors[0].removeprefix(b"data: "))["error"]["code"] if errors else None
    is_complete = b"data: [DONE]" in rest and not errors
    assert is_complete or errors, "a stream that is cut says why"
    return Seen(asked, status, code, is_complete)


async def race(gateways: Sequence[GatewayProcess], provider: Provider, asks: Iterable[Ask]) -> list[Seen]:
    """Let all ask at once, each gateway in turn. The provider goes on when everybody was heard."""
    asks = list(asks)
    waiting = sum(1 for asked in asks if asked.is_stream)
    everybody = asyncio.Event()

    def heard() -> None:
        nonlocal waiting
        waiting -= 1
        if waiting <= 0:
            everybody.set()

    tasks = [
        asyncio.ensure_future(ask(gateways[index % len(gateways)], asked, heard if asked.is_stream else lambda: None))
        for index, asked in enumerate(asks)
    ]
    async with asyncio.timeout(DEADLINE_S):
        if waiting:
            await everybody.wait()
        provider.gate.set()
        return await asyncio.gather(*tasks)


async def drain(
    gateways: Sequence[GatewayProcess], provider: Provider, model: str, at_once: int = 8, length: int = 100
) -> list[Seen]:
    """Ask for whole answers until every gateway refuses: so money that is there can be used."""
    seen: list[Seen] = []
    provider.gate.set()
    for size, crowd in ((length, at_once), (length // 10, 1)):
        refused = 0
        while refused < len(gateways):
            asks = [
                Ask(model, f"{model}-drain-{size}-{len(seen) + n}", size, is_stream=False, allowed=size)
                for n in range(crowd)
            ]
            lot = await asyncio.gather(
                *(ask(gateways[(len(seen) + n) % len(gateways)], asked) for n, asked in enumerate(asks))
            )
            seen += lot
            refused = refused + 1 if all(one.status != 200 for one in lot) else 0
    return seen


# -- what the books say -----------------------------------------------------------------------------------------------


def allowance_of(budget: str, usd: float) -> Allowance:
    """The counter that a budget of the race is."""
    window = window_at("total", time())
    limit = round(usd * 1_000_000_000)
    group = BudgetGroup(budget, CONSUMER, window.name, window.ends_at, limit)
    return Allowance(group.key, Kind.BUDGET, limit, ends_at=window.ends_at)


def counted_in_file(gateway: GatewayProcess, allowance: Allowance) -> int:
    """Settled and reserved, in the counters that the workers of a machine share."""
    counters = SharedCounters(gateway.state / "counters", time)
    try:
        return counters.used([allowance])[0]
    finally:
        counters.close()


async def counted_on_server(url: str, allowance: Allowance) -> tuple[int, int]:
    """Settled, and reserved, on the counters' server."""
    client = Redis.from_url(url, protocol=2, decode_responses=True)
    try:
        row = await client.hgetall(shape_of(allowance, "gatewright").name)
    finally:
        await client.aclose()
    numbers = {str(name): int(value) for name, value in row.items()}
    settled = numbers.pop("s", 0)
    return settled, sum(numbers.values())


@dataclass(frozen=True)
class Row:
    """What the ledger says of an exchange."""

    kind: str
    input: int
    output: int
    cost: int
    """In nano-dollars, rounded up."""
    is_estimated: bool


async def booked(gateways: Sequence[GatewayProcess], names: Set[str], within_s: float = 20.0) -> dict[str, Row]:
    """What the ledgers of all say together of these exchanges, once all are there."""
    end = time() + within_s
    while True:
        found = [row for gateway in gateways for row in _read_ledger(gateway.state)]
        rows = {row["id"]: row for row in found}
        assert len(rows) == len(found), "an exchange is booked twice"
        if missing := names - rows.keys():
            assert time() < end, f"{len(missing)} of {len(names)} exchanges are not booked"
            await asyncio.sleep(0.1)
        else:
            break
    return {
        name: Row(
            rows[name]["kind"],
            rows[name]["input_total"],
            rows[name]["output_total"],
            rows[name]["cost_nano"] + (rows[name]["cost_rest_femto"] > 0),
            bool(rows[name]["is_estimated"]),
        )
        for name in names
    }


async def until(is_so: Callable[[], Awaitable[bool]], within_s: float = 10.0) -> None:
    """Wait for something that will be. Raises AssertionError when it is not in time."""
    end = time() + within_s
    while not await is_so():
        assert time() < end, "it did not happen"
        await asyncio.sleep(0.05)


def _read_ledger(state: Path) -> list[dict[str, Any]]:
    columns = "id, kind, input_total, output_total, cost_nano, cost_rest_femto, is_estimated"
    with contextlib.closing(sqlite3.connect(f"file:{state / 'gatewright.db'}?mode=ro", uri=True, timeout=20)) as book:
        book.row_factory = sqlite3.Row
        return [dict(row) for row in book.execute(f"SELECT {columns} FROM exchanges")]


def _event(data: bytes) -> bytes:
    return answers.chunk(answers.sse(data))


def _usage(output: int) -> dict[str, int]:
    return {"prompt_tokens": PROMPT, "completion_tokens": output, "total_tokens": PROMPT + output}
