"""What a run leaves behind: one JSON file whose shape is these types, read again by the tables and plots."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import msgspec

SCHEMA = 1
FOLDER = Path(__file__).parent / "results"


class Figure(msgspec.Struct, frozen=True):
    """One kind of number: how it is written, and which way is better."""

    title: str
    unit: str
    digits: int
    higher_is_better: bool = False


FIGURES: dict[str, Figure] = {
    "rps_1kb": Figure("requests/s, 1 KB", "req/s", 0, True),
    "rps_100kb": Figure("requests/s, 100 KB", "req/s", 0, True),
    "rps_1mb": Figure("requests/s, 1 MB", "req/s", 0, True),
    "cpu_1kb": Figure("CPU per 1,000 requests, 1 KB", "s", 4),
    "cpu_100kb": Figure("CPU per 1,000 requests, 100 KB", "s", 4),
    "cpu_1mb": Figure("CPU per 1,000 requests, 1 MB", "s", 3),
    "added_p50": Figure("added latency at half load, p50", "ms", 3),
    "added_p99": Figure("added latency at half load, p99", "ms", 3),
    "chunk_cpu": Figure("CPU per streamed chunk", "µs", 1),
    "translated_chunk": Figure("translating a chunk, slowest pair of dialects", "µs", 2),
    "translated_request": Figure("translating a request of 100 KB, slowest pair of dialects", "ms", 2),
    "idle_worker_rss": Figure("idle worker, RSS", "MB", 1),
    "idle_worker_pss": Figure("idle worker, PSS", "MB", 1),
    "idle_all_pss": Figure("idle, all processes, PSS", "MB", 1),
    "stream_kb_1000": Figure("memory per open stream, 1,000 open", "KB", 1),
    "stream_kb_10000": Figure("memory per open stream, 10,000 open", "KB", 1),
    "stream_mb_1000": Figure("memory with 1,000 open streams, all processes, PSS", "MB", 1),
    "stream_mb_10000": Figure("memory with 10,000 open streams, all processes, PSS", "MB", 1),
    "start_s": Figure("start to first answer", "s", 3),
    "soak_growth": Figure("worker RSS growth over the soak", "MB", 2),
}
"""Every figure there is, in the order of the tables."""


class Row(msgspec.Struct, frozen=True):
    """One figure of one gateway: a value a round, their median, and what is needed to judge and repeat it."""

    gateway: str
    figure: str
    values: list[float]
    median: float
    details: list[dict[str, Any]]
    command: str
    """The load generator's command, with PORT for the port."""
    reproduce: str
    """The command of this benchmark that measures this line alone."""


class Participant(msgspec.Struct, frozen=True):
    """One gateway of the run."""

    name: str
    title: str
    role: str
    version: str
    absent: str | None = None
    """Why it was not measured."""


class Hold(msgspec.Struct, frozen=True):
    """One promise of the design and what came of it."""

    promise: str
    wanted: str
    measured: str
    held: bool | None
    """None when this run did not measure it."""


class Run(msgspec.Struct, frozen=True):
    """A whole run."""

    name: str
    mode: str
    started: str
    took_s: float
    command: str
    machine: dict[str, str]
    participants: list[Participant]
    rows: list[Row]
    holds: list[Hold]
    notes: list[str]
    schema: int = SCHEMA

    def median(self, gateway: str, figure: str) -> float | None:
        """The median of a figure, or None when it was not measured."""
        for row in self.rows:
            if row.gateway == gateway and row.figure == figure:
                return row.median
        return None

    def details(self, gateway: str, figure: str) -> list[dict[str, Any]]:
        """What was noted with a figure, one entry a round."""
        for row in self.rows:
            if row.gateway == gateway and row.figure == figure:
                return row.details
        return []

    def title(self, gateway: str) -> str:
        """How the tables call a gateway."""
        return next((one.title for one in self.participants if one.name == gateway), gateway)


class Recorder:
    """Collects values as they are measured."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, str], list[tuple[float, dict[str, Any]]]] = {}
        self._commands: dict[tuple[str, str], tuple[str, str]] = {}

    def add(
        self,
        gateway: str,
        figure: str,
        value: float,
        *,
        command: str,
        reproduce: str,
        detail: dict[str, Any] | None = None,
    ) -> None:
        """Note one value of one round. Raises KeyError for a figure that is not in FIGURES."""
        _ = FIGURES[figure]
        self._values.setdefault((gateway, figure), []).append((value, detail or {}))
        self._commands[gateway, figure] = (command, reproduce)

    def last(self, gateway: str, figure: str) -> float | None:
        """The newest value of a figure."""
        entries = self._values.get((gateway, figure))
        return entries[-1][0] if entries else None

    def rows(self) -> list[Row]:
        """Everything noted so far, in the order of FIGURES."""
        order = list(FIGURES)
        rows = []
        for key in sorted(self._values, key=lambda key: order.index(key[1])):
            gateway, figure = key
            values = [round(value, 6) for value, _ in self._values[key]]
            details = [detail for _, detail in self._values[key]]
            command, reproduce = self._commands[key]
            rows.append(Row(gateway, figure, values, statistics.median(values), details, command, reproduce))
        return rows


def save(run: Run, folder: Path = FOLDER) -> Path:
    """Write a run as `<name>.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
    return path


def load(path: Path) -> Run:
    """Read a run. Raises msgspec.ValidationError when the file is not one."""
    return msgspec.json.decode(path.read_bytes(), type=Run)
