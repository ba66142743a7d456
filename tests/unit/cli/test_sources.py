"""Files, folders, references: what is read, what is refused, and which changes are noticed."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from gatewright.cli.sources import MAX_SECRET_BYTES, FileSource, Resolver
from gatewright.config.load import MAX_FILE_BYTES
from gatewright.config.problems import InvalidConfig

PROVIDERS = 'providers: {up: {type: openai, key: "${env:UP_KEY}"}}\n'
MODELS = "models: {m: {targets: [{provider: up, model: x}]}}\n"


def source(*paths: Path, **overrides: str) -> FileSource:
    return FileSource(lambda: paths, environment={"UP_KEY": "sk-1"}, overrides=overrides)


def reasons(refused: FileSource) -> list[str]:
    with pytest.raises(InvalidConfig) as raised:
        refused.load()
    return [str(error) for error in raised.value.errors]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "gatewright.yaml"
    path.write_text(PROVIDERS + MODELS)
    return path


def test_a_file_is_read_and_its_references_resolved(file: Path) -> None:
    loaded = source(file).load()
    assert loaded.document is not None
    assert loaded.document.providers["up"]["key"].reveal() == "sk-1"
    assert loaded.locate("models.m") == (str(file), 2)


def test_the_command_line_overrides(file: Path) -> None:
    document = source(file, listen="127.0.0.1:9999").load().document
    assert document is not None
    assert document.listen == "127.0.0.1:9999"


def test_a_folder_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(PROVIDERS)
    (tmp_path / "b.json").write_text('{"models": {"m": {"targets": [{"provider": "up", "model": "x"}]}}}')
    (tmp_path / ".hidden.yaml").write_text("nonsense: 1\n")
    (tmp_path / "notes.txt").write_text("nonsense: 1\n")
    (tmp_path / "folder.yaml").mkdir()
    document = source(tmp_path).load().document
    assert document is not None
    assert list(document.models) == ["m"]


def test_what_cannot_be_read_is_told_together(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert reasons(source(tmp_path / "missing.yaml", empty)) == [
        f"{empty}: the folder holds no .yaml, .yml, .json file",
        f"{tmp_path}/missing.yaml: cannot be read: No such file or directory",
    ]


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    big = tmp_path / "big.yaml"
    with big.open("wb") as out:
        out.truncate(MAX_FILE_BYTES * 3)
    loaded = source(big).load()
    assert loaded.document is None
    assert "larger than 8 MiB" in str(loaded.errors[0])


def test_a_reference_to_a_file_gives_its_text(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("sk-2\n")
    resolve = Resolver({})
    assert resolve("file", str(secret)) == "sk-2\n"
    assert resolve("file", str(tmp_path / "absent")) is None
    assert resolve("env", "ABSENT") is None
    assert resolve.files == {secret, tmp_path / "absent"}


def test_a_secret_is_read_in_bounds(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    with secret.open("wb") as out:
        out.truncate(MAX_SECRET_BYTES + 1)
    with pytest.raises(ValueError, match="larger than"):
        Resolver({})("file", str(secret))


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    assert reasons(source(pipe)) == [f"{pipe}: cannot be read: not a regular file"]
    with pytest.raises(ValueError, match="not a regular file"):
        Resolver({})("file", str(pipe))


def test_nothing_changed(file: Path) -> None:
    watched = source(file)
    before = watched.fingerprint()
    watched.load()
    assert watched.fingerprint() == before


def test_a_write_in_place_and_a_replacement_are_noticed(file: Path) -> None:
    watched = source(file)
    first = watched.fingerprint()
    file.write_text(PROVIDERS + MODELS + "# more\n")
    second = watched.fingerprint()
    assert second != first
    other = file.with_suffix(".new")
    other.write_bytes(file.read_bytes())
    stamp = file.stat()
    os.utime(other, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    other.replace(file)
    assert watched.fingerprint() != second, "same size, same time, another inode"


def test_files_that_come_and_go_are_noticed(tmp_path: Path) -> None:
    watched = source(tmp_path)
    first = watched.fingerprint()
    (tmp_path / "a.yaml").write_text(PROVIDERS)
    second = watched.fingerprint()
    (tmp_path / "a.yaml").unlink()
    assert first != second
    assert watched.fingerprint() == first
    gone = source(tmp_path / "nowhere")
    assert gone.fingerprint() == gone.fingerprint()


def test_a_swapped_symlink_is_noticed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "g.yaml").write_text(PROVIDERS)
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "..data").symlink_to(tmp_path / "one")
    (folder / "g.yaml").symlink_to("..data/g.yaml")
    watched = source(folder)
    before = watched.fingerprint()
    (folder / "..new").symlink_to(tmp_path / "two")
    (folder / "..new").rename(folder / "..data")
    assert watched.fingerprint() != before


def test_a_referenced_file_that_changes_is_noticed(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("sk-1")
    config = tmp_path / "g.yaml"
    config.write_text(f'providers: {{up: {{type: openai, key: "${{file:{secret}}}"}}}}\n')
    watched = source(config)
    watched.load()
    before = watched.fingerprint()
    secret.write_text("sk-23")
    assert watched.fingerprint() != before


def test_budgets_are_left_out_of_their_own_file_only(tmp_path: Path) -> None:
    for name in ("budgets.json", "other.json"):
        policy = {"filter": "budget", "name": name[0], "config": {"usd": 1}}
        (tmp_path / name).write_bytes(msgspec.json.encode({"policies": [policy]}))
    source = FileSource(lambda: [tmp_path], environment={}, budgets=tmp_path / "budgets.json")
    assert source.budget_names() == ["b"]
    loaded = source.load(without=["b", "o"])
    assert loaded.document is not None
    assert [policy.name for policy in loaded.document.policies] == ["o"]
    assert FileSource(lambda: [tmp_path], environment={}).budget_names() == []
    assert FileSource(lambda: [tmp_path], environment={}, budgets=tmp_path / "gone").budget_names() == []
