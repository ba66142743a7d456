"""The connection to the counters' server: calls of scripts, in pipelines, and whether it is there at all.

Calls that are made while others are on their way go together in the next pipeline, on one of a few connections. A call
that is not answered in time fails, and with it the server counts as away: from then on every call fails at once, and
only a probe in the background asks whether it is back. A late answer still reaches its call, since the server did what
it was asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from typing import Any, Final, Protocol

from gatewright.config.counters import Counters as Settings
from gatewright.store.redis_scripts import SCRIPTS, Script

PROBE_S: Final = 0.5
"""How long between two probes of a server that is away, and the most that one may take."""
_CONNECTIONS: Final = 2
"""Pipelines on their way at once; each has a connection."""
_CALLS_PER_PIPELINE: Final = 128
_LATE_S: Final = 2.0
"""For how long more an answer that is late is waited for, in the background."""
_CLUSTER_ERRORS: Final = ("MovedError", "AskError", "ClusterDownError", "ClusterCrossSlotError")

Spawn = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]
Argument = str | int | float


class RedisMissing(Exception):
    """The client library is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "counting in Redis or Valkey needs its client; install it with: pip install 'gatewright[redis]'"
        )


class Call:
    """One call of a script. Exactly one of `on_reply` and `on_failure` is called; after a failure maybe `on_late`."""

    __slots__ = ("arguments", "is_over", "keys", "on_failure", "on_late", "on_reply", "script", "sent_at")

    def __init__(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Argument],
        on_reply: Callable[[bytes], None],
        on_failure: Callable[[], None],
        on_late: Callable[[bytes], None] | None = None,
    ) -> None:
        self.script = script
        self.keys = keys
        self.arguments = arguments
        self.on_reply = on_reply
        self.on_failure = on_failure
        self.on_late = on_late
        self.is_over = False
        self.sent_at = 0.0
        """When it went out, on the link's clock."""

    def reply(self, answer: bytes) -> None:
        """Hand over the answer, in time or late."""
        if not self.is_over:
            # Over only then: when this raises, whoever waits is not left to wait for ever, but told of a failure.
            self.on_reply(answer)
            self.is_over = True
        elif self.on_late is not None:
            self.on_late(answer)

    def fail(self) -> None:
        """There is no answer, at least not in time."""
        if not self.is_over:
            self.is_over = True
            self.on_failure()


class _Pipeline:
    """Calls that are on their way together."""

    __slots__ = ("calls", "is_given_up")

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.is_given_up = False
        """Whether it took too long: it may still bring answers, and says nothing of the server any more."""


class Link(Protocol):
    """The way to the server, as the counters see it."""

    is_up: bool

    def call(self, call: Call) -> None:
        """Send a call, or fail it at once while the server is away."""
        ...


class RedisLink:
    """A link over redis-py. Raises RedisMissing when that is not installed.

    `on_change(is_up, reason)` is called whenever the server goes or comes; the reason names no password.
    """

    def __init__(
        self,
        settings: Settings,
        spawn: Spawn,
        now: Callable[[], float],
        on_change: Callable[[bool, str], None],
    ) -> None:
        assert settings.url is not None  # find_faults() told
        try:
            self._redis = import_module("redis.asyncio")
            self._errors: tuple[type[Exception], ...] = (import_module("redis").RedisError, OSError)
        except ImportError:
            raise RedisMissing from None
        self.is_up = False
        self._spawn = spawn
        self._now = now
        self._on_change = on_change
        self._timeout_s = settings.timeout_ms / 1000
        self._probe_key = f"{{{settings.prefix}}}:probe"
        self._client = self._build_client(settings)
        self._waiting: deque[Call] = deque()
        self._sending = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def open(self) -> None:
        """Try once to reach the server, and go on trying in the background. Does not raise if it is away."""
        if not await self._probe():
            self._start(self._watch(), "counters: probe")

    async def close(self) -> None:
        """End everything; calls that are under way fail."""
        self._is_closed = True
        self.is_up = False
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._waiting:
            self._waiting.popleft().fail()
        await self._client.aclose(close_connection_pool=True)

    def call(self, call: Call) -> None:
        if not self.is_up:
            call.fail()
            return
        self._waiting.append(call)
        if self._sending < _CONNECTIONS:
            self._sending += 1
            self._start(self._send(), "counters: pipeline")

    def _build_client(self, settings: Settings) -> Any:
        assert settings.url is not None
        url, options = settings.url.reveal(), dict[str, Any]()
        if settings.ca is not None and url.startswith("rediss://"):
            options["ssl_ca_certs"] = settings.ca
        retry = import_module("redis.asyncio.retry").Retry(import_module("redis.backoff").NoBackoff(), 0)
        return self._redis.Redis.from_url(
            url,
            max_connections=_CONNECTIONS + 2,
            socket_timeout=self._timeout_s + _LATE_S,
            socket_connect_timeout=PROBE_S,
            # The library would send a pipeline again that may have been executed.
            retry=retry,
            protocol=2,
            **options,
        )

    def _start(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = self._spawn(coroutine, name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self) -> None:
        """Send what waits, until nothing does."""
        pipeline = _Pipeline()
        try:
            # What is called in the same turn of the loop goes together.
            await asyncio.sleep(0)
            while self._waiting and not pipeline.is_given_up:
                count = min(len(self._waiting), _CALLS_PER_PIPELINE)
                pipeline.calls = [self._waiting.popleft() for _ in range(count)]
                await self._exchange(pipeline)
        except self._errors as error:
            if not pipeline.is_given_up:
                self._go_down(_describe(error))
        finally:
            if not pipeline.is_given_up:
                self._sending -= 1
            for call in pipeline.calls:
                call.fail()

    async def _exchange(self, pipeline: _Pipeline) -> None:
        calls = pipeline.calls
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._timeout_s / 2, self._half_over, pipeline, calls)
        try:
            replies = await self._run(calls)
            missing = [call for call, reply in zip(calls, replies, strict=True) if _is_unknown(reply)]
            if missing:
                # A server that was started anew knows no scripts.
                await self._load()
                again = dict(zip(missing, await self._run(missing), strict=True))
                replies = [again.get(call, reply) for call, reply in zip(calls, replies, strict=True)]
        finally:
            timer.cancel()
        for call, reply in zip(calls, replies, strict=True):
            if isinstance(reply, bytes):
                call.reply(reply)
            else:
                if not pipeline.is_given_up:
                    self._go_down(_describe(reply))
                call.fail()

    async def _run(self, calls: Sequence[Call]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        sent_at = self._now()
        for call in calls:
            call.sent_at = sent_at
            pipeline.execute_command("EVALSHA", call.script.digest, len(call.keys), *call.keys, *call.arguments)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies

    async def _load(self) -> None:
        for script in SCRIPTS:
            await self._client.script_load(script.source)

    def _half_over(self, pipeline: _Pipeline, calls: Sequence[Call]) -> None:
        # In two halves: when this process was held up itself, the first comes late and the second still gives the
        # answers, which may lie in the socket already, the time to be read.
        asyncio.get_running_loop().call_later(self._timeout_s / 2, self._time_out, pipeline, calls)

    def _time_out(self, pipeline: _Pipeline, calls: Sequence[Call]) -> None:
        if any(not call.is_over for call in calls):
            # Its place is free for another: when the server is back, nobody is to wait for what the old one waits for.
            pipeline.is_given_up = True
            self._sending -= 1
            self._go_down(f"no answer within {self._timeout_s * 1000:.0f} ms")
            for call in calls:
                call.fail()

    def _go_down(self, reason: str) -> None:
        if not self.is_up or self._is_closed:
            return
        self.is_up = False
        self._on_change(False, reason)
        while self._waiting:
            self._waiting.popleft().fail()
        self._start(self._watch(), "counters: probe")

    async def _watch(self) -> None:
        while not self._is_closed:
            await asyncio.sleep(PROBE_S)
            if await self._probe():
                return

    async def _probe(self) -> bool:
        """Whether the server takes a write; it is up then. A replica, a full server or a node of a cluster do not."""
        try:
            async with asyncio.timeout(PROBE_S):
                # On every connection, so that no request has to wait for one to be made.
                writes = (self._client.set(self._probe_key, 1, px=1000) for _ in range(_CONNECTIONS))
                await asyncio.gather(*writes)
                await self._load()
        except self._errors as error:
            if not self._is_closed:
                self._on_change(False, _describe(error))
                await self._forget_connections()
            return False
        self.is_up = True
        self._on_change(True, "")
        return True

    async def _forget_connections(self) -> None:
        """Close those that are idle, so that the next probe looks the name up again.

        After a fail-over the server of before may still be there, as a replica, and refuse every write for ever.
        """
        with contextlib.suppress(*self._errors):
            async with asyncio.timeout(PROBE_S):
                await self._client.connection_pool.disconnect(inuse_connections=False)


def _is_unknown(reply: object) -> bool:
    return type(reply).__name__ == "NoScriptError"


def _describe(error: object) -> str:
    """What went wrong, in a few words; redis-py's errors name hosts, never passwords."""
    text = " ".join(str(error).split())[:200]
    if type(error).__name__ in _CLUSTER_ERRORS:
        return "the server is a node of a cluster; name a single server, or the primary of a replicated one"
    return text or type(error).__name__
