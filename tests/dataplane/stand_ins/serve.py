"""Runs a supervisor over stand-in children: `serve.py PLAN`, a JSON object with the members of `Plan` that differ."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from gatewright.server.children import ServiceSpec
from gatewright.server.supervisor import Plan, Supervisor
from gatewright.telemetry.log import Log

HERE = Path(__file__).parent


def main() -> int:
    given = msgspec.json.decode(sys.argv[1])
    services = tuple(ServiceSpec(name=name, argv=tuple(argv)) for name, argv in given.pop("services", {}).items())
    plan = Plan(
        listen=given.pop("listen", "127.0.0.1:0"),
        admin=given.pop("admin", "127.0.0.1:0"),
        document=given.pop("document", "first").encode(),
        worker_command=tuple(given.pop("worker", (sys.executable, str(HERE / "worker.py")))),
        control_command=tuple(given.pop("control", (sys.executable, str(HERE / "control.py")))),
        services=services,
        **given,
    )
    supervisor = Supervisor(plan, Log("supervisor"), on_ready=lambda *bound: print(*bound, flush=True))
    return asyncio.run(supervisor.run())


if __name__ == "__main__":
    sys.exit(main())
