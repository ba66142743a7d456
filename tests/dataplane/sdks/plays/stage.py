"""One scripted upstream that is a provider of every dialect: the model's name says what it plays."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any, Final, cast
from urllib.parse import unquote

from plays import (
    anthropic_messages,
    bedrock_converse,
    cohere_chat,
    google_generate,
    ollama_chat,
    openai_chat,
    openai_responses,
)
from plays.facts import DONE, FAULT_TEXT, FAULTS, PLAYS, Play, Provider, Turn

from gatewright.testing import answers
from gatewright.testing.received import Received
from gatewright.testing.steps import Send, Step
from gatewright.testing.upstream import ScriptedUpstream

_MODULES: Final[tuple[ModuleType, ...]] = (
    openai_chat,
    openai_responses,
    anthropic_messages,
    google_generate,
    bedrock_converse,
    cohere_chat,
    ollama_chat,
)
PROVIDERS: Final = {provider.NAME: provider for provider in cast("tuple[Provider, ...]", _MODULES)}
"""By dialect."""
UNTRANSLATED: Final = frozenset(
    {(client, "openai.responses") for client in PROVIDERS if client != "openai.responses"}
    | {("openai.chat", "ollama.chat")}
)
"""Pairs that never meet: `openai` and `ollama` speak chat completions too, and are then asked in that."""
_IN_PATH: Final = re.compile(r"/(?:models|model)/([^/:]+)")
COUNT: Final = 42
"""How many tokens any input has, where the provider counts."""


def published(dialect: str, play: str) -> str:
    """The name under which the gateway publishes a play."""
    return f"{dialect.replace('.', '-').replace('_', '-')}-{play}"


class Stage:
    """Answers whatever it is asked and remembers what vendors would have refused."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self.complaints: list[str] = []
        """What was wrong with requests, in the vendors' words."""
        upstream.always(self._answer)

    def configure(self) -> dict[str, Any]:
        """Providers and models for a gateway's configuration."""
        address = f"http://{self._upstream.host}:{self._upstream.port}"
        return {
            "providers": {
                name.replace(".", "-").replace("_", "-"): {
                    "type": provider.TYPE,
                    "url": address + provider.BASE,
                    "key": "${env:UPSTREAM_KEY}",
                }
                for name, provider in PROVIDERS.items()
            },
            "models": {
                published(name, play): {
                    "targets": [{"provider": name.replace(".", "-").replace("_", "-"), "model": play}],
                    "attempts": 1,
                }
                for name in PROVIDERS
                for play in (*PLAYS, *FAULTS)
            },
        }

    def last_turn(self) -> Turn:
        """The conversation of the last request."""
        request = self._upstream.requests[-1]
        return _provider(request).read(request.json())

    def _answer(self, request: Received) -> tuple[Step, ...]:
        if request.path.endswith("/embeddings"):
            return answers.as_openai(request)
        provider = _provider(request)
        body = request.json()
        try:
            provider.check(body, request.path)
        except (ValueError, KeyError) as wrong:
            self.complaints.append(f"{provider.NAME}: {wrong!r}\n{request.body.decode()[:2000]}")
            return _error(provider, 400, f"The request is not valid: {wrong}")
        if "count" in request.path:
            return answers.reply(200, b'{"input_tokens":%d,"totalTokens":%d}' % (COUNT, COUNT))
        model = _model(request, body)
        match model:
            case "limited":
                return _error(provider, 429, FAULT_TEXT)
            case "broken":
                return _error(provider, 500, FAULT_TEXT)
        play = DONE if provider.read(body).results else PLAYS.get(model, PLAYS["text"])
        if not _is_stream(request, body):
            return answers.reply(200, provider.render(play, model))
        events = provider.render_stream(play, model)
        if model == "cut":
            events = _cut(provider, play, model)
        return _stream(provider, events)


def _provider(request: Received) -> Provider:
    return next(provider for provider in PROVIDERS.values() if request.path.startswith(provider.BASE + "/"))


def _model(request: Received, body: Any) -> str:
    named = _IN_PATH.search(request.path)
    return unquote(named[1]) if named else str(body["model"])


def _is_stream(request: Received, body: Any) -> bool:
    return bool(body.get("stream")) or "stream" in request.path.rpartition("/")[2].lower()


def _cut(provider: Provider, play: Play, model: str) -> list[bytes]:
    """Everything up to the first word, then the failure."""
    word = play.words[0].encode()
    for count, event in enumerate(provider.render_stream(play, model), 1):
        if word in event or b"Gr\\u00fcezi" in event:
            return [*provider.render_stream(play, model)[:count], provider.fault_event()]
    raise LookupError(word)


def _error(provider: Provider, status: int, message: str) -> tuple[Step, ...]:
    body, headers = provider.error(status, message)
    return answers.reply(status, body, headers=[("content-type", "application/json"), *headers])


def _stream(provider: Any, events: list[bytes]) -> tuple[Step, ...]:
    head = answers.render_head(200, [("content-type", provider.STREAM_TYPE), ("transfer-encoding", "chunked")])
    return Send(head), *(Send(answers.chunk(event)) for event in events), Send(answers.LAST_CHUNK)
