"""Runs wrk, the closed-loop load generator of the throughput figures, and reads its last line."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import traffic
from bench.contenders import Target
from bench.processes import ProcessFailed, find_program

SCRIPT = Path(__file__).parent / "load" / "post.lua"


class Report(msgspec.Struct, frozen=True):
    """The line that `load/post.lua` prints."""

    requests: int
    duration_us: int
    bytes: int
    status_errors: int
    socket_errors: int
    p50_us: int
    p99_us: int

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return max(0, self.requests - self.status_errors) / (self.duration_us / 1e6)


def parse(output: str) -> Report:
    """The report in wrk's output. Raises ProcessFailed when there is none."""
    for line in reversed(output.splitlines()):
        if line.startswith('{"requests"'):
            return msgspec.json.decode(line, type=Report)
    raise ProcessFailed(f"wrk printed no report: {output[-500:]}")


@dataclass(frozen=True)
class Load:
    """A wrk command, ready to run."""

    argv: list[str]

    def start(self) -> subprocess.Popen[str]:
        """Start it; hand the process to `finish`."""
        return subprocess.Popen(self.argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    @staticmethod
    def finish(running: subprocess.Popen[str]) -> Report:
        """Wait for a started run and read its report."""
        try:
            output, _ = running.communicate()
        finally:
            running.kill()
        return parse(output)

    def run(self) -> Report:
        """Start and finish."""
        return self.finish(self.start())


def prepare(
    directory: Path, target: Target, *, size_bytes: int, connections: int, seconds: float, pin: Sequence[str] = ()
) -> Load:
    """The command that POSTs chat requests of `size_bytes` for `seconds`; its files are written to `directory`."""
    program = find_program("wrk")
    if program is None:
        raise ProcessFailed("wrk is not installed: apt-get install wrk")
    body = traffic.write(
        directory / f"body-{size_bytes}.json", traffic.chat_body(size_bytes, target.model, api=target.api)
    )
    headers = traffic.write(directory / "headers.txt", traffic.header_lines(target.headers))
    argv = [*pin, program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
    url = f"http://127.0.0.1:{target.port}{traffic.PATHS[target.api]}"
    argv += ["-s", str(SCRIPT), url, "--", str(body), str(headers)]
    return Load(argv)
