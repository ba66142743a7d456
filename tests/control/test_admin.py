"""The control plane of a real gateway: probes, metrics and the access log, also when the control process is killed."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gatewright.cli.state import default_state_dir
from gatewright.telemetry.access_line import AccessLine
from gatewright.testing.client import RawClient
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

MAX_CONTROL_BYTES = 120 * 1024 * 1024
BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hello"}]}'


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


def config(provider: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    return {
        "providers": {"up": {"type": "openai_compatible", "url": provider.url}},
        "models": {"m": {"targets": [{"provider": "up", "model": "scripted-1"}]}},
        "log": {"access": "json"},
        **more,
    }


@pytest.fixture
def gateway(provider: ScriptedUpstream) -> Iterator[GatewayProcess]:
    with GatewayProcess(config(provider)) as running:
        yield running


def ask(gateway: GatewayProcess, times: int, body: bytes = BODY) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: %s:%d\r\ncontent-length: %d\r\n"
    head += b"content-type: application/json\r\n\r\n"
    host, port = gateway.address
    with RawClient(gateway.address) as client:
        for _ in range(times):
            client.send(head % (host.encode(), port, len(body)) + body)
            client.receive()


def metric(gateway: GatewayProcess, name: str, **labels: str) -> float:
    """The sum of all samples of a name that carry these labels."""
    text = gateway.admin("/metrics")[1].decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def until_ready(gateway: GatewayProcess, holds: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until `/readyz` says something; control may be down meanwhile."""

    def is_so() -> bool:
        try:
            return holds(msgspec.json.decode(gateway.admin("/readyz")[1]))
        except OSError:
            return False

    gateway.wait_for(is_so, timeout_s=20)


def control_pid(gateway: GatewayProcess) -> int:
    return next(process.pid for process in gateway.processes() if process.role == "control")


def test_probes_and_errors(gateway: GatewayProcess) -> None:
    assert gateway.admin("/livez") == (200, b'{"status":"alive"}')
    status, body = gateway.admin("/readyz")
    assert (status, msgspec.json.decode(body)["workers"]) == (200, {"ready": 1, "wanted": 1})
    assert msgspec.json.decode(gateway.admin("/version")[1])["name"] == "gatewright"
    assert gateway.admin("/v1/models")[0] == 404


def test_a_probe_by_head_gets_no_body_and_keeps_its_connection(gateway: GatewayProcess) -> None:
    connection = http.client.HTTPConnection(*gateway.admin_address, timeout=5)
    with contextlib.closing(connection):
        for path in ("/livez", "/readyz", "/version", "/metrics", "/livez"):
            connection.request("HEAD", path)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b""), path
            assert int(answer.headers["content-length"]) > 0
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b'{"status":"alive"}', "nothing of the answers before is in the way"


def test_every_exchange_is_counted_and_logged_once(gateway: GatewayProcess) -> None:
    ask(gateway, 5)
    ask(gateway, 2, BODY.replace(b'"m"', b'"absent"'))
    gateway.wait_for(lambda: len(gateway.access_log()) == 7)
    lines = [msgspec.convert(line, AccessLine) for line in gateway.access_log()]
    assert [line.status for line in lines] == [200] * 5 + [404] * 2
    assert {line.kind for line in lines[5:]} == {"model_not_found"}
    good = lines[0]
    assert (good.model, good.provider, good.upstream_model) == ("m", "up", "scripted-1")
    assert (good.input_tokens, good.output_tokens, good.attempts) == (9, 5, 1)
    assert 0 < good.gateway_ms <= good.total_ms
    assert metric(gateway, "gatewright_exchanges_total", model="m", status="200") == 5
    assert metric(gateway, "gatewright_exchanges_total", kind="model_not_found") == 2
    assert metric(gateway, "gatewright_exchanges_total", model="absent") == 0, "a name that a client made up"
    assert metric(gateway, "gatewright_tokens_total", kind="input") == 45
    assert metric(gateway, "gatewright_exchange_duration_seconds_count") == 7
    assert metric(gateway, "gatewright_worker_resident_bytes", worker="1") > 1_000_000


def test_metrics_resume_and_no_line_is_lost_when_control_is_killed(gateway: GatewayProcess) -> None:
    ask(gateway, 20)
    gateway.wait_for(lambda: len(gateway.access_log()) == 20)
    before = control_pid(gateway)
    os.kill(before, signal.SIGKILL)
    ask(gateway, 30)
    gateway.wait_for(lambda: len(gateway.access_log()) == 50, timeout_s=20)
    assert len({line["id"] for line in gateway.access_log()}) == 50
    until_ready(gateway, lambda ready: ready["ready"])
    assert control_pid(gateway) != before
    assert metric(gateway, "gatewright_exchanges_total") == 30
    assert metric(gateway, "gatewright_process_restarts_total", child="control") == 1
    assert metric(gateway, "gatewright_process_restarts_total", child="worker-1") == 0


def test_what_was_recorded_last_is_printed_before_the_end(provider: ScriptedUpstream, tmp_path: Path) -> None:
    with GatewayProcess(config(provider), directory=tmp_path) as gateway:
        ask(gateway, 25)
        assert gateway.stop() == 0
        assert len(gateway.access_log()) == 25


def test_a_changed_file_is_served_without_being_asked_and_a_bad_one_is_not(
    gateway: GatewayProcess, provider: ScriptedUpstream
) -> None:
    until_ready(gateway, lambda ready: ready["version"] == 1)
    gateway.write_config({**config(provider), "models": {"m": {"targets": [{"provider": "nobody"}]}}})
    until_ready(gateway, lambda ready: "models.m.targets[0].provider" in ready["refused_reload"])
    assert metric(gateway, "gatewright_configuration_refused") == 1
    assert "gatewright.yaml" in gateway.stderr()
    ask(gateway, 1)
    assert gateway.admin("/readyz")[0] == 200, "the old configuration serves"
    gateway.write_config(config(provider, limits={"connections": 77}))
    until_ready(gateway, lambda ready: ready["version"] == 2 and ready["refused_reload"] == "")
    assert metric(gateway, "gatewright_configuration_refused") == 0
    assert metric(gateway, "gatewright_configuration_version") == 2


def test_a_file_that_changed_while_control_was_down_is_read(
    gateway: GatewayProcess, provider: ScriptedUpstream
) -> None:
    os.kill(control_pid(gateway), signal.SIGKILL)
    gateway.write_config(config(provider, limits={"connections": 78}))
    until_ready(gateway, lambda ready: ready["version"] == 2)


def test_the_access_log_follows_the_configuration(gateway: GatewayProcess, provider: ScriptedUpstream) -> None:
    gateway.write_config(config(provider, log={"access": "text"}))
    gateway.signal(signal.SIGHUP)
    until_ready(gateway, lambda ready: ready["version"] == 2)
    ask(gateway, 1)
    gateway.wait_for(lambda: " 200 chat_completions m → up/scripted-1 " in gateway.stdout())


def test_the_reload_command_reaches_the_gateway(provider: ScriptedUpstream, tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert state != default_state_dir("127.0.0.1:8080")
    with GatewayProcess(config(provider), arguments=["--state", str(state)]) as gateway:
        gateway.write_config(config(provider, limits={"connections": 79}))
        run = [sys.executable, "-c", "import sys; from gatewright.cli.main import main; sys.exit(main())", "reload"]
        subprocess.run([*run, "--state", str(state)], check=True, capture_output=True, timeout=20)
        until_ready(gateway, lambda ready: ready["version"] == 2)
        (before,) = gateway.workers()
        subprocess.run([*run, "--workers", "--state", str(state)], check=True, capture_output=True, timeout=20)
        gateway.wait_for(lambda: [p.pid for p in gateway.workers()] not in ([before.pid], []), timeout_s=20)
        gateway.wait_for(lambda: before.pid not in [p.pid for p in gateway.workers()], timeout_s=20)
        ask(gateway, 1)


def test_control_stays_small(gateway: GatewayProcess) -> None:
    ask(gateway, 50)
    for _ in range(20):
        gateway.admin("/metrics")
    resident = next(process.resident_bytes for process in gateway.processes() if process.role == "control")
    assert resident < MAX_CONTROL_BYTES


def test_a_reader_that_went_away_does_not_stop_the_metrics(provider: ScriptedUpstream, tmp_path: Path) -> None:
    """Standard output is a pipe that nobody reads any more."""
    with GatewayProcess(config(provider)) as found:
        written = found.config
    file = tmp_path / "gatewright.json"
    file.write_bytes(msgspec.json.encode(written))
    command = [sys.executable, "-c", "import sys; from gatewright.cli.main import main; sys.exit(main())", "serve"]
    options = ["--config", str(file), "--state", str(tmp_path / "state")]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        process.stdout.close()
        found.wait_for(lambda: is_answered(found, "/readyz"), timeout_s=20)
        ask(found, 3)
        found.wait_for(lambda: metric(found, "gatewright_exchanges_total") == 3)
        found.wait_for(lambda: metric(found, "gatewright_access_log_lost_lines_total") == 3)
    finally:
        process.terminate()
        assert process.wait(20) == 0


def is_answered(gateway: GatewayProcess, path: str) -> bool:
    try:
        return gateway.admin(path)[0] == 200
    except OSError:
        return False
