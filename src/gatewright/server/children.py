"""Child processes: how one is started, spoken to and ended, and how a place is kept filled with a running one."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from gatewright.core.messages import Drain, FrameParser, Message, render_frame
from gatewright.server.process import Process
from gatewright.telemetry.log import Log

START_S: Final = 30.0
"""How long a child may take until it is ready, unless it is known to need more; beyond it it hangs and is killed."""
STOP_S: Final = 5.0
"""How long a child may take to end after it was told to, drain time aside."""
LAST_WORDS_S: Final = 1.0
"""How long after a child's end its channel is still read, when another process holds the other side of it."""
_STDERR: Final = 2
_READ_BYTES: Final = 65_536


class State(StrEnum):
    """What a child is doing, as `/readyz` shows it."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    WAITING = "waiting"
    """It ended and will be started again in a moment."""
    FAILED = "failed"
    """It ended time and again; it is still tried, every few seconds."""


class ServiceSpec(Struct, frozen=True, kw_only=True):
    """A child beside the workers and control, such as a local model. Its standard input ends with the supervisor."""

    name: str
    argv: tuple[str, ...]
    is_ready: Callable[[], Awaitable[bool]] | None = None
    """Asked several times a second until it says yes; without it the child is ready as soon as it runs."""
    start_s: float = START_S
    """How long that may take; beyond it the child is killed and started again."""


class Backoff:
    """How long to wait before the next start: doubling from `first_s` to `limit_s`, anew after a healthy life."""

    def __init__(self, first_s: float = 0.1, limit_s: float = 10.0, healthy_s: float = 10.0) -> None:
        self._first_s, self._limit_s, self._healthy_s = first_s, limit_s, healthy_s
        self._next_s = first_s

    def next_delay(self, ready_for_s: float) -> float:
        """The wait after a child that had been ready for so long (0.0: never was)."""
        if ready_for_s >= self._healthy_s:
            self._next_s = self._first_s
        delay = self._next_s
        self._next_s = min(delay * 2, self._limit_s)
        return delay

    @property
    def is_exhausted(self) -> bool:
        """Whether the next wait is the longest one."""
        return self._next_s >= self._limit_s


class Child:
    """One running child process with its channel (a socket pair; the child's standard input for a service)."""

    def __init__(self, name: str, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.name = name
        self.pid = process.pid
        self.state = State.STARTING
        self.ready_at: float | None = None
        self.exited = asyncio.Event()
        self.released = asyncio.Event()
        """Set when its keeper need not watch it any more: it ended, or another took its place."""
        self._settled = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._process = process
        self._reader, self._writer = reader, writer

    @classmethod
    async def start(
        cls,
        name: str,
        argv: Sequence[str],
        fds: Mapping[str, int],
        *,
        channel_option: bool = True,
        stdout: int | None = _STDERR,
    ) -> Child:
        """Start a process that inherits `fds`, each given as `--NAME FD`. Raises OSError when that fails.

        With `channel_option` its channel is given as `--channel-fd` too; otherwise it is its standard input. What it
        prints goes to standard error (None: to standard output, which belongs to the access log).
        """
        ours, theirs = socket.socketpair()
        with theirs:
            passed = {**fds, "channel-fd": theirs.fileno()} if channel_option else dict(fds)
            options = [word for option, fd in passed.items() for word in (f"--{option}", str(fd))]
            stdin = subprocess.DEVNULL if channel_option else theirs.fileno()
            try:
                process = Process([*argv, *options], stdin=stdin, stdout=stdout, pass_fds=tuple(passed.values()))
            except BaseException:
                ours.close()
                raise
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(name, process, reader, writer)

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._process.returncode

    def send(self, message: Message) -> None:
        """Queue a message; a child that is gone takes none."""
        if not self._writer.is_closing():
            self._writer.write(render_frame(message))

    def mark_ready(self, now: float) -> None:
        """It does its work; idempotent."""
        if self.state is State.STARTING:
            self.state, self.ready_at = State.READY, now
            self._settled.set()

    async def wait_ready(self, timeout_s: float) -> bool:
        """Whether it became ready; False when it ended before, or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        return self.ready_at is not None and not self.exited.is_set()

    async def wait_gone(self, timeout_s: float) -> bool:
        """Wait until it ended; after `timeout_s` kill it. False when it had to be killed.

        One that even that does not end within `STOP_S` is given up, and counts as gone without a `returncode`.
        """
        if await self._exits_within(timeout_s):
            return True
        self.kill()
        if not await self._exits_within(STOP_S) and self._watching is not None:
            # The kernel holds it, say in a read from a share whose server is gone, and may do so for hours.
            self._watching.cancel()
            await self.exited.wait()
        return False

    async def _exits_within(self, timeout_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.exited.wait()
        return self.exited.is_set()

    def drain(self, timeout_s: float) -> None:
        """Tell it to finish what runs and end. One that was not ready yet has nothing to finish and is killed."""
        if self.state is State.STARTING:
            self.kill()
        self.state = State.DRAINING
        self.send(Drain(timeout_s))

    def close_channel(self) -> None:
        """Let it see its channel end: control and services finish then."""
        self.state = State.DRAINING
        self._writer.close()

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    async def watch(self, on_message: Callable[[Child, Message], None]) -> None:
        """Read its channel and wait for its end; run this once, as a task, for every child.

        Its end is what counts: a channel that stays open is no sign of life, as a process it started may hold it.
        """
        self._watching = asyncio.current_task()
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(on_message))
                ending = tasks.create_task(self._process.wait())
                await asyncio.wait((reading, ending), return_when=asyncio.FIRST_COMPLETED)
                if ending.done():
                    await asyncio.wait((reading,), timeout=LAST_WORDS_S)
                    reading.cancel()
                # Its channel is gone and so is every way to steer it; a child that drains may still be finishing.
                elif self.state is not State.DRAINING:
                    await asyncio.wait((ending,), timeout=STOP_S)
                    if not ending.done():
                        self.kill()
        finally:
            self._writer.close()
            self.exited.set()
            self._settled.set()
            self.released.set()

    async def _read(self, on_message: Callable[[Child, Message], None]) -> None:
        frames = FrameParser()
        try:
            while data := await self._reader.read(_READ_BYTES):
                for message in frames.feed(data):
                    on_message(self, message)
        except (OSError, ValueError, msgspec.MsgspecError):
            return  # a child that breaks its channel is treated like one that closed it


class Keeper:
    """Keeps one place filled: starts a child, waits for its end, starts the next; or replaces it while it works."""

    def __init__(
        self,
        name: str,
        start: Callable[[], Awaitable[Child]],
        *,
        on_change: Callable[[], None],
        on_gone: Callable[[Child], None],
        log: Log,
        backoff: Backoff | None = None,
        start_s: float = START_S,
    ) -> None:
        self.name = name
        self.current: Child | None = None
        self.others: set[Child] = set()
        """Replacements that are not ready yet, and replaced children that drain."""
        self.restarts = 0
        self.failed_starts = 0
        """Starts in a row that never became ready."""
        self.wait_s = 0.0
        """How long the place stays empty at the moment; 0.0 while there is a child."""
        self._start, self._on_change, self._on_gone, self._log = start, on_change, on_gone, log
        self._backoff = backoff or Backoff()
        self._start_s = start_s
        self._filling = asyncio.Lock()

    def children(self) -> list[Child]:
        """Every process of this place that runs."""
        return [child for child in (self.current, *self.others) if child is not None and not child.exited.is_set()]

    def states(self) -> list[tuple[str, str, int, int]]:
        """A row for `Status` per process, or one that says that there is none."""
        rows = [(self.name, child.state.value, child.pid, self.restarts) for child in self.children()]
        if self.current is None or self.current.exited.is_set():
            state = State.FAILED if self._backoff.is_exhausted else State.WAITING
            rows.insert(0, (self.name, state.value, 0, self.restarts))
        return rows

    async def keep(self) -> None:
        """Run until cancelled."""
        while True:
            await self._fill()
            child = self.current
            if child is not None:
                if not await child.wait_ready(self._start_s) and not child.exited.is_set():
                    self._log.error("not ready in time; killed", child=self.name, pid=child.pid, after_s=self._start_s)
                    child.kill()
                self._on_change()
                await child.released.wait()
                if self.current is not child:
                    continue
                self.current = None
                self._on_gone(child)
            await asyncio.sleep(self._note_end(child))
            self.wait_s = 0.0
            self.restarts += 1

    async def replace(self, drain_s: float) -> bool:
        """Start another child and, once it is ready, drain the present one. False when the new one does not get ready.

        Returns when the replaced one is gone, so there is never more than one process too many.
        """
        async with self._filling:
            try:
                new = await self._start()
            except OSError as error:
                self._log.error("cannot be started", child=self.name, error=str(error))
                return False
            self.others.add(new)  # and it stays there if this is cancelled, so that whoever shuts down finds it
        self._on_change()
        if not await new.wait_ready(self._start_s):
            new.kill()
            self.others.discard(new)
            self._on_gone(new)
            self._on_change()
            return False
        async with self._filling:
            old, self.current = self.current, new
            self.others.discard(new)
        self._on_change()
        if old is not None:
            await self._retire(old, drain_s)
        return True

    async def freeze(self) -> None:
        """Start nothing any more. Returns when a start under way is done, so that `children` are all there will be."""
        await self._filling.acquire()

    async def _retire(self, old: Child, drain_s: float) -> None:
        self.others.add(old)
        old.drain(drain_s)
        self._on_gone(old)
        old.released.set()
        self._on_change()
        if not await old.wait_gone(drain_s + STOP_S):
            self._log.warning("did not end after draining; killed", child=self.name, pid=old.pid)
        self.others.discard(old)
        self._on_change()

    async def _fill(self) -> None:
        """Start a child unless there is one. Under a lock, as is every start and every change of place."""
        async with self._filling:
            if self.current is not None:
                return
            try:
                self.current = await self._start()
            except OSError as error:
                self._log.error("cannot be started", child=self.name, error=str(error))
        self._on_change()

    def _note_end(self, child: Child | None) -> float:
        """Account for an unexpected end; the seconds to wait until the next start."""
        lived_s = 0.0
        if child is None or child.ready_at is None:
            self.failed_starts += 1
        else:
            self.failed_starts = 0
            lived_s = asyncio.get_running_loop().time() - child.ready_at
        self.wait_s = self._backoff.next_delay(lived_s)
        if child is not None:
            self._log.warning(
                "ended unexpectedly; it is started again",
                child=self.name,
                pid=child.pid,
                status=describe_end(child.returncode),
                in_s=self.wait_s,
            )
        self._on_change()
        return self.wait_s


def describe_end(returncode: int | None) -> str:
    """How a process ended, for people."""
    if returncode is None:
        return "running"
    if returncode >= 0:
        return f"exit {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


def python_command(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module of this installation; the working directory cannot shadow a library (-P)."""
    return (sys.executable, "-P", "-m", module, *arguments)
