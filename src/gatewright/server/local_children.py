"""Which local models run, on which ports, and how a document comes to know them.

At boot the supervisor's process plans one child per local model that a target names (`plan_local_children`) and keeps
its port reserved. Every document that is served afterwards, the first and each reload, is bound to these children
(`bind_local_models`): a target at the `local` provider `laptop` with the model `smollm2` goes to a provider of its own,
`laptop/smollm2`, whose `url` is the child's. Operators cannot write such a name, so nothing collides. A reload that
wants a local model no child serves is refused: no request and no document starts a process.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from gatewright.config.check import convert
from gatewright.config.documents import Gateway, Target
from gatewright.config.problems import ConfigError, InvalidConfig
from gatewright.config.tree import join
from gatewright.providers.local import BUNDLED, Config, LocalModel, is_local, models_of
from gatewright.server.children import ServiceSpec, python_command

_MAX_CONNECTIONS: Final = 64
"""Per worker to one child, which gives each connection a thread; more requests wait in the worker."""
_PROBE_S: Final = 2.0
_TURN_S: Final = 600.0
"""How long a request may wait for its turn there; a small machine answers slowly but it does answer."""


class LocalChild(Struct, frozen=True, kw_only=True):
    """One local model as a process."""

    provider: str
    """Name of the `local` provider in the document."""
    model: str
    file: LocalModel
    start_s: float
    """How long it may take to load."""
    port: int

    @property
    def name(self) -> str:
        """What the process and its provider are called: `laptop/smollm2`."""
        return f"{self.provider}/{self.model}"

    @property
    def url(self) -> str:
        """Base URL of the process."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def argv(self) -> tuple[str, ...]:
        """The command; the process ends when its standard input does."""
        return python_command(
            "gatewright.server.local_model",
            *("--name", self.model, "--model", self.file.path, "--kind", self.file.kind),
            *("--context-tokens", str(self.file.context_tokens), "--port", str(self.port)),
        )

    @property
    def service(self) -> ServiceSpec:
        """What the supervisor keeps running."""
        return ServiceSpec(
            name=self.name, argv=self.argv, is_ready=partial(is_answering, self.port), start_s=self.start_s
        )


class ReservedPorts:
    """Loopback ports that stay ours until closed: bound but not listened on, so only this user's processes may join."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def __call__(self) -> int:
        """Reserve one more."""
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        self._sockets.append(held)
        port: int = held.getsockname()[1]
        return port

    def close(self) -> None:
        """Give them all back."""
        for held in self._sockets:
            held.close()


def plan_local_children(document: Gateway, folder: Path, reserve: Callable[[], int]) -> tuple[LocalChild, ...]:
    """One child for each local model a target names, in the document's order; none when there is no such target.

    `folder` holds the bundled weights; `reserve` gives a free loopback port. Raises InvalidConfig with every model that
    is unknown or cannot run here.
    """
    errors: list[ConfigError] = []
    wanted: dict[tuple[str, str], tuple[LocalModel, Config]] = {}
    for path, name, target in _local_targets(document):
        config = _config_of(document.providers[target.provider])
        if config is None:
            continue  # what is wrong with the provider's entry is told by the trial build
        models = models_of(config, str(folder))
        model = target.model or name
        if model not in models:
            errors.append(ConfigError(f"{path}.model", _unknown(target.provider, model, list(models))))
        elif (target.provider, model) not in wanted:
            wanted[target.provider, model] = models[model], config
    for (provider, model), (file, _) in wanted.items():
        if not Path(file.path).is_file():
            errors.append(ConfigError(join("providers", provider), _missing(model, file, folder)))
    if wanted and not is_runtime_installed():
        message = "local models need llama.cpp; install it with: pip install 'gatewright[local]'"
        errors.append(ConfigError(join("providers", next(iter(wanted))[0]), message))
    if errors:
        raise InvalidConfig(errors)
    return tuple(
        LocalChild(provider=provider, model=model, file=file, start_s=config.start_s, port=reserve())
        for (provider, model), (file, config) in wanted.items()
    )


def bind_local_models(document: Gateway, children: Sequence[LocalChild]) -> Gateway:
    """The document with every local target sent to the child that serves it; what is not local stays as it is.

    Raises InvalidConfig for each target whose model has no child, or whose file differs from the one that is running.
    """
    errors: list[ConfigError] = []
    running = {(child.provider, child.model): child for child in children}
    bound: dict[str, LocalChild] = {}
    for path, name, target in _local_targets(document):
        child = running.get((target.provider, target.model or name))
        if child is None or _is_changed(document.providers[target.provider], child):
            what = target.model or name
            message = f"the local model `{what}` is not running as this asks; local models start with the gateway only"
            errors.append(ConfigError(f"{path}.model", f"{message}, so restart it (`gatewright serve`)"))
        else:
            bound[child.name] = child
    if errors:
        raise InvalidConfig(errors)
    providers = dict(document.providers)
    for child in bound.values():
        providers[child.name] = _provider_entry(document.providers[child.provider], child)
    models = {
        name: msgspec.structs.replace(
            model,
            targets=[_bind(document, name, target) for target in model.targets],
            fallback=[_bind(document, name, target) for target in model.fallback],
        )
        for name, model in document.models.items()
    }
    return msgspec.structs.replace(document, providers=providers, models=models)


async def is_answering(port: int) -> bool:
    """Whether a child has loaded its model and takes requests. Raises OSError while nobody listens."""
    async with asyncio.timeout(_PROBE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
            return (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        finally:
            writer.close()


def render_children(children: Sequence[LocalChild]) -> str:
    """The children as text, for the command line of the process that reads the configuration again."""
    return msgspec.json.encode(children).decode()


def parse_children(text: str) -> tuple[LocalChild, ...]:
    """The children from `render_children`'s text. Raises msgspec.DecodeError on anything else."""
    return _decoder.decode(text)


def is_runtime_installed() -> bool:
    """Whether llama.cpp is there to run models with."""
    return find_spec("xllamacpp") is not None


def installed_models(folder: Path) -> tuple[str, ...]:
    """Names of the bundled models that could be served now."""
    if not is_runtime_installed():
        return ()
    return tuple(name for name, model in BUNDLED.items() if (folder / model.file).is_file())


def _local_targets(document: Gateway) -> Iterator[tuple[str, str, Target]]:
    """Each target at a `local` provider: its path, the published model's name, itself."""
    for name, model in document.models.items():
        for key, targets in (("targets", model.targets), ("fallback", model.fallback)):
            for index, target in enumerate(targets):
                if is_local(document.providers.get(target.provider, {})):
                    yield f"{join('models', name)}.{key}[{index}]", name, target


def _config_of(provider: dict[str, Any]) -> Config | None:
    config, _ = convert(provider, Config)
    return config


def _is_changed(provider: dict[str, Any], child: LocalChild) -> bool:
    config = _config_of(provider)
    own = config.models.get(child.model) if config is not None else None
    return own is not None and own != child.file


def _provider_entry(provider: dict[str, Any], child: LocalChild) -> dict[str, Any]:
    timeouts = {"connect_s": _TURN_S} | (provider.get("timeouts") or {})
    chosen = {"max_connections": _MAX_CONNECTIONS} | provider
    return chosen | {
        "url": child.url,
        "timeouts": timeouts,
        "models": {child.model: msgspec.to_builtins(child.file)},
        # Never through the egress proxy of the environment: it is this machine.
        "proxy": "none",
    }


def _bind(document: Gateway, name: str, target: Target) -> Target:
    if not is_local(document.providers.get(target.provider, {})):
        return target
    model = target.model or name
    return msgspec.structs.replace(target, provider=f"{target.provider}/{model}", model=model)


def _unknown(provider: str, model: str, known: Sequence[str]) -> str:
    names = ", ".join(known)
    if model.endswith("*"):
        return f"the local provider `{provider}` passes no names through; name one of its models: {names}"
    return f"the local provider `{provider}` has no model `{model}`, only {names}; others go under its `models`"


def _missing(model: str, file: LocalModel, folder: Path) -> str:
    if model in BUNDLED and file.path == f"{folder}/{BUNDLED[model].file}":
        return f"the weights of `{model}` are not in {folder}; fetch them once with: gatewright local pull"
    return f"the file of `{model}` does not exist: {file.path}"


_decoder: Final = msgspec.json.Decoder(tuple[LocalChild, ...])
