import sys
from pathlib import Path

import pytest

from gatewright.cli.models_dir import models_dir, remember_models_dir


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "venv").mkdir()
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_users_cache_is_the_default(tmp_path: Path) -> None:
    assert models_dir() == tmp_path / "cache/gatewright/models"


def test_a_virtual_environment_remembers_its_folder(tmp_path: Path) -> None:
    remember_models_dir(tmp_path / "models")
    assert models_dir() == tmp_path / "cache/gatewright/models", "it does not exist"
    (tmp_path / "models").mkdir()
    assert models_dir() == tmp_path / "models"


def test_the_variable_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models").mkdir()
    remember_models_dir(tmp_path / "models")
    monkeypatch.setenv("GATEWRIGHT_MODELS", str(tmp_path / "chosen"))
    assert models_dir() == tmp_path / "chosen"


def test_a_system_python_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    remember_models_dir(tmp_path)
    assert list((tmp_path / "venv").iterdir()) == []


def test_an_environment_that_cannot_be_written_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "nowhere"))
    remember_models_dir(tmp_path)
    assert models_dir() == tmp_path / "cache/gatewright/models"
