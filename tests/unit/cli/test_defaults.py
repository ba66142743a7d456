import stat
from pathlib import Path
from typing import Any

import pytest

from gatewright.cli.defaults import (
    KEY_FILE,
    KEY_PREFIX,
    DevelopmentKey,
    default_document,
    development_key,
    keep_key,
    render_default,
    start_screen,
)
from gatewright.cli.exits import Failure
from gatewright.cli.key import hash_key
from gatewright.config.load import load
from gatewright.providers import PROVIDERS

HASH = "sha256:" + "0" * 64


def documented(environment: dict[str, str], *local_models: str) -> dict[str, Any]:
    return default_document(environment, PROVIDERS, local_models, HASH)


def kept_key(state: Path) -> DevelopmentKey:
    key = development_key(state)
    keep_key(key, state)
    return key


def test_the_key_is_told_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    first = kept_key(tmp_path / "state")
    assert first.key is not None
    assert first.key.startswith(KEY_PREFIX)
    assert first.hash == hash_key(first.key)
    file = tmp_path / "state" / KEY_FILE
    assert [entry.name for entry in file.parent.iterdir()] == [KEY_FILE]
    assert first.key not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = development_key(tmp_path / "state")
    assert (again.hash, again.hint, again.key) == (first.hash, first.key[-4:], None)


def test_a_key_that_is_not_kept_is_forgotten(tmp_path: Path) -> None:
    first, second = development_key(tmp_path), development_key(tmp_path)
    assert first.key != second.key
    assert list(tmp_path.iterdir()) == []


def test_a_broken_key_file_is_told(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("{")
    with pytest.raises(Failure) as failed:
        development_key(tmp_path)
    assert "remove it" in (failed.value.hint or "")


def test_a_state_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Failure, match="cannot be read"):
        development_key(tmp_path / "file" / "state")
    with pytest.raises(OSError, match="Not a directory"):
        keep_key(development_key(tmp_path), tmp_path / "file" / "state")


def test_keys_in_the_environment_become_providers_by_reference() -> None:
    document = documented({"OPENAI_API_KEY": "sk-secret"})
    assert document["providers"] == {"openai": {"type": "openai", "key": "${env:OPENAI_API_KEY}"}}
    assert document["models"]["gpt-*"] == {"targets": [{"provider": "openai"}]}


def test_local_models_are_published_under_their_names() -> None:
    document = documented({}, "smollm2", "embed")
    assert document["providers"] == {"laptop": {"type": "local"}}
    assert document["models"]["embed"] == {"targets": [{"provider": "laptop", "model": "embed"}]}


@pytest.mark.parametrize(
    ("environment", "local_models"),
    [({"OPENAI_API_KEY": "sk"}, ()), ({}, ("smollm2",)), ({"OPENAI_API_KEY": "sk"}, ("smollm2", "embed"))],
)
def test_what_is_found_is_a_configuration_without_a_fault(
    environment: dict[str, str], local_models: tuple[str, ...]
) -> None:
    file = render_default(documented(environment, *local_models))
    loaded = load([file], lambda scheme, name: environment[name])
    assert (loaded.errors, loaded.warnings) == ((), ())


@pytest.mark.parametrize("environment", [{}, {"OPENAI_API_KEY": ""}])
def test_with_nothing_to_serve_it_says_what_would_help(environment: dict[str, str]) -> None:
    with pytest.raises(Failure, match="OPENAI_API_KEY") as failed:
        documented(environment)
    assert "gatewright local pull" in (failed.value.hint or "")


def screen(document: dict[str, Any], key: DevelopmentKey, state: Path) -> str:
    return start_screen(document, PROVIDERS, key, listen="127.0.0.1:1234", admin="127.0.0.1:1235", state=state)


def test_the_first_screen_shows_the_key_and_calls_that_work(tmp_path: Path) -> None:
    key = development_key(tmp_path)
    text = screen(documented({"OPENAI_API_KEY": "sk-secret"}, "smollm2", "embed"), key, tmp_path)
    assert str(key.key) in text
    assert "curl http://127.0.0.1:1234/v1/chat/completions" in text
    assert '"model": "smollm2"' in text
    assert "OPENAI_API_KEY: gpt-*" in text
    assert "on this machine: smollm2, embed" in text
    assert "sk-secret" not in text


def test_later_screens_do_not_know_the_key(tmp_path: Path) -> None:
    made = kept_key(tmp_path).key
    text = screen(documented({}, "smollm2"), development_key(tmp_path), tmp_path)
    assert made is not None
    assert made not in text
    assert f"ends in {made[-4:]}" in text
    assert "$GATEWRIGHT_KEY" in text
    assert str(tmp_path / KEY_FILE) in text


@pytest.mark.parametrize(
    ("environment", "local_models", "example"),
    [({"OPENAI_API_KEY": "sk"}, (), "gpt-4.1-mini"), ({}, ("embed",), "embed")],
)
def test_the_call_names_a_model_that_is_there(
    environment: dict[str, str], local_models: tuple[str, ...], example: str, tmp_path: Path
) -> None:
    assert f'"model": "{example}"' in screen(
        documented(environment, *local_models), development_key(tmp_path), tmp_path
    )


def test_the_python_snippet_is_python(tmp_path: Path) -> None:
    for key in (kept_key(tmp_path), development_key(tmp_path)):
        lines = screen(documented({}, "smollm2"), key, tmp_path).splitlines()
        start = lines.index("  from openai import OpenAI")
        compile("\n".join(line.strip() for line in lines[start : start + 5]), "snippet", "exec")
