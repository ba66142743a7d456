"""Other gateways, each in an environment of its own: installed once, at the version named here, when `PEERS=1` asks.

They get what their own documentation recommends for production where it matters here: no request logging, no database,
retries and health probes off. One that cannot be installed or does not answer stays in the tables with the reason.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench import traffic
from bench.contenders import Command, Contender, Launch, Stage, Target
from bench.processes import find_program
from bench.upstream import free_port

ROOT = Path(__file__).parent.parent
SGLANG = "sglang-router==0.3.2"
VLLM = "vllm-router==0.1.17"
LITELLM = "litellm[proxy]==1.106.2"
# Newer releases of its HTTP server, which its own dependency range admits, break every streamed answer with
# `TypeError: immutable`; this is the newest that streams.
PORTKEY = "@portkey-ai/gateway@1.15.2 @hono/node-server@1.13.8"
LITELLM_KEY = "sk-bench-0123456789abcdef0123456789abcdef"
INSTALL_LIMIT_S = 600


def environment(name: str) -> Path:
    """The folder of a peer's virtual environment."""
    return ROOT / ".venvs" / f"bench-{name}"


def _run(argv: list[str]) -> str | None:
    """Run an installation step; the end of its output when it failed."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[-1][:300] if lines else f"{argv[0]} ended with {done.returncode}"


def _python_package(name: str, requirement: str) -> Callable[[], str | None]:
    """Makes sure that `requirement` is installed in the environment of `name`."""

    def missing() -> str | None:
        home = environment(name)
        stamp = home / "requirement.txt"
        if stamp.exists() and stamp.read_text() == requirement:
            return None
        print(f"installing {requirement} …", flush=True)
        problem = _run([sys.executable, "-m", "venv", "--clear", str(home)]) or _run(
            [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", requirement]
        )
        if problem is not None:
            return f"{requirement} could not be installed: {problem}"
        stamp.write_text(requirement)
        return None

    return missing


def _node_package(name: str, requirement: str) -> Callable[[], str | None]:
    """Makes sure that `requirement` is installed in a node folder of its own."""

    def missing() -> str | None:
        npm = find_program("npm")
        if npm is None:
            return f"{requirement} needs node and npm: apt-get install npm"
        home = ROOT / ".cache" / f"bench-{name}"
        stamp = home / "requirement.txt"
        if stamp.exists() and stamp.read_text() == requirement:
            return None
        print(f"installing {requirement} …", flush=True)
        home.mkdir(parents=True, exist_ok=True)
        quiet = ["--silent", "--no-audit", "--no-fund", "--legacy-peer-deps"]
        problem = _run([npm, "install", *quiet, "--prefix", str(home), *requirement.split()])
        if problem is not None:
            return f"{requirement} could not be installed: {problem}"
        stamp.write_text(requirement)
        return None

    return missing


def _launch_sglang(stage: Stage) -> Launch:
    def command(port: int, upstream: int) -> Command:
        argv = [str(environment("sglang-router") / "bin" / "python"), "-m", "sglang_router.launch_router"]
        argv += ["--worker-urls", f"http://127.0.0.1:{upstream}", "--host", "127.0.0.1", "--port", str(port)]
        argv += ["--policy", "round_robin", "--disable-health-check", "--disable-retries", "--log-level", "error"]
        argv += ["--disable-circuit-breaker", "--max-concurrent-requests", "-1", "--prometheus-port", str(free_port())]
        return Command(argv)

    return _router(stage, command)


def _launch_vllm(stage: Stage) -> Launch:
    def command(port: int, upstream: int) -> Command:
        argv = [str(environment("vllm-router") / "bin" / "vllm-router")]
        argv += ["--worker-urls", f"http://127.0.0.1:{upstream}", "--host", "127.0.0.1", "--port", str(port)]
        argv += ["--policy", "round_robin", "--disable-retries", "--disable-circuit-breaker", "--log-level", "error"]
        argv += ["--max-concurrent-requests", "100000", "--prometheus-port", str(free_port())]
        return Command(argv)

    return _router(stage, command)


def _router(stage: Stage, command: Callable[[int, int], Command]) -> Launch:
    """A router has one pool of equal upstreams, so each kind of traffic gets a process of its own."""
    plain, stream = free_port(), free_port()
    commands = [command(plain, stage.upstreams.plain_port), command(stream, stage.upstreams.stream_port)]
    return Launch(commands, Target(plain, command=0), Target(stream, command=1))


def _launch_litellm(stage: Stage) -> Launch:
    def model(name: str, port: int) -> dict[str, object]:
        settings = {"model": "openai/bench-model", "api_base": f"http://127.0.0.1:{port}/v1", "api_key": "none"}
        return {"model_name": name, "litellm_params": settings}

    config = {
        "model_list": [
            model("assistant", stage.upstreams.plain_port),
            model("narrator", stage.upstreams.stream_port),
        ],
        "general_settings": {"master_key": LITELLM_KEY},
        "litellm_settings": {"num_retries": 0, "telemetry": False, "request_timeout": 600},
    }
    path = traffic.write(stage.directory / "litellm.yaml", json.dumps(config))
    port = free_port()
    argv = [str(environment("litellm") / "bin" / "litellm"), "--config", str(path), "--host", "127.0.0.1"]
    argv += ["--port", str(port), "--num_workers", "1"]
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    headers = (("Authorization", f"Bearer {LITELLM_KEY}"),)
    return Launch([Command(argv, env)], Target(port, "assistant", headers), Target(port, "narrator", headers))


def _launch_portkey(stage: Stage) -> Launch:
    port = free_port()
    script = (
        ROOT / ".cache" / "bench-portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    )
    argv = [find_program("node") or "node", str(script), "--headless", f"--port={port}"]

    def target(upstream: int) -> Target:
        headers = (
            ("x-portkey-provider", "openai"),
            ("x-portkey-custom-host", f"http://127.0.0.1:{upstream}/v1"),
            ("Authorization", "Bearer none"),
        )
        return Target(port, "bench-model", headers)

    env = {"NODE_ENV": "production"}
    return Launch([Command(argv, env)], target(stage.upstreams.plain_port), target(stage.upstreams.stream_port))


PEERS: tuple[Contender, ...] = (
    Contender(
        "sglang-router",
        "sglang-router (Rust)",
        "router",
        _launch_sglang,
        lambda: SGLANG.partition("==")[2],
        _python_package("sglang-router", SGLANG),
    ),
    Contender(
        "vllm-router",
        "vllm-router (Rust)",
        "router",
        _launch_vllm,
        lambda: VLLM.partition("==")[2],
        _python_package("vllm-router", VLLM),
    ),
    Contender(
        "litellm",
        "LiteLLM proxy (Python)",
        "gateway",
        _launch_litellm,
        lambda: LITELLM.partition("==")[2],
        _python_package("litellm", LITELLM),
        start_limit_s=90.0,
    ),
    Contender(
        "portkey",
        "Portkey gateway (Node)",
        "gateway",
        _launch_portkey,
        lambda: PORTKEY.split()[0].rpartition("@")[2],
        _node_package("portkey", PORTKEY),
    ),
)
"""In the order of the tables, after our own rows."""
