"""Machine code is run only if it is there whole, and of exactly these sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gatewright import compiled

MODULE = "gatewright.core.cells"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for machine code, with that of one module in it."""
    monkeypatch.setattr(compiled, "NATIVE", tmp_path)
    monkeypatch.setattr(compiled, "MANIFEST", tmp_path / "manifest.json")
    compiled.MANIFEST.write_bytes(compiled.render_manifest({MODULE: compiled.digest_of(MODULE)}))
    for module in (MODULE, compiled.LIBRARY):
        compiled.native_file(module).touch()
    return tmp_path


def test_what_is_of_these_sources_is_found(folder: Path) -> None:
    assert compiled.find_compiled() == {
        module: str(compiled.native_file(module)) for module in (MODULE, compiled.LIBRARY)
    }


@pytest.mark.parametrize("module", [MODULE, compiled.LIBRARY])
def test_what_is_not_whole_is_not_used(folder: Path, module: str) -> None:
    compiled.native_file(module).unlink()
    assert compiled.find_compiled() == {}


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{", b'{"gatewright.core.cells":"0"}', b'{"gatewright.gone":"0"}'])
def test_what_is_of_other_sources_is_not_used(folder: Path, manifest: bytes) -> None:
    compiled.MANIFEST.write_bytes(manifest)
    assert compiled.find_compiled() == {}


def test_where_nothing_was_compiled_the_sources_run(folder: Path) -> None:
    compiled.MANIFEST.unlink()
    assert compiled.find_compiled() == {}


def test_the_switch_has_the_sources_run() -> None:
    """These tests themselves are run so, since they replace parts of the modules that machine code would not miss."""
    done = subprocess.run(
        [sys.executable, "-c", "import gatewright; print(gatewright.IS_COMPILED)"],
        env={**os.environ, compiled.SWITCH: "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
