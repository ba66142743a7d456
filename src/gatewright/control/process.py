"""The control process: the supervisor's channel, the workers' telemetry and the admin listener on one event loop.

It ends when its channel does: then it takes what telemetry is left, finishes the access log, and closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, Final

import msgspec
import uvicorn
from litestar.types import ASGIApp
from sqlalchemy import Engine

from gatewright.config.documents import Gateway
from gatewright.config.transport import decode
from gatewright.control.access_log import AccessLog
from gatewright.control.administration import Administration, Environment, Sources
from gatewright.control.app import build_app, with_admin
from gatewright.control.budget_watch import BudgetWatch
from gatewright.control.metrics import Exposition, GatewayCollector
from gatewright.control.reading import Reading
from gatewright.control.totals import Totals
from gatewright.core.messages import Configure, FrameParser, Message, Ready, Rejected, Reload, Status, render_frame
from gatewright.telemetry.log import Log
from gatewright.telemetry.records import Batch, BudgetState

SERVED_S: Final = 30.0
"""How long workers may take to serve a configuration that somebody waits for."""
WATCH_S: Final = 1.0
"""Between two looks at the configuration's files."""
UNOPENED: Final = "the database cannot be used yet; the gateway's log says why"
"""All that is told to whoever shows no key: a driver's words name hosts and users."""
_DATAGRAM_BYTES: Final = 1024 * 1024
_DATAGRAMS_AT_ONCE: Final = 64
"""Taken in one go; then others have their turn on the loop."""
_READ_BYTES: Final = 65_536
_LAST_LINES_S: Final = 2.0
"""How long the reader of the access log may take for the last lines."""
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class QuietServer(uvicorn.Server):
    """Uvicorn without signal handlers: this process ends with its channel."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


class ControlProcess:
    """The composition."""

    def __init__(
        self,
        *,
        channel: socket.socket,
        telemetry: socket.socket,
        admin: socket.socket,
        reading: Reading,
        access_log: AccessLog,
        log: Log,
        sources: Sources | None = None,
    ) -> None:
        self._channel, self._telemetry, self._admin = channel, telemetry, admin
        self._reading, self._access_log, self._log = reading, access_log, log
        self._totals = Totals()
        self._status: Status | None = None
        self._buffer = bytearray(_DATAGRAM_BYTES)
        self._decoder = msgspec.msgpack.Decoder(Batch)
        self._reading_now = asyncio.Lock()
        self._version = 0
        self._sources = sources
        self._administration: Administration | None = None
        self._served = b""
        self._awaited: tuple[bytes, asyncio.Future[list[str]]] | None = None
        """A document that somebody waits to be served, and what there is to say against it."""
        self._background: set[asyncio.Task[None]] = set()
        self._budgets = BudgetWatch(lambda: self._engine, _unix_s, self._spawn, log)

    async def run(self) -> None:
        """Work until the channel ends."""
        loop = asyncio.get_running_loop()
        reader, self._writer = await asyncio.open_connection(sock=self._channel)
        self._telemetry.setblocking(False)
        loop.add_reader(self._telemetry.fileno(), self._take_telemetry)
        collector = GatewayCollector(
            self._totals,
            lambda: self._status,
            lambda: self._access_log.lost_lines,
            resident_bytes,
            self._budgets.present,
            lambda: None if self._administration is None else self._administration.ledger_status(),
        )
        self._loop = loop
        app = with_admin(build_app(lambda: self._status, Exposition(collector)), self._admin_app)
        server = QuietServer(_configure_server(app))
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(server.serve(sockets=[self._admin]))
                watching = tasks.create_task(self._watch())
                self._tell(Ready(self._version))
                await self._listen(reader, tasks)
                watching.cancel()
                server.should_exit = True
                await serving
                for task in self._background:
                    task.cancel()
        finally:
            self._finish(loop)

    async def _listen(self, reader: asyncio.StreamReader, tasks: asyncio.TaskGroup) -> None:
        frames = FrameParser()
        with contextlib.suppress(OSError):
            while data := await reader.read(_READ_BYTES):
                for message in frames.feed(data):
                    self._on_message(message, tasks)

    def _on_message(self, message: Message, tasks: asyncio.TaskGroup) -> None:
        match message:
            case Status():
                # Told with every state until another configuration is served; one that is known is of an earlier one.
                is_new = self._status is None or message.last_error != self._status.last_error
                self._status = message
                if message.last_error and is_new:
                    self._settle_awaited([message.last_error])
                self._totals.forget_except({pid for _, _, pid, _ in message.children})
            case Configure(version, document):
                self._on_configured(version, document)
            case Reload():
                tasks.create_task(self._read())
            case _:
                self._log.warning("unexpected message", message=type(message).__name__)

    def _on_configured(self, version: int, data: bytes) -> None:
        document = decode(data)
        self._version = version
        self._access_log.mode = document.log.access
        self._budgets.configure(document)
        if self._sources is not None:
            self._administer(document, self._sources)
        self._served = data
        if self._awaited is not None and self._awaited[0] == data:
            self._settle_awaited([])
        self._reading.served = document

    # -- configuration ------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Read the source when it changed; once at the start too, for what changed while nobody watched."""
        while True:
            await asyncio.sleep(WATCH_S)
            if self._reading.is_changed():
                await self._read()

    async def _read(self) -> None:
        async with self._reading_now:
            self._tell(await asyncio.to_thread(self._reading.read))

    async def _read_and_wait(self) -> list[str]:
        """Have the configuration read now, and served; what there is to say against it."""
        async with self._reading_now:
            message = await asyncio.to_thread(self._reading.read)
            if isinstance(message, Rejected) or message.document == self._served:
                return message.errors if isinstance(message, Rejected) else []
            self._awaited = (message.document, self._loop.create_future())
            self._tell(message)
            try:
                return await asyncio.wait_for(self._awaited[1], SERVED_S)
            except TimeoutError:
                return ["the workers did not take it in time"]
            finally:
                self._awaited = None

    def _settle_awaited(self, reasons: list[str]) -> None:
        if self._awaited is not None and not self._awaited[1].done():
            self._awaited[1].set_result(reasons)

    # -- administration -----------------------------------------------------------------------------------------------

    def _administer(self, document: Gateway, sources: Sources) -> None:
        if self._administration is not None:
            self._administration.configure(document)
            return
        environment = Environment(
            sources=sources,
            apply=lambda: asyncio.run_coroutine_threadsafe(self._read_and_wait(), self._loop).result(2 * SERVED_S),
            budget_states=self._budgets.present,
            take_budgets=self._take_budgets,
            log=self._log,
        )
        self._administration = Administration(document, environment)
        self._administration.start()

    def _take_budgets(self, states: Sequence[BudgetState]) -> None:
        with contextlib.suppress(RuntimeError):  # the process ends
            self._loop.call_soon_threadsafe(self._budgets.take, states)

    def _admin_app(self) -> ASGIApp | str:
        """The admin API, or why there is none at the moment."""
        administration = self._administration
        if administration is None:
            return "the gateway is starting"
        return administration.admin or UNOPENED

    @property
    def _engine(self) -> Engine | None:
        return None if self._administration is None else self._administration.engine

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _tell(self, message: Message) -> None:
        if not self._writer.is_closing():
            self._writer.write(render_frame(message))

    # -- telemetry ----------------------------------------------------------------------------------------------------

    def _take_telemetry(self) -> bool:
        """Book what has arrived; False when nothing is left."""
        for _ in range(_DATAGRAMS_AT_ONCE):
            try:
                size = self._telemetry.recv_into(self._buffer)
            except (BlockingIOError, InterruptedError):
                return False
            if size == 0:
                return False
            self._book(memoryview(self._buffer)[:size])
        return True

    def _book(self, datagram: memoryview) -> None:
        try:
            batch = self._decoder.decode(datagram)
        except msgspec.MsgspecError as error:
            # A worker of another version during an upgrade; its numbers are lost, the process is not.
            self._log.warning("telemetry that cannot be read", error=str(error))
            return
        if self._totals.is_emptied_again(batch) and self._administration is not None:
            self._administration.note_emptied()
        self._totals.add(batch)
        if batch.lines:
            self._access_log.add(batch.lines)
        if batch.budgets:
            self._budgets.take(batch.budgets)

    # -- end ----------------------------------------------------------------------------------------------------------

    def _finish(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._telemetry.fileno())
        while self._take_telemetry():
            pass
        self._telemetry.close()
        if self._administration is not None:
            self._administration.stop()
        self._access_log.close(_LAST_LINES_S)
        self._writer.close()


def _unix_s() -> float:
    return time.time()  # noqa: TID251 - the control process is where time enters


def resident_bytes() -> int:
    """This process's resident memory."""
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * _PAGE


def _configure_server(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
