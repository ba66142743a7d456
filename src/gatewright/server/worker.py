"""One worker of the data plane: `python -m gatewright.server.worker`, started by the supervisor only.

It inherits its listening socket, the channel to the supervisor and the telemetry socket; it reads no file but TLS
certificates and no environment. It serves from the first `Configure` on, and ends when told to drain or when its
channel ends.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import signal
import socket
import ssl
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import uvloop

from gatewright.config.documents import Gateway
from gatewright.config.problems import ConfigError, InvalidConfig
from gatewright.config.transport import decode
from gatewright.core.errors import GatewayError
from gatewright.core.messages import Configure, Drain, FrameParser, Message, Ready, Refused, render_frame
from gatewright.filters import FILTERS
from gatewright.net.deadlines import Deadlines
from gatewright.net.downstream import Listener
from gatewright.net.pool import UpstreamPools
from gatewright.net.rounds import Round
from gatewright.net.tasks import TaskGroup
from gatewright.pipeline.build import build_snapshot
from gatewright.providers import PROVIDERS
from gatewright.server.certificates import ListenerTls
from gatewright.server.data_plane import DataPlane
from gatewright.server.worker_state import WorkerState
from gatewright.store.redis_link import RedisMissing
from gatewright.store.secrets_file import UnusableSecret
from gatewright.telemetry.log import Log
from gatewright.telemetry.recorder import Recorder
from gatewright.telemetry.records import Gauges

_FLUSH_TICKS: Final = 4
"""Telemetry goes out every so many ticks of the clock (50 ms each)."""
_KEEP_ALIVE_TICKS: Final = 600
"""Half a minute: reservations live for `core.counting.RESERVED_S`."""
_BACKLOG: Final = 4096
_TLS_PARTING_S: Final = 2.0
"""How long a client may take to answer a close_notify. Pooled clients that are idle never do, and the event loop's own
half minute for each would keep a draining worker alive to its last second."""
_SETTLE_S: Final = 2.0
"""How long exchanges that are cut may take to be settled and booked. It takes them milliseconds; one that waits for
counters that are away must not keep the worker."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class WallClock:
    """Monotonic seconds → wall time as log text, without a system call per line."""

    def __init__(self) -> None:
        self._until = 0.0
        self._second = b""

    def __call__(self, at_s: float) -> bytes:
        if not self._until - 1.0 <= at_s < self._until:
            now = datetime.now(UTC)
            second = now + timedelta(seconds=at_s - time.monotonic())
            self._second = second.strftime("%Y-%m-%dT%H:%M:%S").encode()
            self._until = at_s + 1.0 - second.microsecond / 1e6
        return b"%b.%03dZ" % (self._second, 1000 - int((self._until - at_s) * 1000) - 1)


class Worker(asyncio.Protocol):
    """The composition, and the protocol of its channel to the supervisor."""

    def __init__(self, loop: asyncio.AbstractEventLoop, options: argparse.Namespace) -> None:
        self._loop = loop
        self._options = options
        self._log = Log(f"worker-{options.slot}")
        self._frames = FrameParser()
        self._channel: asyncio.Transport | None = None
        self._telemetry = socket.socket(fileno=options.telemetry_fd)
        self._telemetry.setblocking(False)
        self._ticks = 0
        self._server: asyncio.Server | None = None
        self._tls = ListenerTls()
        self._listener: Listener | None = None
        self._version = 0
        self._ending = False
        self.ended: asyncio.Future[None] = loop.create_future()
        self._deadlines = Deadlines(loop)
        self._tasks = TaskGroup(loop, self._report, lambda error: isinstance(error, GatewayError))
        self._round = Round(loop)
        self._pools = UpstreamPools(self._round, self._deadlines, self._tasks)
        self._recorder = Recorder(slot=options.slot, pid=os.getpid(), wall=WallClock(), lines=True)
        self._state: WorkerState | None = None
        """From the first document on: where it keeps things is in there."""
        self._plane: DataPlane | None = None
        self._deadlines.on_tick(self._on_tick)
        self._deadlines.start()

    # -- channel --------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._channel = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass

    def data_received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            if isinstance(message, Configure):
                self._tasks.spawn(self._configure(message), "configure")
            elif isinstance(message, Drain):
                self.drain(message.timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        # The supervisor is gone: whoever comes next needs the address, so finish what runs and end.
        self._channel = None
        self.drain(self._drain_s())

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Awaitable[Any]:
        return self._tasks.spawn(coroutine, "filter")

    def _tell(self, message: Message) -> None:
        if self._channel is not None:
            self._channel.write(render_frame(message))

    # -- configuration --------------------------------------------------------------------------------------------

    async def _configure(self, message: Configure) -> None:
        try:
            document = decode(message.document)
            state = self._state or await self._open_state(document)
            snapshot = build_snapshot(
                document, version=message.version, providers=PROVIDERS, filters=FILTERS, ports=state.ports
            )
            tls = self._tls.build(document.tls)
            state.use(snapshot)
        except InvalidConfig as error:
            self._tell(Refused(message.version, [str(problem) for problem in error.errors]))
            return
        except msgspec.MsgspecError as error:
            # A worker that was started after an upgrade of the files, by the supervisor of before.
            reason = f"this version cannot read what the running one wrote, so restart the gateway: {error}"
            self._tell(Refused(message.version, [reason]))
            return
        plane = self._plane or self._build_plane(state)
        plane.use(snapshot, int(_wall()), state.endpoints)
        self._recorder.lines_wanted = document.log.access != "off"
        self._version = message.version
        if self._listener is None:
            self._listener = Listener(self._round, plane, self._deadlines, document.limits, document.timeouts)
            await self._listen(self._listener, tls)
        else:
            self._listener.configure(document.limits, document.timeouts)
        self._tell(Ready(message.version))

    async def _open_state(self, document: Gateway) -> WorkerState:
        directory = self._options.state
        try:
            state = WorkerState(
                None if directory is None else Path(directory),
                document,
                loop=self._loop,
                deadlines=self._deadlines,
                tasks=self._tasks,
                now=time.monotonic,
                wall=_wall,
                spawn=self._spawn,
                log=self._log,
            )
        except (OSError, UnusableSecret) as error:
            raise InvalidConfig([ConfigError("", f"the state directory {directory} cannot be used: {error}")]) from None
        except RedisMissing as error:
            raise InvalidConfig([ConfigError("counters.store", str(error))]) from None
        await state.ready()
        self._state = state
        return state

    def _build_plane(self, state: WorkerState) -> DataPlane:
        prefix = f"req_{os.urandom(6).hex()}"
        self._plane = DataPlane(
            self._loop, self._pools, state.ports, self._recorder, state.ledger, self._report, prefix
        )
        return self._plane

    async def _listen(self, listener: Listener, tls: ssl.SSLContext | None) -> None:
        listening = socket.socket(fileno=self._options.listen_fd)
        self._server = await self._loop.create_server(
            cast(Callable[[], asyncio.Protocol], listener.accept),
            sock=listening,
            ssl=tls,
            ssl_shutdown_timeout=None if tls is None else _TLS_PARTING_S,
            backlog=_BACKLOG,
        )
        # What start-up made stays: keep it out of every later collection, and collect the young rarely.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)

    # -- ending ---------------------------------------------------------------------------------------------------

    def drain(self, timeout_s: float) -> None:
        """Take no more connections, finish what runs, then end; cut what is left after `timeout_s`."""
        if self._ending:
            return
        self._ending = True
        self._loop.call_later(timeout_s, self._cut)
        if self._server is not None:
            self._server.close()
        # The next tick ends an idle worker: a connection accepted in this turn of the loop is not counted yet.
        if self._listener is not None:
            self._listener.drain()

    def _drain_s(self) -> float:
        return self._listener.timeouts.drain_s if self._listener is not None else 0.0

    def _cut(self) -> None:
        if self._listener is not None:
            self._listener.abort()
        # What is cut is settled and booked in the next turns of the loop, and a tick that finds nothing left ends this.
        self._loop.call_later(_SETTLE_S, self._end)

    def _end_if_idle(self) -> None:
        has_connections = self._listener is not None and self._listener.connections
        if not has_connections and (self._plane is None or not self._plane.in_flight):
            self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    # -- telemetry ------------------------------------------------------------------------------------------------

    def _on_tick(self) -> None:
        if self._ending:
            self._end_if_idle()
        self._ticks += 1
        if self._state is not None:
            self._state.tick()
        if self._ticks % _FLUSH_TICKS == 0:
            if self._state is not None:
                self._state.ask_spent(self._recorder)
            self.flush()
        if self._ticks % 200 == 0:
            self._refresh_certificate()
        if self._ticks % _KEEP_ALIVE_TICKS == 0 and self._plane is not None:
            self._plane.keep_alive()

    async def close(self) -> None:
        """Give up what is kept in the state directory; nothing runs any more."""
        if self._state is not None:
            self._state.ask_spent(self._recorder)
            await self._state.close()

    def flush(self) -> None:
        """Send what was recorded; what control does not take now is kept for the next time."""
        listener = self._listener
        opened, idle = self._pools.count()
        gauges = Gauges(
            connections=len(listener.connections) if listener is not None else 0,
            requests_in_flight=0 if self._plane is None else self._plane.in_flight,
            upstream_connections=opened,
            upstream_idle=idle,
            snapshot_version=self._version,
            resident_bytes=_resident_bytes(),
            counters_emptied=0 if self._state is None else self._state.counters_emptied,
            ledger_lost=0 if self._state is None else self._state.ledger_lost,
        )
        datagrams = self._recorder.batches(gauges)
        for index, datagram in enumerate(datagrams):
            try:
                self._telemetry.send(datagram)
            except (BlockingIOError, InterruptedError):
                self._recorder.put_back(datagrams[index:])
                return
            except OSError:
                return  # the supervisor and control are gone; the worker is about to end

    def _refresh_certificate(self) -> None:
        try:
            self._tls.refresh()
        except InvalidConfig as error:
            self._log.error("the renewed certificate is not used, the one before is", errors=list(error.errors))

    def _report(self, where: str, error: BaseException) -> None:
        lines = "".join(traceback.format_exception(error)).splitlines()
        self._log.error("failed", where=where, traceback=lines)


def _resident_bytes() -> int:
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * _PAGE


async def _run(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    worker = Worker(loop, options)
    # Ctrl-C reaches the whole process group; the supervisor decides what it means.
    loop.add_signal_handler(signal.SIGINT, lambda: None)
    loop.add_signal_handler(signal.SIGTERM, lambda: worker.drain(0.0))
    channel = socket.socket(fileno=options.channel_fd)
    await loop.create_connection(lambda: worker, sock=channel)
    await worker.ended
    await worker.close()
    worker.flush()


def _wall() -> float:
    """Unix seconds."""
    return time.time()  # noqa: TID251 - the worker is where time enters


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="gatewright.server.worker", description="Started by the supervisor.")
    parser.add_argument("--slot", type=int, required=True)
    parser.add_argument("--state", help="directory of the gateway's state; without it nothing outlives the process")
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--channel-fd", type=int, required=True)
    parser.add_argument("--telemetry-fd", type=int, required=True)
    return parser.parse_args(arguments)


def _raise_file_limit() -> None:
    """Two sockets a stream: take as many descriptors as the system allows, not the low default meant for select()."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> None:
    """Run until told to end."""
    _raise_file_limit()
    uvloop.run(_run(parse_options()))


if __name__ == "__main__":
    main()
