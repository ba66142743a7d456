"""The composition of the control process: what it reads again, and how a document becomes what is served."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest

from gatewright.cli.control import build_reading, check
from gatewright.cli.control_command import parse_options
from gatewright.config.load import load
from gatewright.config.problems import InvalidConfig
from gatewright.config.transport import decode
from gatewright.control.managed_sources import budgets_file, configuration_file, default_file, write_file
from gatewright.core.messages import Apply, Rejected
from gatewright.providers.local import LocalModel
from gatewright.server.local_children import LocalChild
from gatewright.telemetry.log import Log

FDS = ["--state", "/nonexistent", "--channel-fd", "3", "--telemetry-fd", "4", "--admin-fd", "5"]
LOCAL = b"providers: {laptop: {type: local}}\nmodels: {small: {targets: [{provider: laptop, model: smollm2}]}}\n"
CHILD = LocalChild(provider="laptop", model="smollm2", file=LocalModel(path="/models/m.gguf"), start_s=120.0, port=4711)


def test_without_a_file_it_serves_what_was_found_or_the_version_that_was_applied(tmp_path: Path) -> None:
    options = parse_options([*FDS, "--state", str(tmp_path)])
    write_file(default_file(tmp_path), b'{"listen": "127.0.0.1:4001"}')
    reading = build_reading(options, Log("control", stream=io.StringIO()))
    answer = reading.read()
    assert isinstance(answer, Apply)
    assert decode(answer.document).listen == "127.0.0.1:4001"
    write_file(configuration_file(tmp_path), b"listen: 127.0.0.1:4002")
    answer = reading.read()
    assert isinstance(answer, Apply)
    assert decode(answer.document).listen == "127.0.0.1:4002"


def test_managed_budgets_are_added_to_the_files(tmp_path: Path) -> None:
    file = tmp_path / "g.yaml"
    file.write_text("listen: 127.0.0.1:4003\n")
    options = parse_options([*FDS, "--state", str(tmp_path), "--config", str(file)])
    budget = {"filter": "budget", "name": "b", "config": {"usd": 1}}
    write_file(budgets_file(tmp_path), msgspec.json.encode({"policies": [budget]}))
    answer = build_reading(options, Log("control", stream=io.StringIO())).read()
    assert isinstance(answer, Apply)
    assert [policy.name for policy in decode(answer.document).policies] == ["b"]


def test_a_budget_that_the_gateway_started_without_stands_in_nobodys_way(tmp_path: Path) -> None:
    file = tmp_path / "g.yaml"
    budget = {"filter": "budget", "name": "b", "config": {"usd": 1}}
    file.write_bytes(msgspec.json.encode({"policies": [budget]}))
    write_file(budgets_file(tmp_path), msgspec.json.encode({"policies": [budget, {**budget, "name": "c"}]}))
    options = [*FDS, "--state", str(tmp_path), "--config", str(file)]
    log = Log("control", stream=io.StringIO())
    assert isinstance(build_reading(parse_options(options), log).read(), Rejected)
    answer = build_reading(parse_options([*options, "--unserved-budget=b"]), log).read()
    assert isinstance(answer, Apply)
    assert sorted(str(policy.name) for policy in decode(answer.document).policies) == ["b", "c"]


def test_a_file_is_read_with_the_overrides(tmp_path: Path) -> None:
    file = tmp_path / "g.yaml"
    file.write_text('providers: {up: {type: openai_compatible, url: "http://127.0.0.1:1/v1"}}\n')
    options = parse_options([*FDS, "--config", str(file), "--override", "listen=127.0.0.1:4242"])
    reading = build_reading(options, Log("control", stream=io.StringIO()))
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
