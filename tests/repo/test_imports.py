"""The import contract of pyproject.toml holds."""

from pathlib import Path

import pytest
from importlinter.cli import lint_imports


def test_rooms_import_only_what_they_may(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    code = lint_imports(cache_dir=str(root / ".import_linter_cache"))
    assert code == 0, capsys.readouterr().out
