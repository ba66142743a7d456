"""What of GatewayProcess can be told without a gateway; the data-plane suites run the rest."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import pytest

from gatewright.testing.gateway import GatewayProcess, free_port, key_hash


def test_keys_are_hashed_as_configurations_hold_them() -> None:
    assert key_hash("sk-1") == "sha256:" + hashlib.sha256(b"sk-1").hexdigest()


def test_addresses_are_chosen_unless_given(tmp_path: Path) -> None:
    gateway = GatewayProcess({"listen": "127.0.0.1:4001", "tls": {}}, directory=tmp_path)
    assert gateway.address == ("127.0.0.1", 4001)
    assert gateway.url == "https://127.0.0.1:4001/v1"
    assert gateway.admin_address[1] != 4001
    assert gateway.config["admin"] == f"127.0.0.1:{gateway.admin_address[1]}"
    gateway.write_config({"models": {}})
    assert gateway.config_file.read_text() == (
        '{"listen":"127.0.0.1:4001","admin":"%s","models":{}}' % gateway.config["admin"]  # noqa: UP031 - braces
    )


def test_what_does_not_run_has_no_pid_and_stops_at_once(tmp_path: Path) -> None:
    gateway = GatewayProcess({}, directory=tmp_path)
    with pytest.raises(RuntimeError, match="not started"):
        _ = gateway.pid
    assert gateway.stop() == 0
    gateway.kill()


@pytest.mark.sockets
def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))


@pytest.mark.sockets
def test_a_gateway_that_cannot_start_says_why() -> None:
    gateway = GatewayProcess({"nonsense": True}, ready_s=20)
    with pytest.raises(RuntimeError, match="did not become ready"):
        gateway.start()
