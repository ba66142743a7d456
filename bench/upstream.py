"""The mock upstreams, both on the load core: nginx for complete answers, the paced SSE server for streams.

nginx answers small requests from its configuration. `return` would answer a large one before its body has arrived, and
a proxy in front would then rightly close the connection; so large bodies go through one more hop inside the same nginx,
which reads them to the end first.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from bench import traffic
from bench.processes import Processes, ProcessFailed, Spawned, find_program

LOAD = Path(__file__).parent / "load"
# Loopback is never asked for through an egress proxy of the environment.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Upstreams:
    """Where the mock upstreams listen."""

    plain_port: int
    stream_port: int


PORTS = iter(range(17_000 + os.getpid() % 4_000, 32_000))


def free_port() -> int:
    """A TCP port of the loopback address that nothing uses.

    None twice in a run, and none of those that the kernel gives to outgoing connections: with thousands of them open
    one would be taken again before its server binds it.
    """
    for port in PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ProcessFailed("no free port is left below 32000")


def open_files() -> int:
    """How many files a process of this run may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def nginx_frame(directory: Path, http: str) -> str:
    """An nginx configuration of one worker around the contents of its `http` block; everything stays in `directory`."""
    user = "user root;\n" if os.geteuid() == 0 else ""
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # nginx drops waiting clients once fewer than a sixteenth of its connections are free, so they are made plenty.
    return f"""{user}worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log stderr crit;
events {{ worker_connections {open_files() * 11 // 10}; }}
http {{
access_log off;
server_tokens off;
tcp_nodelay on;
client_max_body_size 0;
client_body_buffer_size 2m;
keepalive_requests 1000000000;
keepalive_timeout 600s;
{temporary}{http}
}}
"""


def nginx_command(directory: Path) -> list[str]:
    """The command that runs nginx on `directory/nginx.conf`."""
    program = find_program("nginx")
    if program is None:
        raise ProcessFailed("nginx is not installed")
    return [program, "-e", "stderr", "-p", str(directory), "-c", str(directory / "nginx.conf")]


def _answering(directory: Path, port: int) -> str:
    answer = traffic.canned_answer()
    inner = f"{directory}/inner.sock"
    return f"""
upstream inner {{ server unix:{inner}; keepalive 64; keepalive_requests 1000000000; }}
server {{ listen unix:{inner}; location / {{ default_type application/json; return 200 '{answer}'; }} }}
server {{
  listen 127.0.0.1:{port} backlog=4096;
  location / {{
    default_type application/json;
    if ($http_content_length ~ "^[0-9]{{0,4}}$") {{ return 200 '{answer}'; }}
    proxy_pass http://inner;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Content-Length 0;
    proxy_pass_request_body off;
  }}
}}"""


def start(processes: Processes, directory: Path, core: int) -> tuple[Upstreams, list[Spawned]]:
    """Start both upstreams and wait until they answer."""
    home = directory / "upstream"
    home.mkdir()
    ports = Upstreams(free_port(), free_port())
    traffic.write(home / "nginx.conf", nginx_frame(home, _answering(home, ports.plain_port)))
    spawned = [
        processes.spawn("upstream", nginx_command(home), core=core),
        processes.spawn(
            "sse-upstream", [sys.executable, str(LOAD / "sse_upstream.py"), str(ports.stream_port)], core=core
        ),
    ]
    for port, one in zip((ports.plain_port, ports.stream_port), spawned, strict=True):
        until_answering(f"http://127.0.0.1:{port}/health", one, limit_s=10)
    return ports, spawned


def set_pace(ports: Upstreams, chunks: int, interval_ms: int) -> None:
    """How many chunks the streams that start from now on have, and how far apart."""
    url = f"http://127.0.0.1:{ports.stream_port}/bench/pace?chunks={chunks}&interval_ms={interval_ms}"
    OPENER.open(url, timeout=10).read()


def until_answering(
    url: str, process: Spawned, *, limit_s: float, body: bytes | None = None, headers: dict[str, str] | None = None
) -> float:
    """Ask `url` until it answers 200; returns how long that took. Raises ProcessFailed past `limit_s`."""
    started = time.monotonic()
    problem = "no answer"
    while time.monotonic() - started < limit_s:
        request = urllib.request.Request(
            url, data=body, headers={"Content-Type": "application/json", **(headers or {})}
        )
        try:
            with OPENER.open(request, timeout=10) as answer:
                answer.read()
                if answer.status == 200:
                    return time.monotonic() - started
        except urllib.error.HTTPError as error:
            problem = f"status {error.code}: {error.read()[:300].decode(errors='replace')}"
        except OSError as error:
            problem = str(error)
        process.check_alive()
        time.sleep(0.004)
    raise ProcessFailed(f"{process.name} gave no answer in {limit_s:g} s ({problem}); its log ends: {process.tail()}")
