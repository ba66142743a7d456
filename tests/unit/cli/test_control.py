"""The composition of the control process: what it reads again, and how a document becomes what is served."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from gatewright.cli.control import build_reading, check
from gatewright.cli.control_command import parse_options
from gatewright.config.load import load
from gatewright.config.problems import InvalidConfig
from gatewright.config.transport import decode
from gatewright.core.messages import Apply
from gatewright.providers.local import LocalModel
from gatewright.server.local_children import LocalChild
from gatewright.telemetry.log import Log

FDS = ["--state", "/nonexistent", "--channel-fd", "3", "--telemetry-fd", "4", "--admin-fd", "5"]
LOCAL = b"providers: {laptop: {type: local}}\nmodels: {small: {targets: [{provider: laptop, model: smollm2}]}}\n"
CHILD = LocalChild(provider="laptop", model="smollm2", file=LocalModel(path="/models/m.gguf"), start_s=120.0, port=4711)


def test_without_a_file_there_is_nothing_to_read() -> None:
    assert build_reading(parse_options(FDS), Log("control", stream=io.StringIO())) is None


def test_a_file_is_read_with_the_overrides(tmp_path: Path) -> None:
    file = tmp_path / "g.yaml"
    file.write_text('providers: {up: {type: openai_compatible, url: "http://127.0.0.1:1/v1"}}\n')
    options = parse_options([*FDS, "--config", str(file), "--override", "listen=127.0.0.1:4242"])
    reading = build_reading(options, Log("control", stream=io.StringIO()))
    assert reading is not None
    answer = reading.read()
    assert isinstance(answer, Apply)
    assert decode(answer.document).listen == "127.0.0.1:4242"


def test_local_models_are_bound_to_the_children_that_run() -> None:
    document = load([("g.yaml", LOCAL)], lambda scheme, name: None).document
    assert document is not None
    assert check(document, [CHILD], {}).providers["laptop/smollm2"]["url"] == "http://127.0.0.1:4711/v1"
    with pytest.raises(InvalidConfig, match="not running"):
        check(document, [], {})


def test_a_reload_serves_the_models_facts_as_the_start_did() -> None:
    text = b'providers: {a: {type: openai, key: "${env:K}"}}\nmodels: {gpt-4o: {targets: [{provider: a}]}}\n'
    document = load([("g.yaml", text)], lambda scheme, name: "sk-x").document
    assert document is not None
    assert list(check(document, [], {}).catalogue) == ["openai/gpt-4o"]
