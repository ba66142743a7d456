"""Measures one gateway at a time, between a load generator and mock upstreams that share the other core.

Each function below measures one kind of figure on a gateway that is already running and notes it with the recorder:
the value, what is needed to judge it (how busy both cores were, how much of the gateway's core other programs took),
and the command that repeats it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench import traffic, wrk
from bench.contenders import DIRECT, WORKER_MARK, Contender, Launch, Stage, Target
from bench.plan import Plan
from bench.processes import (
    Memory,
    Processes,
    ProcessFailed,
    Spawned,
    Watch,
    Window,
    command_line,
    cpu_seconds,
    memory,
    tree,
)
from bench.results import Recorder
from bench.upstream import LOAD, Upstreams, open_files, set_pace, until_answering

MB = 1024

SETTLE_WINDOW_S = 0.5
SETTLE_LIMIT_S = 10.0
"""A gateway has settled once it uses less than a twentieth of a core for a window; it is not waited for any longer."""


@dataclass
class Running:
    """A contender that answers."""

    contender: Contender
    launch: Launch
    spawned: list[Spawned]
    directory: Path
    start_s: float

    def roots(self, target: Target) -> list[int]:
        """The root process that serves this target; empty for the upstream itself."""
        return [self.spawned[target.command].pid] if self.spawned else []

    def workers(self) -> list[int]:
        """The processes that serve requests: Gatewright's workers, nginx's; all where there is no such split."""
        everyone = [pid for root in self.roots(self.launch.plain) for pid in tree(root)]
        marked = [pid for pid in everyone if WORKER_MARK in (line := command_line(pid)) or "worker process" in line]
        return marked or everyone


class Bench:
    """Everything a measurement needs; lives as long as the run."""

    def __init__(
        self, processes: Processes, directory: Path, plan: Plan, upstreams: Upstreams, cores: tuple[int, int]
    ) -> None:
        self.processes, self.directory, self.plan, self.upstreams = processes, directory, plan, upstreams
        self.gateway_core, self.load_core = cores
        self.recorder = Recorder()
        self.notes: list[str] = []
        self._paced = directory / "paced"
        self._count = 0

    def build_tools(self) -> None:
        """Compile the paced load generator."""
        compiler = shutil.which("cc") or "cc"
        argv = [compiler, "-O2", "-o", str(self._paced), str(LOAD / "paced.c"), "-lm"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ProcessFailed(f"the load generator could not be compiled: {done.stderr[-800:]}")

    @contextmanager
    def run(self, contender: Contender) -> Iterator[Running]:
        """Start a contender, wait for its first answer, stop it afterwards."""
        self._count += 1
        directory = self.directory / f"{self._count:03d}-{contender.name}"
        directory.mkdir()
        launch = contender.launch(Stage(directory, self.upstreams))
        spawned: list[Spawned] = []
        start_s = 0.0
        try:
            for number, command in enumerate(launch.commands):
                name = f"{contender.name}-{number}"
                one = self.processes.spawn(name, command.argv, core=self.gateway_core, env=command.env, cwd=directory)
                spawned.append(one)
                target = launch.plain if launch.plain.command == number else launch.stream
                waited = self._first_answer(contender, target, one)
                start_s = waited if number == launch.plain.command else start_s
            self._settle(spawned)
            yield Running(contender, launch, spawned, directory, start_s)
        finally:
            self.processes.stop(spawned)

    def _settle(self, spawned: list[Spawned]) -> None:
        """Wait until start-up work has ended: what comes up behind the first answer must not count as load."""
        until = time.monotonic() + SETTLE_LIMIT_S
        before = sum(cpu_seconds(one.pid) for one in spawned)
        while time.monotonic() < until:
            time.sleep(SETTLE_WINDOW_S)
            now = sum(cpu_seconds(one.pid) for one in spawned)
            if now - before < SETTLE_WINDOW_S / 20:
                return
            before = now

    def _first_answer(self, contender: Contender, target: Target, process: Spawned) -> float:
        url = f"http://127.0.0.1:{target.port}{traffic.PATHS[target.api]}"
        body = traffic.chat_body(1_000, target.model, api=target.api)
        return until_answering(url, process, limit_s=contender.start_limit_s, body=body, headers=dict(target.headers))

    def watch(self, running: Running, target: Target) -> Watch:
        """Measure a stretch in which `target` is loaded."""
        return Watch(running.roots(target), self.gateway_core, self.load_core)

    def pin_load(self) -> list[str]:
        """What goes before a load generator's command."""
        return self.processes.pinned([], self.load_core)

    def add(self, running: Running, kind: str, figure: str, value: float, argv: list[str], **detail: Any) -> None:
        """Note a value."""
        name = running.contender.name
        # The ceiling is measured in every run with throughput, whoever takes part.
        repeated = "nginx" if name == DIRECT.name else name
        self.recorder.add(
            name,
            figure,
            value,
            command=self._portable(argv, running),
            reproduce=f"python -m bench --only {kind} --gateways {repeated} --rounds {self.plan.rounds}",
            detail=detail,
        )

    def _portable(self, argv: list[str], running: Running) -> str:
        """A command as anybody could type it: no folders of this run, no port numbers of this run."""
        line = " ".join(argv)
        for folder in (running.directory, self.directory):
            line = line.replace(f"{folder}/", "")
        line = line.replace(f"{LOAD}{os.sep}", "bench/load/").replace(sys.executable, "python")
        for port in (running.launch.plain.port, running.launch.stream.port):
            line = line.replace(f"127.0.0.1:{port}", "127.0.0.1:PORT").replace(f" {port} ", " PORT ")
        return line


def _judged(window: Window) -> dict[str, Any]:
    """A window as details of a figure."""
    shown = {key: round(value, 4) for key, value in asdict(window).items()}
    return {**shown, "bound": window.bound}


def start(bench: Bench, running: Running) -> None:
    """How long it took from starting the process to its first answer."""
    bench.add(running, "start", "start_s", running.start_s, running.spawned[running.launch.plain.command].argv)


def throughput(bench: Bench, running: Running) -> None:
    """Requests per second with every connection always busy, and the CPU time of a thousand requests."""
    target = running.launch.plain
    for size, seconds, connections in bench.plan.throughput_s:

        def load(duration_s: float, size: str = size, connections: int = connections) -> wrk.Load:
            count, pin = traffic.SIZES[size], bench.pin_load()
            return wrk.prepare(
                running.directory, target, size_bytes=count, connections=connections, seconds=duration_s, pin=pin
            )

        warm = load(min(bench.plan.warm_s, seconds)).run()
        # A slow gateway needs longer, or the requests cut off at the end would weigh as much as the answered ones.
        chosen = load(min(4 * seconds, max(seconds, 10 * connections / max(warm.rate, 1.0))))
        watch = bench.watch(running, target)
        report = chosen.run()
        window = watch.stop()
        good = report.requests - report.status_errors
        errors = {"status_errors": report.status_errors, "socket_errors": report.socket_errors}
        detail = {"requests": report.requests, **errors, "p99_us": report.p99_us, **_judged(window)}
        if good <= 0:
            raise ProcessFailed(f"no good answer to {size} requests: {detail}")
        if any(errors.values()):
            bench.notes.append(f"{running.contender.title}, {size}: {errors} of {report.requests} requests")
        bench.add(running, "throughput", f"rps_{size}", report.rate, chosen.argv, **detail)
        if running.spawned:
            cost = window.gateway_cpu_s / good * 1000
            bench.add(running, "throughput", f"cpu_{size}", cost, chosen.argv, **detail)


class Paced(msgspec.Struct, frozen=True):
    """The line that `load/paced.c` prints."""

    rate: float
    sent: int
    answered: int
    failures: int
    dropped: int
    reconnects: int
    seconds: float
    counted: int
    mean_us: float
    p50_us: float
    p90_us: float
    p99_us: float
    p999_us: float
    max_us: float


def _paced(bench: Bench, running: Running, target: Target, rate: float, seconds: float) -> tuple[Paced, list[str]]:
    body = traffic.chat_body(traffic.SIZES["1kb"], target.model, api=target.api)
    request = traffic.write(
        running.directory / "request.http", traffic.raw_request(target.port, target.headers, body, api=target.api)
    )
    argv = [*bench.pin_load(), str(bench._paced), "127.0.0.1", str(target.port), str(request)]
    argv += [f"{rate:.1f}", str(bench.plan.latency_connections), f"{seconds:g}"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProcessFailed(f"paced: {done.stderr[-300:]}")
    return msgspec.json.decode(done.stdout, type=Paced), argv


def latency(bench: Bench, running: Running) -> None:
    """Latency at half the rate just measured, less that of the same rate without a gateway."""
    full = bench.recorder.last(running.contender.name, "rps_1kb")
    if full is None:
        seconds = max(1.0, bench.plan.warm_s)
        target = running.launch.plain
        full = (
            wrk.prepare(
                running.directory, target, size_bytes=1_000, connections=64, seconds=seconds, pin=bench.pin_load()
            )
            .run()
            .rate
        )
    rate, target = max(full / 2, 1.0), running.launch.plain
    watch = bench.watch(running, target)
    through, argv = _paced(bench, running, target, rate, bench.plan.latency_s)
    window = watch.stop()
    direct, _ = _paced(bench, running, Target(bench.upstreams.plain_port), rate, bench.plan.latency_s / 2)
    detail = {
        "rate": round(rate, 1),
        "through_us": asdict_json(through),
        "direct_us": asdict_json(direct),
        **_judged(window),
    }
    if through.answered < 0.98 * through.sent or through.dropped:
        bench.notes.append(f"{running.contender.title}: {through.sent - through.answered} answers missing at half load")
    for figure, after, before in (
        ("added_p50", through.p50_us, direct.p50_us),
        ("added_p99", through.p99_us, direct.p99_us),
    ):
        bench.add(running, "latency", figure, (after - before) / 1000, argv, **detail)


def asdict_json(report: Paced) -> dict[str, Any]:
    """A report as plain data."""
    plain: dict[str, Any] = msgspec.to_builtins(report)
    return plain


class Streams(msgspec.Struct, frozen=True):
    """The line that `load/stream_client.py` prints."""

    opened: int
    finished: int
    chunks: int
    failures: int
    seconds: float
    first_p50_ms: float
    problem: str


def _stream_command(bench: Bench, running: Running, mode: str, count: int, limit_s: float) -> list[str]:
    target = running.launch.stream
    body = traffic.chat_body(1_000, target.model, stream=True, api=target.api)
    request = traffic.write(
        running.directory / "stream.http", traffic.raw_request(target.port, target.headers, body, api=target.api)
    )
    client = [sys.executable, str(LOAD / "stream_client.py"), str(target.port), str(request)]
    return [*bench.pin_load(), *client, mode, str(count), f"{limit_s:g}"]


def stream(bench: Bench, running: Running) -> None:
    """CPU time of one streamed chunk, with many paced streams at once."""
    plan = bench.plan
    set_pace(bench.upstreams, plan.chunks, plan.interval_ms)
    limit_s = 20 + 2 * plan.chunks * plan.interval_ms / 1000
    argv = _stream_command(bench, running, "drain", plan.streams, limit_s)
    watch = bench.watch(running, running.launch.stream)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    window = watch.stop()
    report = msgspec.json.decode(done.stdout, type=Streams)
    if report.finished < plan.streams:
        problem = f"{report.finished} of {plan.streams} streams finished {report.problem}"
        if not report.chunks:
            raise ProcessFailed(problem)
        bench.notes.append(f"{running.contender.title}: {problem}")
    detail = {**msgspec.to_builtins(report), **_judged(window)}
    bench.add(running, "stream", "chunk_cpu", window.gateway_cpu_s / report.chunks * 1e6, argv, **detail)


def _everyone(running: Running, target: Target) -> Memory:
    return memory([pid for root in running.roots(target) for pid in tree(root)])


def held(bench: Bench, running: Running) -> None:
    """Resident memory idle, then with thousands of streams open. The gateway must be fresh."""
    _paced(bench, running, running.launch.plain, 200.0, 0.5)
    time.sleep(0.5)
    worker, everyone = memory(running.workers()), _everyone(running, running.launch.plain)
    argv = running.spawned[0].argv
    bench.add(running, "memory", "idle_worker_rss", worker.rss_kb / MB, argv)
    bench.add(running, "memory", "idle_worker_pss", worker.pss_kb / MB, argv)
    bench.add(running, "memory", "idle_all_pss", everyone.pss_kb / MB, argv)
    before = _everyone(running, running.launch.stream)
    for wanted in bench.plan.open_streams:
        # A proxy has two sockets a stream, so the limit of open files halves what one process can hold.
        count = min(wanted, (open_files() - 300) // 2)
        set_pace(bench.upstreams, 1_000_000, max(1_000, count))
        argv = _stream_command(bench, running, "hold", count, bench.plan.open_limit_s)
        client = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert client.stdout is not None
            line = client.stdout.readline()
            report = msgspec.json.decode(line, type=Streams)
            time.sleep(0.5)
            during = _everyone(running, running.launch.stream)
        finally:
            client.communicate()
        if report.opened < count:
            bench.notes.append(f"{running.contender.title}: {report.opened} of {count} streams opened in time")
        if report.opened < count // 10:
            continue
        detail = {**msgspec.to_builtins(report), "wanted": wanted}
        per_stream = (during.pss_kb - before.pss_kb) / report.opened
        bench.add(running, "memory", f"stream_kb_{wanted}", per_stream, argv, **detail)
        bench.add(running, "memory", f"stream_mb_{wanted}", during.pss_kb / MB, argv, **detail)


def soak(bench: Bench, running: Running) -> None:
    """Resident memory of the workers while many requests pass; growth after the first fifth is what counts."""
    wanted, target = bench.plan.soak_requests, running.launch.plain
    rate, answered = 0.0, 0
    samples: list[tuple[float, float]] = []
    argv: list[str] = []
    while answered < wanted:
        seconds = min(600.0, (wanted - answered) / rate * 1.02 + 1) if rate else 2.0
        load = wrk.prepare(
            running.directory, target, size_bytes=1_000, connections=64, seconds=seconds, pin=bench.pin_load()
        )
        process, began, argv = load.start(), time.monotonic(), load.argv
        try:
            while process.poll() is None:
                estimate = answered + rate * (time.monotonic() - began)
                samples.append((estimate, memory(running.workers()).rss_kb / MB))
                time.sleep(0.5)
        except BaseException:
            process.kill()
            raise
        report = load.finish(process)
        answered, rate = answered + report.requests, report.rate
        if report.status_errors or report.socket_errors:
            bench.notes.append(f"soak: {report.status_errors} bad answers, {report.socket_errors} socket errors")
    early = [rss for count, rss in samples if 0.1 * wanted <= count <= 0.3 * wanted] or [samples[0][1]]
    late = [rss for count, rss in samples if count >= 0.9 * wanted] or [samples[-1][1]]
    growth = max(late) - max(early)
    shown = [[round(count), round(rss, 2)] for count, rss in samples]
    bench.add(running, "soak", "soak_growth", growth, argv, requests=answered, samples=shown)


def ceiling(bench: Bench) -> None:
    """What the load generator and the upstream reach together with nothing between them."""
    with bench.run(DIRECT) as running:
        throughput(bench, running)
