from pathlib import Path

import msgspec
import pytest

from gatewright.cli.loading import check_loaded, read_files
from gatewright.config.problems import InvalidConfig

LOCAL = {
    "providers": {"laptop": {"type": "local"}},
    "models": {"m": {"targets": [{"provider": "laptop", "model": "smollm2"}]}},
}


def write(folder: Path, document: object) -> Path:
    file = folder / "gatewright.yaml"
    file.write_bytes(msgspec.yaml.encode(document))
    return file


def test_references_are_resolved_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-x")
    file = write(tmp_path, {"providers": {"a": {"type": "openai", "key": "${env:MY_KEY}"}}})
    assert "a" in check_loaded(read_files(file, {})).written.providers


def test_values_of_the_command_line_override_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, {"listen": "127.0.0.1:1"})
    assert check_loaded(read_files(file, {"listen": "127.0.0.1:2"})).written.listen == "127.0.0.1:2"


def test_what_only_a_provider_knows_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("providers:\n  a:\n    type: openai_compatible\n")
    with pytest.raises(InvalidConfig) as refused:
        check_loaded(read_files(tmp_path / "a.yaml", {}))
    (error,) = refused.value.errors
    assert error.file == str(tmp_path / "a.yaml")
    assert error.line == 2
    assert "`url` is missing" in error.message


def test_errors_of_the_first_stage_are_all_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("listne: x\nmodels: 3\n")
    with pytest.raises(InvalidConfig) as refused:
        check_loaded(read_files(tmp_path / "a.yaml", {}))
    assert [error.line for error in refused.value.errors] == [1, 2]


def test_local_models_are_bound_to_their_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWRIGHT_MODELS", str(tmp_path))
    monkeypatch.setattr("gatewright.server.local_children.is_runtime_installed", lambda: True)
    (tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf").write_bytes(b"")
    checked = check_loaded(read_files(write(tmp_path, LOCAL), {}), lambda: 4711)
    assert [child.port for child in checked.local_children] == [4711]
    assert "laptop/smollm2" in checked.served.providers
    assert "laptop/smollm2" not in checked.written.providers


def test_missing_weights_are_an_error_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWRIGHT_MODELS", str(tmp_path / "nothing"))
    with pytest.raises(InvalidConfig, match="gatewright local pull"):
        check_loaded(read_files(write(tmp_path, LOCAL), {}))


def test_what_is_served_knows_the_models_it_goes_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-x")
    providers = {"a": {"type": "openai", "key": "${env:MY_KEY}"}}
    document = {"providers": providers, "models": {"gpt-4o": {"targets": [{"provider": "a"}]}}}
    checked = check_loaded(read_files(write(tmp_path, document), {}))
    assert list(checked.served.catalogue) == ["openai/gpt-4o"]
    assert checked.written.catalogue == {}


def test_a_row_of_the_catalogue_that_can_describe_nothing_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('catalogue:\n  opena/gpt-4o: {prices: {input: "1"}}\n')
    with pytest.raises(InvalidConfig) as refused:
        check_loaded(read_files(tmp_path / "a.yaml", {}))
    (error,) = refused.value.errors
    assert (error.path, error.line) == ("catalogue.opena/gpt-4o", 2)
