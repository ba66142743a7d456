"""The supervisor: owns the sockets, keeps the workers, control and services running, and never touches a request.

    run ── bind sockets ── keep every child (Keeper) ── wait for a signal ── drain ── end
             │                    │
             │                    └─ workers: told what to run (Rollout); control: told what is served, and the Status
             └─ listening sockets, one per worker slot; admin socket; both ends of the telemetry pair

It holds the sockets and the last good document for its whole life, so any child can be killed and started again without
a refused connection, an unconfigured worker or a lost telemetry datagram. SIGHUP reads the configuration again, SIGUSR2
replaces the workers one by one, SIGTERM and SIGINT drain; a second SIGINT ends everything at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct

from gatewright.core.messages import Apply, Message, Ready, Refused, Rejected, Reload, Roll, Status
from gatewright.server.children import STOP_S, Child, Keeper, ServiceSpec, State
from gatewright.server.rollout import Outcome, Rollout
from gatewright.server.sockets import AddressUnavailable, bind_another, bind_listeners, render_address
from gatewright.telemetry.log import Log

EXIT_OK: Final = 0
EXIT_FAILURE: Final = 1
EXIT_BAD_CONFIGURATION: Final = 2

ANSWER_S: Final = 30.0
"""How long a worker may take to answer a new configuration; beyond it the worker hangs and is killed."""
STARTS_TO_GIVE_UP: Final = 5
"""Failed starts of one worker, before any worker was ever ready, that end the gateway."""
WORKERS_FIRST_S: Final = 2.0
"""How long control and services wait for the first workers, at most."""
LONG_WAIT_S: Final = 1.0
"""A place of a worker that stays empty for so long gets no more connections until then."""
PROBE_S: Final = 0.1
"""Between two questions to a service whether it is ready."""
_STDERR: Final = 2
_TELEMETRY_BUFFER_BYTES: Final = 4 * 1024 * 1024
"""Asked for; the kernel grants up to net.core.wmem_max. It is what waits while control restarts."""


class Plan(Struct, frozen=True, kw_only=True):
    """What to run."""

    document: bytes
    """`config.transport.encode` of the checked document to begin with."""
    listen: str
    admin: str
    worker_command: tuple[str, ...]
    """`--slot`, `--workers` and the file descriptors are added."""
    control_command: tuple[str, ...]
    """The file descriptors are added."""
    workers: int = 1
    drain_s: float = 30.0
    services: tuple[ServiceSpec, ...] = ()


class Supervisor:
    """One gateway. `on_ready(listen, admin)` is called once, when the first workers serve, with the bound addresses."""

    def __init__(self, plan: Plan, log: Log, on_ready: Callable[[str, str], None] = lambda listen, admin: None) -> None:
        self._plan, self._log, self._on_ready = plan, log, on_ready
        self._drain_s = plan.drain_s
        self._rollout = Rollout(plan.document)
        self._last_error = ""
        self._last_status: Status | None = None
        self._exit_code = EXIT_OK
        self._roll_wanted = self._rolling = False
        self._had_terminal = os.isatty(_STDERR)
        self._listeners: list[socket.socket] = []
        self._tasks = asyncio.TaskGroup()
        self._begun = asyncio.Event()
        """Set when the first workers serve, or never will."""
        self._stop = asyncio.Event()
        self._workers = [self._build_keeper(f"worker-{slot}", slot) for slot in range(1, plan.workers + 1)]
        self._control = Keeper(
            "control", self._start_control, on_change=self._publish, on_gone=lambda child: None, log=log
        )
        self._services = [self._build_service(spec) for spec in plan.services]

    async def run(self) -> int:
        """Run until told to stop, and give the process's exit code. Nothing of it is left afterwards."""
        try:
            self._bind()
        except AddressUnavailable as error:
            self._log.error(str(error))
            return EXIT_FAILURE
        try:
            async with self._tasks:
                self._take_signals()
                running = self._keep(self._workers)
                # The first request matters most: the others do not take processor time from the workers' start.
                await self._wait_for_workers()
                running += self._keep([self._control, *self._services])
                await self._stop.wait()
                await self._stop_keeping(running)
                await self._shut_down()
        finally:
            for child in self._children():
                child.kill()
            self._close_sockets()
        return self._exit_code

    def _keep(self, keepers: Sequence[Keeper]) -> list[asyncio.Task[None]]:
        return [self._tasks.create_task(keeper.keep(), name=keeper.name) for keeper in keepers]

    async def _wait_for_workers(self) -> None:
        """Until workers serve, or after a while in which they should."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WORKERS_FIRST_S):
                await self._begun.wait()

    # -- sockets and children -----------------------------------------------------------------------------------------

    def _bind(self) -> None:
        self._listeners = bind_listeners(self._plan.listen, self._plan.workers)
        self._address = render_address(self._listeners[0])
        try:
            (self._admin,) = bind_listeners(self._plan.admin, 1)
        except AddressUnavailable:
            for listener in self._listeners:
                listener.close()
            raise
        self._telemetry_out, self._telemetry_in = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._telemetry_out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _TELEMETRY_BUFFER_BYTES)
        for end in (self._telemetry_out, self._telemetry_in):
            end.setblocking(False)

    def _close_sockets(self) -> None:
        for bound in (*self._listeners, self._admin, self._telemetry_out, self._telemetry_in):
            bound.close()

    def _children(self) -> list[Child]:
        return [child for keeper in (*self._workers, self._control, *self._services) for child in keeper.children()]

    def _worker_children(self) -> dict[int, Child]:
        """Workers that are asked to serve, by process."""
        children = [child for keeper in self._workers for child in keeper.children()]
        return {child.pid: child for child in children if child.state is not State.DRAINING}

    def _build_keeper(self, name: str, slot: int) -> Keeper:
        async def start() -> Child:
            return await self._start_worker(name, slot)

        return Keeper(name, start, on_change=self._on_worker_change, on_gone=self._on_worker_gone, log=self._log)

    async def _start_worker(self, name: str, slot: int) -> Child:
        if self._listeners[slot - 1].fileno() < 0:
            self._listeners[slot - 1] = bind_another(self._address)
        argv = (*self._plan.worker_command, "--slot", str(slot))
        fds = {"listen-fd": self._listeners[slot - 1].fileno(), "telemetry-fd": self._telemetry_out.fileno()}
        child = await Child.start(name, argv, fds)
        self._rollout.asked(child.pid)
        child.send(self._rollout.wanted)
        self._tasks.create_task(child.watch(self._on_worker_message))
        return child

    async def _start_control(self) -> Child:
        fds = {"admin-fd": self._admin.fileno(), "telemetry-fd": self._telemetry_in.fileno()}
        child = await Child.start("control", self._plan.control_command, fds, stdout=None)
        if self._rollout.good is not None:
            child.send(self._rollout.good)
        self._last_status = None
        self._tasks.create_task(child.watch(self._on_control_message))
        return child

    def _build_service(self, spec: ServiceSpec) -> Keeper:
        async def start() -> Child:
            child = await Child.start(spec.name, spec.argv, {}, channel_option=False)
            self._tasks.create_task(child.watch(lambda child, message: None))
            self._tasks.create_task(self._probe(spec, child))
            return child

        return Keeper(
            spec.name,
            start,
            on_change=self._publish,
            on_gone=lambda child: None,
            log=self._log,
            start_s=spec.start_s,
        )

    async def _probe(self, spec: ServiceSpec, child: Child) -> None:
        """Ask until the service is ready or gone."""
        while spec.is_ready is not None and not child.exited.is_set():
            with suppress(OSError):
                if await spec.is_ready():
                    break
            await asyncio.sleep(PROBE_S)
        if not child.exited.is_set():
            child.mark_ready(asyncio.get_running_loop().time())
            self._publish()

    # -- what children say --------------------------------------------------------------------------------------------

    def _on_worker_message(self, child: Child, message: Message) -> None:
        match message:
            case Ready(version):
                child.mark_ready(asyncio.get_running_loop().time())
                self._follow(self._rollout.ready(child.pid, version), child)
            case Refused(version, errors):
                outcome = self._rollout.refused(child.pid, version)
                if outcome is not Outcome.NONE:
                    self._log.error("configuration refused by a worker", child=child.name, errors=errors)
                    self._last_error = "; ".join(errors)
                self._follow(outcome, child)
            case _:
                self._log.warning("unexpected message", child=child.name, message=type(message).__name__)

    def _on_control_message(self, child: Child, message: Message) -> None:
        match message:
            case Ready():
                child.mark_ready(asyncio.get_running_loop().time())
                self._publish()
            case Apply(document, drain_s):
                self._apply(document, drain_s)
            case Rejected(errors):
                self._last_error = "; ".join(errors)
                self._log.error("configuration refused; the one before keeps serving", errors=errors)
                self._publish()
            case Roll():
                self._request_roll()
            case _:
                self._log.warning("unexpected message", child=child.name, message=type(message).__name__)

    def _on_worker_change(self) -> None:
        hopeless = [keeper.name for keeper in self._workers if keeper.failed_starts >= STARTS_TO_GIVE_UP]
        if hopeless and self._rollout.good is None:
            self._fail(EXIT_FAILURE, f"{hopeless[0]} failed {STARTS_TO_GIVE_UP} times before any worker was ready")
        self._divert()
        self._publish()

    def _divert(self) -> None:
        """Give the connections of places that stay empty for long to the workers that serve, by closing their sockets.

        What already waits in such a socket is reset; otherwise it, and its share of all that come, would wait as long.
        """
        if any(child.state is State.READY for child in self._worker_children().values()):
            for keeper, listener in zip(self._workers, self._listeners, strict=True):
                if keeper.wait_s >= LONG_WAIT_S and not keeper.children():
                    listener.close()

    def _on_worker_gone(self, child: Child) -> None:
        outcome = self._rollout.gone(child.pid, expected=child.state is State.DRAINING)
        if outcome is Outcome.ROLLED_BACK:
            self._last_error = "workers end as soon as they are given the new configuration"
            self._log.error("configuration refused", reason=self._last_error)
        self._follow(outcome, child)

    def _follow(self, outcome: Outcome, child: Child) -> None:
        """Do what an outcome asks for, and bring everybody to the wanted version."""
        match outcome:
            case Outcome.COMMITTED:
                self._on_committed()
            case Outcome.ROLLED_BACK:
                self._log.error("the configuration before keeps serving", version=self._rollout.version)
            case Outcome.NOTHING_TO_RUN:
                self._fail(EXIT_BAD_CONFIGURATION, "no worker can run the configuration")
            case Outcome.WORKER_BROKEN:
                child.kill()
            case Outcome.NONE:
                pass
        self._converge()
        self._publish()

    def _on_committed(self) -> None:
        good = self._rollout.good
        assert good is not None  # that is what was just committed
        self._last_error = ""
        self._begun.set()
        self._log.info("serving", version=good.version, workers=len(self._worker_children()))
        if self._control.current is not None:
            self._control.current.send(good)
        if good.version == 1:
            self._on_ready(self._address, render_address(self._admin))

    # -- configuration ------------------------------------------------------------------------------------------------

    def _apply(self, document: bytes, drain_s: float) -> None:
        self._drain_s = drain_s
        candidate = self._rollout.propose(document)
        if candidate is None:
            self._last_error = ""
        else:
            asyncio.get_running_loop().call_later(ANSWER_S, self._kill_silent, candidate.version)
        self._converge()
        self._publish()

    def _converge(self) -> None:
        """Send the wanted document to every worker that was last asked for another."""
        workers = self._worker_children()
        for pid in self._rollout.outdated():
            if pid in workers:
                self._rollout.asked(pid)
                workers[pid].send(self._rollout.wanted)

    def _kill_silent(self, version: int) -> None:
        workers = self._worker_children()
        for pid in self._rollout.unanswered(version):
            if pid in workers:
                self._log.error("no answer to the new configuration; killed", child=workers[pid].name, pid=pid)
                workers[pid].kill()

    def _request_reload(self) -> None:
        if self._had_terminal and not os.isatty(_STDERR):
            self._request_stop()  # the terminal this was started from is gone: that is what SIGHUP means first
            return
        self._log.info("reading the configuration again")
        if self._control.current is not None:  # otherwise it is about to start, and reads the configuration then
            self._control.current.send(Reload())

    def _publish(self) -> None:
        """Tell control the state of everything, if it changed."""
        rows = [row for keeper in (*self._workers, self._control, *self._services) for row in keeper.states()]
        ready = [child for child in self._worker_children().values() if child.state is State.READY]
        status = Status(self._rollout.version, self._plan.workers, len(ready), rows, self._last_error)
        if status != self._last_status and self._control.current is not None:
            self._last_status = status
            self._control.current.send(status)

    # -- rolling restart ----------------------------------------------------------------------------------------------

    def _request_roll(self) -> None:
        self._roll_wanted = True
        if not self._rolling and not self._stop.is_set():
            self._rolling = True
            self._roll_task = self._tasks.create_task(self._roll())

    async def _roll(self) -> None:
        try:
            while self._roll_wanted:
                self._roll_wanted = False
                self._log.info("replacing the workers one by one")
                if not await self._replace_all():
                    self._log.error("a new worker does not get ready; the workers not yet replaced are kept")
                else:
                    self._log.info("the workers are replaced")
        finally:
            self._rolling = False

    async def _replace_all(self) -> bool:
        for keeper in self._workers:
            if not await keeper.replace(self._drain_s):
                return False
        return True

    # -- ending -------------------------------------------------------------------------------------------------------

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._request_reload)
        loop.add_signal_handler(signal.SIGUSR2, self._request_roll)
        loop.add_signal_handler(signal.SIGTERM, self._request_stop)
        loop.add_signal_handler(signal.SIGINT, self._on_interrupt)

    def _request_stop(self) -> None:
        self._begun.set()
        self._stop.set()

    def _on_interrupt(self) -> None:
        if not self._stop.is_set():
            self._request_stop()
            return
        self._log.warning("interrupted again; what still runs is cut off")
        self._exit_code = self._exit_code or EXIT_FAILURE
        for child in self._children():
            child.kill()

    def _fail(self, exit_code: int, reason: str) -> None:
        if not self._stop.is_set():
            self._log.error(reason)
            self._exit_code = exit_code
            self._request_stop()

    async def _stop_keeping(self, running: Sequence[asyncio.Task[None]]) -> None:
        # A child whose start is cancelled half-way would live on unseen.
        for keeper in (*self._workers, self._control, *self._services):
            await keeper.freeze()
        for task in running:
            task.cancel()
        if self._rolling:
            self._roll_task.cancel()

    async def _shut_down(self) -> None:
        """Workers first, with control watching; then control, once it has taken their last telemetry; then services."""
        workers = [child for keeper in self._workers for child in keeper.children()]
        self._log.info("draining", workers=len(workers), for_s=self._drain_s)
        for child in workers:
            child.drain(self._drain_s)
        for listener in self._listeners:
            listener.close()
        self._publish()
        await self._wait_gone(workers, self._drain_s + STOP_S)
        await self._close(self._control.children())
        services = [child for keeper in self._services for child in keeper.children()]
        for child in services:
            if child.state is State.STARTING:
                child.kill()  # a model that loads hears nothing until it is loaded, and has nothing to finish
        await self._close(services)
        self._log.info("ended")

    async def _close(self, children: Sequence[Child]) -> None:
        for child in children:
            child.close_channel()
        await self._wait_gone(children, STOP_S)

    async def _wait_gone(self, children: Sequence[Child], timeout_s: float) -> None:
        ended = await asyncio.gather(*(child.wait_gone(timeout_s) for child in children))
        for child, in_time in zip(children, ended, strict=True):
            if child.returncode is None:
                self._log.error("cannot be killed; left behind", child=child.name, pid=child.pid)
            elif not in_time:
                self._log.warning("did not end in time; killed", child=child.name, pid=child.pid)
