"""The supervisor's own contract: exit codes, and what a child is started with. Its life is in tests/dataplane."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path

import msgspec
import pytest

from gatewright.server import supervisor as module
from gatewright.server.children import ServiceSpec
from gatewright.server.sockets import bind_listeners, render_address
from gatewright.server.supervisor import EXIT_FAILURE, Plan, Supervisor
from gatewright.telemetry.log import Log

pytestmark = pytest.mark.sockets

FAIL = (sys.executable, "-S", "-c", "raise SystemExit(1)")
DEAF = (sys.executable, "-S", "-c", "import time; time.sleep(60)")
"""It would not see its channel end."""


def test_an_address_in_use_is_one_line_and_a_failure() -> None:
    log = io.StringIO()
    (taken,) = bind_listeners("127.0.0.1:0", 1)
    with taken:
        plan = Plan(
            document=b"",
            listen="127.0.0.1:0",
            admin=render_address(taken),
            worker_command=FAIL,
            control_command=FAIL,
        )
        assert asyncio.run(Supervisor(plan, Log("supervisor", stream=log)).run()) == EXIT_FAILURE
    (line,) = log.getvalue().splitlines()
    assert "another process listens there" in msgspec.json.decode(line)["event"]


def test_children_are_told_their_place_and_their_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORKERS_FIRST_S", 0.0)
    heard = tmp_path / "argv"
    record = f"import sys; open({str(heard)!r}, 'a').write(repr(sys.argv[1:]) + chr(10)); raise SystemExit(1)"
    plan = Plan(
        document=b"",
        listen="127.0.0.1:0",
        admin="127.0.0.1:0",
        workers=1,
        worker_command=(sys.executable, "-S", "-c", record, "worker"),
        control_command=(sys.executable, "-S", "-c", record, "control"),
    )
    assert asyncio.run(Supervisor(plan, Log("supervisor", stream=io.StringIO())).run()) == EXIT_FAILURE
    lines = [eval(line) for line in heard.read_text().splitlines()]
    worker = next(line for line in lines if line[0] == "worker")
    control = next(line for line in lines if line[0] == "control")
    assert worker[1:3] == ["--slot", "1"]
    assert set(worker[3::2]) == {"--listen-fd", "--telemetry-fd", "--channel-fd"}
    assert set(control[1::2]) == {"--admin-fd", "--telemetry-fd", "--channel-fd"}


@pytest.mark.parametrize(("start_s", "is_killed"), [(0.01, True), (60.0, False)])
def test_a_service_has_its_own_time_to_get_ready_and_is_not_waited_for_when_it_is_not(
    start_s: float, is_killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WORKERS_FIRST_S", 0.0)
    monkeypatch.setattr(module, "STARTS_TO_GIVE_UP", 3)

    async def never() -> bool:
        return False

    log = io.StringIO()
    plan = Plan(
        document=b"",
        listen="127.0.0.1:0",
        admin="127.0.0.1:0",
        worker_command=FAIL,
        control_command=FAIL,
        services=(ServiceSpec(name="loading", argv=DEAF, is_ready=never, start_s=start_s),),
    )
    assert asyncio.run(Supervisor(plan, Log("supervisor", stream=log)).run()) == EXIT_FAILURE
    events = [msgspec.json.decode(line) for line in log.getvalue().splitlines()]
    killed = [event["after_s"] for event in events if event["event"] == "not ready in time; killed"]
    assert set(killed) == ({start_s} if is_killed else set())
    assert not any(event["event"] == "did not end in time; killed" for event in events)
