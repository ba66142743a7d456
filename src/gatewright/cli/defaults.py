"""`gatewright serve` without a configuration: what it finds, whom it serves, what it tells the person who started it.

Every provider type whose key is in the environment is published under its usual model names, the bundled models whose
weights are here under theirs. One development key is made at the first start; the state directory keeps its hash alone,
and only once the key was shown.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from gatewright import __version__
from gatewright.cli.exits import Exit, Failure
from gatewright.cli.key import KEY_BYTES, hash_key
from gatewright.pipeline.provider import AnyProviderType
from gatewright.providers.local import BUNDLED, LOCAL

KEY_PREFIX: Final = "gw-dev-"
KEY_FILE: Final = "development-key.json"
SOURCE: Final = "defaults.json"
"""Stands for the file of what is wrong in a default configuration."""

_LOCAL_PROVIDER: Final = "laptop"
_HINT_CHARACTERS: Final = 4


class DevelopmentKey(Struct, frozen=True, kw_only=True):
    """The one key of a gateway without a configuration."""

    hash: str
    """As the configuration holds it."""
    hint: str
    """The key's last characters, to recognise it by."""
    key: str | None = None
    """The key itself, only when it was made just now; then it is not kept yet."""


class _Stored(Struct, frozen=True):
    hash: str
    hint: str


def development_key(state: Path) -> DevelopmentKey:
    """The key of this state directory, or a new one when it keeps none. Raises Failure.

    A new one is forgotten unless `keep_key` is called.
    """
    file = state / KEY_FILE
    try:
        stored = msgspec.json.decode(file.read_bytes(), type=_Stored)
    except FileNotFoundError:
        return _make_key()
    except (OSError, msgspec.MsgspecError):
        raise Failure(f"{file} cannot be read", hint="remove it, and a new development key is made") from None
    return DevelopmentKey(hash=stored.hash, hint=stored.hint)


def keep_key(key: DevelopmentKey, state: Path) -> None:
    """Keep a key's hash for the next start. Call it once the key was shown, since it never is again. Raises OSError."""
    file = state / KEY_FILE
    fresh = file.with_suffix(".new")
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(msgspec.json.encode(_Stored(key.hash, key.hint)))
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


def default_document(
    environment: Mapping[str, str], providers: Sequence[AnyProviderType], local_models: Collection[str], key_hash: str
) -> dict[str, Any]:
    """A configuration as plain data, for `config.load` like any file's: keys are references, not values.

    `local_models` are the names of the bundled models that can run here. Raises Failure when there is nothing to serve.
    """
    found = [kind for kind in providers if kind.environment and environment.get(kind.environment)]
    entries: dict[str, Any] = {kind.name: {"type": kind.name, "key": f"${{env:{kind.environment}}}"} for kind in found}
    models: dict[str, Any] = {}
    if local_models:
        entries[_LOCAL_PROVIDER] = {"type": LOCAL.name}
        models = {name: {"targets": [{"provider": _LOCAL_PROVIDER, "model": name}]} for name in local_models}
    for kind in found:
        for pattern in kind.default_models:
            models.setdefault(pattern, {"targets": [{"provider": kind.name}]})
    if not entries:
        known = ", ".join(kind.environment for kind in providers if kind.environment)
        raise Failure(
            f"nothing to serve: no configuration, no provider key in the environment ({known}), no local model",
            code=Exit.USAGE,
            hint="fetch the local model with `gatewright local pull`, or write a configuration with `gatewright init`",
        )
    return {
        "providers": entries,
        "models": models,
        "consumers": {"development": {"teams": {"default": {"apps": {"default": {"keys": [key_hash]}}}}}},
    }


def render_default(document: Mapping[str, Any]) -> tuple[str, bytes]:
    """The document as a file for `config.load`: its name and its bytes."""
    return SOURCE, msgspec.json.encode(document)


def start_screen(
    document: Mapping[str, Any],
    providers: Sequence[AnyProviderType],
    key: DevelopmentKey,
    *,
    listen: str,
    admin: str,
    state: Path,
) -> str:
    """What a person sees once it serves: what is published, the key, a call to copy. `listen` is the bound address."""
    base = f"http://{listen}/v1"
    return "\n".join(
        [
            f"Gatewright {__version__} serves {base}  (health, metrics, admin API: http://{admin})",
            "",
            "There is no configuration file, so this is what was found:",
            *_published(document, providers),
            "",
            *_key_lines(key, state),
            "",
            *_snippets(base, _example_model(document, providers), key.key),
            "",
            "Next: `gatewright init` writes a configuration to edit; Ctrl-C stops.",
        ]
    )


def _make_key() -> DevelopmentKey:
    made = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    return DevelopmentKey(hash=hash_key(made), hint=made[-_HINT_CHARACTERS:], key=made)


def _published(document: Mapping[str, Any], providers: Sequence[AnyProviderType]) -> Iterator[str]:
    environments = {kind.name: kind.environment for kind in providers}
    width = max(len(name) for name in document["providers"])
    for name, entry in document["providers"].items():
        published = [model for model, at in document["models"].items() if at["targets"][0]["provider"] == name]
        origin = environments.get(entry["type"]) or "on this machine"
        yield f"  {name:<{width}}  {origin}: {', '.join(published)}"


def _key_lines(key: DevelopmentKey, state: Path) -> Iterator[str]:
    if key.key is not None:
        yield f"Development key, shown only now:  {key.key}"
        yield "  export GATEWRIGHT_KEY=" + key.key
    else:
        yield f"Development key: the one shown at the first start (it ends in {key.hint})."
        yield f"  If you have not got it, stop this, remove {state / KEY_FILE} and start again."


def _example_model(document: Mapping[str, Any], providers: Sequence[AnyProviderType]) -> str:
    for name in document["models"]:
        if name in BUNDLED and BUNDLED[name].kind == "chat":
            return str(name)
    examples = [kind.example_model for kind in providers if kind.name in document["providers"] and kind.example_model]
    return examples[0] if examples else next(iter(document["models"]), "MODEL")


def _snippets(base: str, model: str, key: str | None) -> Iterator[str]:
    shell_key = key or "$GATEWRIGHT_KEY"
    yield f"  curl {base}/chat/completions \\"
    yield f'    -H "Authorization: Bearer {shell_key}" -H "Content-Type: application/json" \\'
    yield f'    -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "Say hello."}}]}}\''
    yield ""
    python_key = f'"{key}"' if key else 'os.environ["GATEWRIGHT_KEY"]'
    yield "  import os" if key is None else "  # pip install openai"
    yield "  from openai import OpenAI"
    yield f'  client = OpenAI(base_url="{base}", api_key={python_key})'
    yield '  messages = [{"role": "user", "content": "Say hello."}]'
    yield f'  chat = client.chat.completions.create(model="{model}", messages=messages)'
    yield "  print(chat.choices[0].message.content)"
