"""Which models a request lets its provider run beside the one that it calls.

Vendors let a request name models to fall back to (OpenRouter's `models`: openrouter.ai/docs/features/model-routing;
Anthropic's `fallbacks`), a choice that is stored with them (`preset`), or models for their own tools (`tools[].model`
of image generation and advisors). For whoever may call every model that is all the same; for others it is a second
call. Such members are looked for where vendors put them: at the top, in members that only vendors know, and in tools;
not in the conversation, and not in JSON Schemas, whose names are the client's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from gatewright.core.exchange import Exchange
from gatewright.core.fields import KNOWN, Fields

_HOLDERS: Final = frozenset(
    ("tools", "options", "generationConfig", "generation_config", "additionalModelRequestFields")
)
"""Known members that may hold vendors' own."""
_INERT: Final = (KNOWN - _HOLDERS) | {"moderation"}
"""Members that choose no model. OpenAI's `moderation` names one that only looks at the words, and costs nothing."""
_NAMING: Final = ("model", "models", "modelid", "modelname", "fallbacks", "fallback", "lorapath", "adapterid")
"""How members end that name models, in small letters alone: `fallback_models`, `manualMode.modelName`."""
_OPAQUE: Final = frozenset(("preset", "route", "agent", "agentid"))
"""Members that choose a model without naming it."""
_CLIENTS_OWN: Final = frozenset(
    ("$defs", "definitions", "dependencies", "dependentrequired", "inputexamples", "examples", "default", "const")
)
_MAX_DEPTH: Final = 16
_decoder: Final = msgspec.json.Decoder(float_hook=lambda spelled: None)  # which may be any number: 1e400

Choice = tuple[str, str]
"""The request's member, and the model that it names; an empty name where only the vendor knows it."""


def find_choices(fields: Fields) -> list[Choice]:
    """The models that a request names beside `model`."""
    if _INERT.issuperset(fields):
        return []
    found: list[Choice] = []
    for member, raw in fields.items():
        if member in _INERT:
            continue
        spelled = bytes(raw)
        if member in _HOLDERS and b"odel" not in spelled and b"\\u" not in spelled:
            continue  # nearly all tools
        found += [(member, name) for name in _search({member: _plain(spelled)})]
    return found


def is_called_model(x: Exchange, name: str) -> bool:
    """Whether a provider's name is that of the model which the exchange calls anyway."""
    return x.model is not None and any((target.model or x.requested_model) == name for target in x.model.in_use())


def find_published(x: Exchange, name: str) -> str | None:
    """The published name or pattern that means the model which providers call `name`; None when there is none, or when
    what is published by this name is another model there."""
    model = x.snapshot.models.find(name) if name else None
    if model is None or any(target.model not in (None, name) for target in model.in_use()):
        return None
    published: str = model.name
    return published


def _plain(spelled: bytes) -> Any:
    try:
        return _decoder.decode(spelled)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"model": ""}  # it cannot be read here, so it could name whatever


def _search(value: Any, depth: int = 0) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        yield ""  # no API has anything so deep; it could be whatever
    elif isinstance(value, list):
        for item in value:
            yield from _search(item, depth + 1)
    elif isinstance(value, dict):
        for name, inner in value.items():
            word = name.casefold().replace("_", "").replace("-", "")
            if word in _OPAQUE:
                if inner is not None and inner is not False:
                    yield ""
            elif word.endswith(_NAMING):
                yield from _names(inner, depth + 1)
            elif isinstance(inner, dict | list) and not _is_clients_own(word):
                yield from _search(inner, depth + 1)


def _is_clients_own(word: str) -> bool:
    """Whether what a member holds is JSON Schema, or another object with names of the client's making."""
    return word in _CLIENTS_OWN or word.endswith(("properties", "schema", "schemas", "headers"))


def _names(value: Any, depth: int) -> Iterator[str]:
    """The models in the value of a member that names models."""
    if depth > _MAX_DEPTH:
        yield ""
    elif isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _names(item, depth + 1)
    elif isinstance(value, dict):
        # An object may say more of a model than its name: what else to change when falling back to it.
        named = [inner for name, inner in value.items() if name.casefold().endswith(_NAMING)]
        for inner in named or value.values():
            yield from _names(inner, depth + 1)
