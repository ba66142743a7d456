"""Who takes part: how each gateway is configured and started. Peers have a file of their own.

Every contender is given the same two upstreams, keep-alive connections to them, one worker, and no access log unless
its name says so. All their processes run on the gateway core.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench import traffic
from bench.plan import KINDS
from bench.processes import find_program
from bench.upstream import Upstreams, free_port, nginx_command, nginx_frame, open_files

KEY = "gw-bench-0123456789abcdef0123456789abcdef"
ORGANISATION = "bench"
WORKER_MARK = "gatewright.server.worker"

_EVERYBODY = {"consumers": [f"{ORGANISATION}/*"]}
POLICIES: list[dict[str, object]] = [
    {
        "filter": "rate_limit",
        "on": _EVERYBODY,
        "config": {"tokens": 1_000_000_000_000, "per": "minute"},
    },
    {
        "filter": "rate_limit",
        "name": "by the day",
        "on": _EVERYBODY,
        "config": {"tokens": 1_000_000_000_000_000, "per": "day", "by": "team"},
    },
    {
        "filter": "budget",
        "name": "monthly",
        "on": _EVERYBODY,
        "config": {"usd": 9_000_000, "per": "month", "by": "organisation"},
    },
]
"""Every filter there is; limits far above the load: each request pays for the checks and passes."""
PRICES = {"prices": {"input": "0.10", "output": "0.40"}}
"""Of the model that is called, so that each answer is priced and paid from the budget."""


@dataclass(frozen=True)
class Command:
    """One process of a contender."""

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """Where one kind of traffic is sent, and by which of the contender's commands it is served."""

    port: int
    model: str = "bench-model"
    headers: tuple[tuple[str, str], ...] = ()
    command: int = 0
    api: str = "chat"
    """What the load generator speaks there: `chat` as the upstream does, or `messages`, which must be translated."""


@dataclass(frozen=True)
class Launch:
    """A contender ready to start."""

    commands: list[Command]
    plain: Target
    stream: Target


@dataclass(frozen=True)
class Stage:
    """What a contender needs to know to write its configuration."""

    directory: Path
    upstreams: Upstreams


@dataclass(frozen=True)
class Contender:
    """One row of the tables."""

    name: str
    title: str
    role: Literal["direct", "proxy", "gatewright", "router", "gateway"]
    launch: Callable[[Stage], Launch]
    version: Callable[[], str]
    missing: Callable[[], str | None] = lambda: None
    """Why it cannot run here and what to do, or None; may install it."""
    start_limit_s: float = 20.0
    kinds: tuple[str, ...] = KINDS
    """What is measured of it."""


def _output(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def _debian(package: str, *programs: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        if find_program(*programs) is None:
            return f"{programs[0]} is not installed: apt-get install {package}"
        return None

    return missing


def _launch_direct(stage: Stage) -> Launch:
    return Launch([], Target(stage.upstreams.plain_port), Target(stage.upstreams.stream_port))


def _launch_nginx(stage: Stage) -> Launch:
    plain, stream = free_port(), free_port()
    settings = 'proxy_http_version 1.1; proxy_set_header Connection "";'
    http = f"""
upstream plain {{ server 127.0.0.1:{stage.upstreams.plain_port}; keepalive 256; keepalive_requests 1000000000; }}
upstream stream {{ server 127.0.0.1:{stage.upstreams.stream_port}; keepalive 256; }}
server {{ listen 127.0.0.1:{plain} backlog=4096; location / {{ proxy_pass http://plain; {settings} }} }}
server {{
  listen 127.0.0.1:{stream} backlog=4096;
  location / {{ proxy_pass http://stream; {settings} proxy_buffering off; proxy_read_timeout 600s; }}
}}"""
    traffic.write(stage.directory / "nginx.conf", nginx_frame(stage.directory, http))
    return Launch([Command(nginx_command(stage.directory))], Target(plain), Target(stream))


def _launch_haproxy(stage: Stage) -> Launch:
    plain, stream = free_port(), free_port()
    connections = (open_files() - 200) // 2
    config = f"""global
  nbthread 1
  maxconn {connections}
  log /dev/null local0 emerg
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  maxconn {connections}
frontend plain
  bind 127.0.0.1:{plain} backlog 4096
  default_backend plain
frontend stream
  bind 127.0.0.1:{stream} backlog 4096
  default_backend stream
backend plain
  server upstream 127.0.0.1:{stage.upstreams.plain_port}
backend stream
  option http-no-delay
  server upstream 127.0.0.1:{stage.upstreams.stream_port}
"""
    path = traffic.write(stage.directory / "haproxy.cfg", config)
    program = find_program("haproxy") or "haproxy"
    return Launch([Command([program, "-db", "-f", str(path)])], Target(plain), Target(stream))


def gatewright_config(upstreams: Upstreams, listen: int, admin: int, *, full: bool, log: bool) -> dict[str, object]:
    """The configuration Gatewright is measured with; `full` adds key authentication and every filter."""

    def provider(port: int) -> dict[str, object]:
        return {"type": "openai_compatible", "url": f"http://127.0.0.1:{port}/v1", "max_connections": 20_000}

    config: dict[str, object] = {
        "listen": f"127.0.0.1:{listen}",
        "admin": f"127.0.0.1:{admin}",
        "anonymous": not full,
        "log": {"access": "json" if log else "off"},
        "limits": {"connections": 100_000, "requests_in_flight": 100_000},
        "providers": {"plain": provider(upstreams.plain_port), "stream": provider(upstreams.stream_port)},
        "models": {
            "assistant": {"targets": [{"provider": "plain", "model": "bench-model"}]},
            "narrator": {"targets": [{"provider": "stream", "model": "bench-model"}]},
        },
    }
    if full:
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        application = {"keys": [f"sha256:{digest}"]}
        config["consumers"] = {ORGANISATION: {"teams": {"load": {"apps": {"client": application}}}}}
        config["policies"] = POLICIES
        config["catalogue"] = {"openai_compatible/bench-model": PRICES}
    return config


def _launch_gatewright(
    *, full: bool, log: bool = False, api: str = "chat", workers: int = 1
) -> Callable[[Stage], Launch]:
    def launch(stage: Stage) -> Launch:
        listen, admin = free_port(), free_port()
        config = gatewright_config(stage.upstreams, listen, admin, full=full, log=log)
        path = traffic.write(stage.directory / "gatewright.yaml", json.dumps(config, indent=1))
        state = stage.directory / "state"
        argv = [_gatewright_program(), "serve", "--config", str(path), "--state", str(state)]
        argv += ["--workers", str(workers)]
        headers = (("Authorization", f"Bearer {KEY}"),) if full else ()
        plain = Target(listen, "assistant", headers, api=api)
        return Launch([Command(argv)], plain, Target(listen, "narrator", headers, api=api))

    return launch


def _gatewright_program() -> str:
    return str(Path(sys.executable).parent / "gatewright")


def _gatewright_missing() -> str | None:
    if not os.access(_gatewright_program(), os.X_OK):
        return "the gatewright command is not beside this Python: run `make setup`, or use .venv/bin/python"
    return None


def _gatewright_version() -> str:
    return _output(_gatewright_program(), "version").splitlines()[0]


DIRECT = Contender("direct", "no gateway", "direct", _launch_direct, lambda: "")

OWN: tuple[Contender, ...] = (
    Contender(
        "nginx",
        "nginx, bare proxy",
        "proxy",
        _launch_nginx,
        lambda: _output(find_program("nginx") or "nginx", "-v").removeprefix("nginx version: "),
        _debian("nginx-light", "nginx"),
    ),
    Contender(
        "haproxy",
        "HAProxy, bare proxy",
        "proxy",
        _launch_haproxy,
        lambda: _output(find_program("haproxy") or "haproxy", "-v").splitlines()[0].split(" - ")[0],
        _debian("haproxy", "haproxy"),
    ),
    Contender(
        "gatewright",
        "Gatewright, no policies",
        "gatewright",
        _launch_gatewright(full=False),
        _gatewright_version,
        _gatewright_missing,
    ),
    Contender(
        "gatewright-full",
        "Gatewright, key + every filter",
        "gatewright",
        _launch_gatewright(full=True),
        _gatewright_version,
        _gatewright_missing,
    ),
    Contender(
        "gatewright-log",
        "Gatewright, the same + access log",
        "gatewright",
        _launch_gatewright(full=True, log=True),
        _gatewright_version,
        _gatewright_missing,
        kinds=("throughput",),
    ),
    Contender(
        "gatewright-two",
        "Gatewright, the same, two workers on the core",
        "gatewright",
        _launch_gatewright(full=True, workers=2),
        _gatewright_version,
        _gatewright_missing,
        kinds=("throughput",),
    ),
    Contender(
        "gatewright-translated",
        "Gatewright, everything on, messages → chat",
        "gatewright",
        _launch_gatewright(full=True, api="messages"),
        _gatewright_version,
        _gatewright_missing,
        kinds=("throughput", "stream"),
    ),
)
"""In the order of the tables."""
