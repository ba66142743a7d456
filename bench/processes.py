"""Processes of a run: pinned to a core, measured over their whole tree, and gone when the run ends.

CPU time comes from each process's own CPU clock (nanoseconds, all threads, dead ones included) plus what the kernel
has booked for children it has already waited for, so nothing a gateway spends is missed however it forks.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
CPUCLOCK_SCHED = 2


class ProcessFailed(Exception):
    """A process ended, or never answered; the message carries the end of its log."""


@dataclass
class Spawned:
    """A process started for this run, with the file its output goes to."""

    name: str
    argv: list[str]
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def tail(self, characters: int = 1500) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-characters:]

    def check_alive(self) -> None:
        """Raise ProcessFailed when it has ended."""
        code = self.popen.poll()
        if code is not None:
            raise ProcessFailed(f"{self.name} ended with {code}: {self.tail()}")


class Processes:
    """Everything started here is stopped when the `with` block is left, whatever happened inside."""

    def __init__(self, directory: Path, nice: int = 0) -> None:
        self._directory = directory
        self._nice = nice
        self._running: list[Spawned] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(list(self._running))

    def pinned(self, argv: Sequence[str], core: int) -> list[str]:
        """The command that runs `argv` on one core, as it would be typed."""
        priority = ["nice", "-n", str(self._nice)] if self._nice else []
        return [*priority, "taskset", "-c", str(core), *argv]

    def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        core: int,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Spawned:
        """Start `argv` pinned to `core` in a session of its own, its output in a file."""
        log = self._directory / f"{name}-{len(os.listdir(self._directory))}.log"
        command = self.pinned(argv, core)
        with log.open("wb") as output:
            popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd or self._directory,
                start_new_session=True,
            )
        spawned = Spawned(name, command, popen, log)
        self._running.append(spawned)
        return spawned

    def stop(self, spawned: Iterable[Spawned], grace_s: float = 4.0) -> None:
        """End these with their descendants: asked first, killed after `grace_s`."""
        chosen = list(spawned)
        everyone = {pid for one in chosen for pid in tree(one.pid)}
        for one in chosen:
            _signal(one.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and any(one.popen.poll() is None for one in chosen):
            time.sleep(0.02)
        for pid in everyone | {pid for one in chosen for pid in tree(one.pid)}:
            if _alive(pid):
                _signal(pid, signal.SIGKILL)
        for one in chosen:
            one.popen.wait()
            if one in self._running:
                self._running.remove(one)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").exists()


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on (state is [0], parent is [1]), or None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


def tree(root: int) -> list[int]:
    """`root` and all its descendants that are alive."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, queue = [], [root]
    while queue:
        pid = queue.pop()
        if _alive(pid):
            found.append(pid)
        queue.extend(children.get(pid, ()))
    return found


def cpu_seconds(root: int) -> float:
    """CPU time that `root` and its descendants have used since they started."""
    total = 0.0
    for pid in tree(root):
        fields = _stat(pid)
        if fields is None:
            continue
        try:
            own = time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
        except OSError:
            own = (int(fields[11]) + int(fields[12])) * TICK_S
        total += own + (int(fields[13]) + int(fields[14])) * TICK_S
    return total


@dataclass(frozen=True)
class Memory:
    """Resident memory in KiB: RSS counts shared pages fully, PSS by its share."""

    rss_kb: int
    pss_kb: int


def memory(pids: Iterable[int]) -> Memory:
    """Resident memory of these processes together."""
    rss = pss = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        values = {line.split()[0]: int(line.split()[1]) for line in lines[1:] if line.endswith(" kB")}
        rss += values.get("Rss:", 0)
        pss += values.get("Pss:", 0)
    return Memory(rss, pss)


def command_line(pid: int) -> str:
    """The command line of a process, spaces between its words; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _core_times(core: int) -> tuple[float, float]:
    """Busy and stolen seconds of one core since boot."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in line.split()[1:9])
            return (user + nice + system + irq + softirq) * TICK_S, steal * TICK_S
    raise ProcessFailed(f"core {core} is not in /proc/stat")


@dataclass(frozen=True)
class Window:
    """What a stretch of time cost."""

    wall_s: float
    gateway_cpu_s: float
    gateway_core_busy: float
    """Share of the gateway's core that was busy, whoever used it, 0..1."""
    load_core_busy: float
    foreign: float
    """Share of the gateway's core that neither the gateway nor idleness had: other programs of the machine."""
    stolen: float
    """Share of the gateway's core that the hypervisor gave to other machines."""

    @property
    def bound(self) -> str:
        """What limited this stretch: `gateway`, `load`, or `neither`."""
        if self.gateway_cpu_s and self.gateway_core_busy >= 0.96:
            return "gateway"
        return "load" if self.load_core_busy >= 0.96 else "neither"


class Watch:
    """Measures a stretch: construct at its start, `stop()` at its end."""

    def __init__(self, roots: Sequence[int], gateway_core: int, load_core: int) -> None:
        self._roots, self._cores = roots, (gateway_core, load_core)
        self._begin = self._now()

    def _now(self) -> tuple[float, float, float, float, float]:
        cpu = sum(cpu_seconds(root) for root in self._roots)
        (gateway, stolen), (load, _) = (_core_times(core) for core in self._cores)
        return time.monotonic(), cpu, gateway, load, stolen

    def stop(self) -> Window:
        """The stretch since construction."""
        wall, cpu, gateway, load, stolen = (now - then for now, then in zip(self._now(), self._begin, strict=True))
        wall = max(wall, 1e-6)
        foreign = min(1.0, max(0.0, (gateway - cpu) / wall)) if self._roots else 0.0
        return Window(wall, cpu, min(1.0, gateway / wall), min(1.0, load / wall), foreign, stolen / wall)


def find_program(*names: str) -> str | None:
    """The first of these programs found on PATH or in the system's own folders."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    for name in names:
        found = shutil.which(name, path=path)
        if found is not None:
            return found
    return None
