"""What `serve` writes on the control process's command line is what the control process reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewright.cli.control_command import control_command, parse_options
from gatewright.providers.local import LocalModel
from gatewright.server.local_children import LocalChild

STATE = Path("/var/lib/gatewright")
FDS = ["--channel-fd", "3", "--telemetry-fd", "4", "--admin-fd", "5"]
CHILD = LocalChild(provider="laptop", model="smollm2", file=LocalModel(path="/models/m.gguf"), start_s=120.0, port=4711)


def test_everything_arrives() -> None:
    command = control_command(
        [Path("a.yaml"), Path("more")],
        overrides={"listen": "[::1]:80", "admin": "x=y:1"},
        local_children=[CHILD],
        state=STATE,
        unserved_budgets=["a", "--admin-fd", "b c"],
    )
    place = command.index("gatewright.cli.control")
    options = parse_options([*command[place + 1 :], *FDS])
    assert options.config == [Path("a.yaml"), Path("more")]
    assert options.overrides == {"listen": "[::1]:80", "admin": "x=y:1"}
    assert options.local_children == (CHILD,)
    assert options.state == STATE
    assert options.unserved_budget == ["a", "--admin-fd", "b c"]
    assert (options.channel_fd, options.telemetry_fd, options.admin_fd) == (3, 4, 5)


def test_without_a_file_there_is_little_to_say() -> None:
    command = control_command([], overrides={}, local_children=(), state=STATE)
    options = parse_options([*command[command.index("gatewright.cli.control") + 1 :], *FDS])
    assert (options.config, options.overrides, options.local_children) == ([], {}, ())
    assert options.unserved_budget == []


def test_descriptors_are_required() -> None:
    with pytest.raises(SystemExit):
        parse_options([])
