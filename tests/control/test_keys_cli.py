"""`gatewright keys` as a program: what it prints where, and what it leaves behind."""

import contextlib
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gatewright.core.keys import is_whole
from gatewright.testing.gateway import GatewayProcess

pytestmark = pytest.mark.sockets

PROGRAM = """
import sys
from gatewright.cli import main
main.COMMANDS = (("keys", "gatewright.cli.keys:app"), ("audit", "gatewright.cli.audit:app"))
sys.exit(main.run(sys.argv[1:]))
"""


def run(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *words, "--state", str(state)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        umask=0o022,
    )


def test_a_script_can_take_the_key_from_standard_output(tmp_path: Path) -> None:
    state = tmp_path / "state"
    made = run(state, "keys", "create", "acme/search/indexer", "--expires", "30d")
    assert made.returncode == 0, made.stderr
    assert is_whole(made.stdout.removesuffix("\n").encode())
    assert made.stdout.count("\n") == 1
    key_id = made.stdout[3:13]

    listed = run(state, "keys", "list", "--json")
    assert [key["id"] for key in msgspec.json.decode(listed.stdout)["keys"]] == [key_id]
    assert run(state, "keys", "revoke", key_id).stdout == f"gw-{key_id} is revoked\n"
    refused = run(state, "keys", "rotate", key_id)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "error: " in refused.stderr
    assert "Traceback" not in refused.stderr

    verified = run(state, "audit", "verify")
    assert verified.returncode == 0
    assert verified.stdout.startswith("2:")


def test_nobody_else_can_read_what_it_leaves_and_the_key_is_in_none_of_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    made = run(state, "keys", "create", "acme/search/indexer").stdout.strip()
    files = [Path(folder) / name for folder, _, names in os.walk(tmp_path) for name in names]
    assert {"secret", "gatewright.db"} <= {file.name for file in files}
    for file in (state, *files):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    assert not [file for file in files if made[14:].encode() in file.read_bytes()]


CALLS = (
    ("authorization", "Bearer {}"),
    ("x-api-key", "{}"),
    ("x-goog-api-key", "{}"),
    ("api-key", "{}"),
)


def request(header: tuple[str, str], key: str) -> bytes:
    name, value = header
    return f"GET /v1/models HTTP/1.1\r\nhost: x\r\n{name}: {value.format(key)}\r\n\r\n".encode()


def test_every_worker_hears_of_a_key_within_a_second() -> None:
    """On connections that stay open, so that nothing is learnt by connecting anew."""
    config: dict[str, Any] = {"consumers": {"acme": {"teams": {"search": {"apps": {"indexer": {}}}}}}}
    with GatewayProcess(config, arguments=["--workers", "2"]) as gateway, contextlib.ExitStack() as stack:
        gateway.wait_for(lambda: len(gateway.workers()) == 2)
        clients = [stack.enter_context(gateway.connect()) for _ in range(16)]

        def statuses(key: str) -> set[int]:
            found = set()
            for number, client in enumerate(clients):
                client.send(request(CALLS[number % len(CALLS)], key))
                found.add(client.receive("GET").status)
            return found

        made = run(gateway.state, "keys", "create", "acme/search/indexer")
        began = time.monotonic()
        key = made.stdout.strip()
        gateway.wait_for(lambda: statuses(key) == {200})
        assert time.monotonic() - began < 1.0
        assert statuses(key[:-1] + "!") == {401}

        assert run(gateway.state, "keys", "suspend", key[:13]).returncode == 0
        began = time.monotonic()
        gateway.wait_for(lambda: statuses(key) == {401})
        assert time.monotonic() - began < 1.0

        assert run(gateway.state, "keys", "resume", key[:13]).returncode == 0
        gateway.wait_for(lambda: statuses(key) == {200})
        assert run(gateway.state, "keys", "revoke", key[:13]).returncode == 0
        began = time.monotonic()
        gateway.wait_for(lambda: statuses(key) == {401})
        assert time.monotonic() - began < 1.0
