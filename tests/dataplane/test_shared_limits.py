"""A limit is the gateway's, whichever worker a request lands on and whoever is replaced meanwhile."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from suite import KEY, build_config, render_chat

from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

LIMIT = 25


def test_two_workers_keep_one_limit() -> None:
    with ScriptedUpstream() as upstream:
        policies: list[Any] = [{"filter": "rate_limit", "config": {"requests": LIMIT, "per": "day"}}]
        config = build_config(
            {"up": {"url": upstream.url}}, {"m": {"targets": [{"provider": "up"}]}}, policies=policies
        )
        environment = {"UPSTREAM_KEY": KEY}
        with GatewayProcess(config, arguments=["--workers", "2"], environment=environment) as gateway:
            statuses = []
            for _ in range(3 * LIMIT):
                with gateway.connect() as client:  # a connection each, so that the kernel spreads them
                    statuses.append(client.send(render_chat("m")).receive().status)
            assert statuses.count(200) == LIMIT
            assert statuses.count(429) == 2 * LIMIT
            assert statuses[:LIMIT] == [200] * LIMIT, "nobody is refused while some of it is left"
            pids = {worker.pid for worker in gateway.workers()}
            assert len(pids) == 2
            for worker in gateway.workers():
                os.kill(worker.pid, signal.SIGKILL)
            gateway.wait_for(lambda: len({worker.pid for worker in gateway.workers()} - pids) == 2, 20)
            with gateway.connect() as client:
                assert client.send(render_chat("m")).receive().status == 429, "what was used stays used"
