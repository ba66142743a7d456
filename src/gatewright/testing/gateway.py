"""A real gateway for tests: `gatewright serve` with a given configuration, on free ports, in processes of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from msgspec import Struct

from gatewright.testing.client import RawClient

_START: Final = "import sys; from gatewright.cli.main import main; sys.exit(main())"
_STEP_S: Final = 0.02


def key_hash(key: str) -> str:
    """The form in which a configuration holds a consumer's key."""
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def free_port() -> int:
    """A loopback port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process(Struct, frozen=True):
    """One process of a gateway."""

    pid: int
    role: str
    """`worker`, `control` or another; the last part of the module it runs."""
    resident_bytes: int


class GatewayProcess:
    """`gatewright serve --config FILE`, ready when entered and gone when left.

    `config` is the configuration as plain data; `listen` and `admin` are set to free loopback ports unless it has them.
    `environment` adds to the variables it inherits, for the secrets that a configuration may only refer to. Its files
    go into `directory`, or into a temporary one that is removed when the block is left. Entering raises RuntimeError
    with everything the gateway printed when it does not become ready.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        ready_s: float = 30.0,
        stop_s: float = 15.0,
    ) -> None:
        variables = [f"{name}={value}" for name, value in (environment or {}).items()]
        self._command = ["env", *variables, sys.executable, "-c", _START, "serve"]
        self._ready_s, self._stop_s = ready_s, stop_s
        self._is_temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="gatewright-"))
        self.config_file = self.directory / "gatewright.yaml"
        self.state = self.directory / "state"
        """Its state directory, unless `arguments` name another."""
        self._arguments = [*arguments] if "--state" in arguments else [*arguments, "--state", str(self.state)]
        listen = {"listen": f"127.0.0.1:{free_port()}", "admin": f"127.0.0.1:{free_port()}"}
        self.config: dict[str, Any] = {**listen, **config}
        self.address = _parse_address(self.config["listen"])
        self.admin_address = _parse_address(self.config["admin"])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The base URL to give to an OpenAI SDK."""
        return f"http{'s' if 'tls' in self.config else ''}://{self.address[0]}:{self.address[1]}/v1"

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        if self._process is None:
            raise RuntimeError("the gateway was not started")
        return self._process.pid

    def connect(self, **options: Any) -> RawClient:
        """A raw connection to the data plane; options as for `RawClient`."""
        return RawClient(self.address, **options)

    # Watching.

    def admin(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET on the admin listener."""
        request = urllib.request.Request(f"http://{self.admin_address[0]}:{self.admin_address[1]}{path}")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.read()

    def processes(self) -> list[Process]:
        """The gateway's processes below the supervisor, by pid."""
        found = (_read_process(pid) for pid in _descendants(self.pid))
        return sorted((process for process in found if process is not None), key=lambda process: process.pid)

    def workers(self) -> list[Process]:
        """The data-plane workers, by pid."""
        return [process for process in self.processes() if process.role == "worker"]

    def stdout(self) -> str:
        """All it printed so far."""
        return (self.directory / "stdout").read_text(errors="replace")

    def stderr(self) -> str:
        """All it complained about so far."""
        return (self.directory / "stderr").read_text(errors="replace")

    def access_log(self) -> list[dict[str, Any]]:
        """The access-log lines so far (with `log: {access: json}`), each decoded."""
        return [msgspec.json.decode(line) for line in self.stdout().splitlines() if line.startswith("{")]

    def wait_for(self, predicate: Callable[[], object], timeout_s: float = 5.0) -> None:
        """Block until the predicate holds; tried every few milliseconds. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while not predicate():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout_s} s")
            time.sleep(_STEP_S)

    # Running.

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Replace the configuration file in one step, keeping the addresses; the gateway is told by `reload`."""
        kept = {name: self.config[name] for name in ("listen", "admin")}
        self.config = {**kept, **config}
        fresh = self.config_file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(self.config))
        fresh.replace(self.config_file)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor (SIGHUP reloads, SIGUSR2 replaces the workers)."""
        if self._process is not None:
            self._process.send_signal(number)

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.write_config(self.config)
        with (self.directory / "stdout").open("wb") as out, (self.directory / "stderr").open("wb") as err:
            self._process = subprocess.Popen(
                [*self._command, "--config", str(self.config_file), *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.directory,
            )
        try:
            self.wait_for(self._is_ready, self._ready_s)
        except BaseException as failure:
            said = f"stdout:\n{self.stdout()}\nstderr:\n{self.stderr()}"
            self.kill()
            self._clean_up()
            if isinstance(failure, TimeoutError | ChildProcessError):
                raise RuntimeError(f"the gateway did not become ready ({failure})\n{said}") from failure
            raise

    def stop(self) -> int:
        """Ask it to drain and stop; give its exit code. Kills it, and raises RuntimeError, when it does not."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(self._stop_s)
        except subprocess.TimeoutExpired as expired:
            said = self.stderr()
            self.kill()
            raise RuntimeError(f"the gateway did not stop within {self._stop_s} s; stderr:\n{said}") from expired

    def kill(self) -> None:
        """Kill it and everything below it at once."""
        if self._process is not None and self._process.poll() is None:
            below = _descendants(self._process.pid)
            self._process.kill()
            for pid in below:
                _kill(pid)
            self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._clean_up()

    def _clean_up(self) -> None:
        if self._is_temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _is_ready(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise ChildProcessError(f"it exited with {self._process.returncode}")
        try:
            return self.admin("/readyz")[0] == 200
        except OSError:
            return False


def _parse_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _descendants(pid: int) -> list[int]:
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []
    return children + [below for child in children for below in _descendants(child)]


def _read_process(pid: int) -> Process | None:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return None
    module = words[words.index("-m") + 1] if "-m" in words[:-1] else words[0]
    return Process(pid, module.rpartition(".")[2], pages * 4096)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
