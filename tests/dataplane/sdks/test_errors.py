"""What goes wrong reaches each vendor's SDK as the exception that SDK has for it, whatever API the provider speaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import anthropic
import cohere
import cohere.core
import ollama
import openai
import pytest
from botocore.exceptions import ClientError
from clients.all import CLIENTS
from clients.told import Failed
from google.genai import errors as google
from plays.facts import FAULT_TEXT, WAIT_S
from plays.stage import PROVIDERS, UNTRANSLATED, published

pytestmark = [pytest.mark.sockets, pytest.mark.sdks]

PAIRS: Final = [
    (client, provider) for client in CLIENTS for provider in PROVIDERS if (client, provider) not in UNTRANSLATED
]


class Classes(NamedTuple):
    """The exceptions of one SDK."""

    key: type[Exception]
    model: type[Exception]
    limited: type[Exception]
    broken: type[Exception]
    cut: type[Exception] | tuple[type[Exception], ...]
    """A failure before anything of the answer has gone out is an error answer; one after it is told in the stream."""
    status: Callable[[Any], int]
    headers: Callable[[Any], Any]


def _bedrock_headers(error: Any) -> Any:
    return error.response["ResponseMetadata"]["HTTPHeaders"]


_OPENAI: Final = Classes(
    openai.AuthenticationError,
    openai.NotFoundError,
    openai.RateLimitError,
    openai.InternalServerError,
    (openai.APIError, Failed),
    lambda error: error.status_code,
    lambda error: error.response.headers,
)
CLASSES: Final = {
    "openai.chat": _OPENAI,
    "openai.responses": _OPENAI,
    "anthropic.messages": Classes(
        anthropic.AuthenticationError,
        anthropic.NotFoundError,
        anthropic.RateLimitError,
        anthropic.InternalServerError,
        anthropic.APIError,
        lambda error: error.status_code,
        lambda error: error.response.headers,
    ),
    "google.generate_content": Classes(
        google.ClientError,
        google.ClientError,
        google.ClientError,
        google.ServerError,
        google.APIError,
        lambda error: error.code,
        lambda error: error.response.headers,
    ),
    "bedrock.converse": Classes(
        ClientError,
        ClientError,
        ClientError,
        ClientError,
        ClientError,  # EventStreamError is one
        lambda error: error.response["ResponseMetadata"]["HTTPStatusCode"],
        _bedrock_headers,
    ),
    "cohere.chat": Classes(
        cohere.UnauthorizedError,
        cohere.NotFoundError,
        cohere.TooManyRequestsError,
        cohere.core.ApiError,
        (cohere.core.ApiError, Failed),
        lambda error: error.status_code,
        lambda error: error.headers,
    ),
    "ollama.chat": Classes(
        ollama.ResponseError,
        ollama.ResponseError,
        ollama.ResponseError,
        ollama.ResponseError,
        ollama.ResponseError,
        lambda error: error.status_code,
        lambda error: {"retry-after": str(WAIT_S)},  # the SDK shows no headers
    ),
}


def _raised(parts: Any, client: str, model: str, kind: Any, *, stream: bool, **address: str) -> Any:
    at = parts.address(client)._replace(**address)
    with pytest.raises(kind) as raised:
        CLIENTS[client].begin(at, model).ask(stream=stream)
    return raised.value


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("client", CLASSES)
def test_a_wrong_key(client: str, stream: bool, parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = CLASSES[client]
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "sk-wrong")
    error = _raised(parts, client, published(client, "text"), classes.key, stream=stream, key="sk-wrong")
    assert classes.status(error) in (401, 403)
    assert "sk-wrong" not in str(error)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("client", CLASSES)
def test_an_unknown_model(client: str, stream: bool, parts: Any) -> None:
    classes = CLASSES[client]
    error = _raised(parts, client, "nope", classes.model, stream=stream)
    assert classes.status(error) == 404
    assert "nope" in str(error)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_a_rate_limit(client: str, provider: str, stream: bool, parts: Any) -> None:
    classes = CLASSES[client]
    error = _raised(parts, client, published(provider, "limited"), classes.limited, stream=stream)
    assert classes.status(error) == 429
    if provider != "bedrock.converse":  # which tells no wait
        assert classes.headers(error)["retry-after"] == str(WAIT_S)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_a_provider_that_fails(client: str, provider: str, stream: bool, parts: Any) -> None:
    classes = CLASSES[client]
    error = _raised(parts, client, published(provider, "broken"), classes.broken, stream=stream)
    assert 500 <= classes.status(error) < 600


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_a_stream_that_fails(client: str, provider: str, parts: Any) -> None:
    error = _raised(parts, client, published(provider, "cut"), CLASSES[client].cut, stream=True)
    assert FAULT_TEXT in str(error)
