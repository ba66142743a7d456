"""`gatewright keys` as a program: what it prints where, and what it leaves behind."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gatewright.core.keys import is_whole

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
