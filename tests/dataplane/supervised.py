"""Drives a supervisor over stand-in children from a test: starts it, signals it, and hears what it tells control."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from gatewright.core.messages import FrameParser, Message, Rejected, Status, render_frame

SERVE = Path(__file__).parent / "stand_ins" / "serve.py"
DEADLINE_S = 15.0


class Control:
    """A connection to the stand-in control process."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=DEADLINE_S)
        self._frames = FrameParser()
        self.heard: list[Message] = []
        self.pid = int(self.wait_for(lambda m: isinstance(m, Rejected)).errors[0].split()[1])

    def wait_for(self, is_it: Callable[[Any], bool], *, anew: bool = False) -> Any:
        """The newest message that fits, waiting for one if need be; `anew` forgets what was heard before."""
        if anew:
            self.heard.clear()
        while True:
            for message in reversed(self.heard):
                if is_it(message):
                    return message
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionError("control is gone")
            self.heard += self._frames.feed(data)

    def status(self, is_it: Callable[[Status], bool]) -> Status:
        """The first status from now on, or the last one heard, that fits."""
        found: Status = self.wait_for(lambda m: isinstance(m, Status) and m is self._last_status() and is_it(m))
        return found

    def _last_status(self) -> Message | None:
        return next((m for m in reversed(self.heard) if isinstance(m, Status)), None)

    def say(self, message: Message) -> None:
        self._socket.sendall(render_frame(message))

    def read_telemetry(self) -> str:
        """The oldest telemetry datagram."""
        self.heard.clear()
        self.say(Rejected(["telemetry"]))
        return str(self.wait_for(lambda m: isinstance(m, Rejected)).errors[0])

    def close(self) -> None:
        self._socket.close()


class Supervised:
    """A supervisor in a process of its own; use as a context manager."""

    def __init__(self, *, stderr: int = subprocess.PIPE, **plan: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SERVE), msgspec.json.encode(plan).decode()],
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        self.pid = self._process.pid
        self.listen = self.admin = ""
        self.log = self.printed = ""
        self._controls: list[Control] = []

    def __enter__(self) -> Supervised:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        if not line:
            raise RuntimeError(f"exit {self.wait()}: {self.log}")
        self.listen, self.admin = line.split()
        return self

    def __exit__(self, *_: object) -> None:
        for control in self._controls:
            control.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.send_signal(signal.SIGINT)
        self.wait()

    def control(self) -> Control:
        """A new connection to whichever control process runs."""
        control = Control(self.admin)
        self._controls.append(control)
        return control

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """The exit code; `log` and `printed` are then all it wrote on standard error, and on output after one line."""
        out, err = self._process.communicate(timeout=DEADLINE_S)
        self.printed += out.decode()
        self.log += err.decode() if err else ""
        return self._process.returncode

    def events(self) -> list[dict[str, Any]]:
        """The log's lines after the end."""
        return [msgspec.json.decode(line) for line in self.log.splitlines() if line.startswith("{")]

    def get(self, path: str = "/") -> tuple[int, int, int]:
        """Pid, slot and version of the worker that answers."""
        host, _, port = self.listen.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=DEADLINE_S)
        try:
            connection.request("GET", path)
            pid, slot, version = connection.getresponse().read().split()
        finally:
            connection.close()
        return int(pid), int(slot), int(version)


def is_alive(pid: int) -> bool:
    """Whether the process still runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Poll the outside world until something holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, f"not in {DEADLINE_S} s: {what}"
        time.sleep(0.01)


def kill(pid: int) -> None:
    """SIGKILL."""
    os.kill(pid, signal.SIGKILL)
