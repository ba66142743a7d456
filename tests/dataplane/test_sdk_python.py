"""The OpenAI Python SDK, sync and async, unchanged against the gateway: calls, streams, and its own error classes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from suite import KEY, build_config, run_gateway

from gatewright.testing import answers
from gatewright.testing.gateway import GatewayProcess, free_port
from gatewright.testing.received import Received
from gatewright.testing.steps import Pause, Reset, Send, Stall, Step
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

MODEL = "assistant"
MESSAGES: Any = [{"role": "user", "content": "hi"}]
FAILING = ("stalls", "limited", "broken", "refusing", "cut", "moody")


def _provide(request: Received) -> tuple[Step, ...]:
    """A provider that is healthy but for the models whose names say otherwise."""
    model = request.json()["model"]
    first = answers.chunk(answers.sse(answers.chat_chunks(model)[1]))
    head = answers.render_head(200, [*answers.STREAM_HEADERS, ("transfer-encoding", "chunked")])
    match model:
        case "stalls":
            return (Stall(),)
        case "limited":
            body = answers.error("Rate limit reached.", "requests", "rate_limit_exceeded")
            return answers.reply(429, body, headers=[("content-type", "application/json"), ("retry-after", "7")])
        case "broken":
            return answers.reply(500, answers.error("The server had an error."))
        case "refusing":
            return answers.reply(401, answers.error("Incorrect API key provided: sk-upstream."))
        case "cut":
            return Send(head + first), Pause(0.05), Reset()
        case "moody":
            event = answers.chunk(answers.sse(answers.error("The model fell over.", code="oops")))
            return Send(head + first), Pause(0.05), Send(event + answers.LAST_CHUNK)
        case _:
            return answers.as_openai(request)


class Parts(NamedTuple):
    """A gateway, the provider behind it, and a client of each kind."""

    gateway: GatewayProcess
    upstream: ScriptedUpstream
    client: OpenAI


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    """One gateway for the suite."""
    with ScriptedUpstream() as upstream:
        upstream.always(_provide)
        config = build_config(
            {
                "scripted": {"url": upstream.url, "timeouts": {"first_byte_s": 0.8}},
                "nowhere": {"url": f"http://127.0.0.1:{free_port()}/v1"},
            },
            {
                MODEL: {"targets": [{"provider": "scripted", "model": "scripted-1"}]},
                "unreachable": {"targets": [{"provider": "nowhere"}]},
                **{name: {"targets": [{"provider": "scripted"}]} for name in FAILING},
            },
            limits={"body_bytes": 100_000},
        )
        with run_gateway(config) as gateway, OpenAI(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
            yield Parts(gateway, upstream, client)


@pytest.fixture
def client(parts: Parts) -> OpenAI:
    """The synchronous client."""
    return parts.client


def _text(chunks: list[Any]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


# Calls.


def test_chat(client: OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert answer.choices[0].message.content == answers.TEXT
    assert answer.model == MODEL
    assert answer.usage is not None
    assert answer.usage.total_tokens == answers.PROMPT_TOKENS + answers.COMPLETION_TOKENS


def test_chat_stream(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    assert _text(chunks) == answers.TEXT
    assert {chunk.model for chunk in chunks} == {MODEL}
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_chat_stream_with_usage(client: OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, stream_options=options))
    assert _text(chunks) == answers.TEXT
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == answers.COMPLETION_TOKENS


def test_the_provider_is_asked_for_usage_in_any_case(parts: Parts) -> None:
    parts.upstream.reset()
    parts.upstream.always(_provide)
    list(parts.client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    (request,) = parts.upstream.requests
    assert request.json()["stream_options"] == {"include_usage": True}


def test_a_stream_that_is_left_early(client: OpenAI) -> None:
    with client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True) as stream:
        next(iter(stream))
    assert client.chat.completions.create(model=MODEL, messages=MESSAGES).choices


def test_completions(client: OpenAI) -> None:
    assert client.completions.create(model=MODEL, prompt="hi").choices[0].text == answers.TEXT
    chunks = list(client.completions.create(model=MODEL, prompt="hi", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == answers.TEXT


@pytest.mark.parametrize("encoding", ["base64", "float", None])
def test_embeddings(encoding: Any, client: OpenAI) -> None:
    more = {} if encoding is None else {"encoding_format": encoding}
    answer = client.embeddings.create(model=MODEL, input=["a", "b"], **more)
    vectors: list[Any] = [row.embedding for row in answer.data]
    assert len(vectors) == 2
    if encoding != "base64":  # asked for explicitly it stays packed; by default the SDK asks for it and unpacks
        assert vectors == [list(answers.VECTOR)] * 2
    assert answer.model == MODEL


def test_models(client: OpenAI) -> None:
    assert {MODEL, *FAILING} <= {model.id for model in client.models.list()}
    model = client.models.retrieve(MODEL)
    assert (model.id, model.object) == (MODEL, "model")


def test_request_ids(client: OpenAI) -> None:
    sent = {"x-request-id": "my-request"}
    assert (
        client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers=sent)._request_id == "my-request"
    )
    assert client.chat.completions.create(model=MODEL, messages=MESSAGES)._request_id


def test_unknown_members_reach_the_provider(parts: Parts) -> None:
    parts.upstream.reset()
    parts.upstream.always(_provide)
    parts.client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_body={"brand_new": {"a": 0.70}})
    (request,) = parts.upstream.requests
    assert request.json()["brand_new"] == {"a": 0.7}


# Errors, each as the class the SDK has for it.


def _call(model: str, **more: Any) -> Callable[[OpenAI], object]:
    return lambda client: client.chat.completions.create(model=model, messages=MESSAGES, **more)


def _post(body: bytes) -> Callable[[OpenAI], object]:
    headers = {"content-type": "application/json"}
    return lambda client: client.post("/chat/completions", cast_to=object, content=body, options={"headers": headers})


class Failure(NamedTuple):
    """A call that fails, and how."""

    call: Callable[[OpenAI], object]
    error: type[openai.APIError]
    status: int | None
    code: str | None = None


FAILURES = {
    "bad key": Failure(
        lambda client: client.with_options(api_key="sk-wrong").models.list(),
        openai.AuthenticationError,
        401,
        "invalid_api_key",
    ),
    "bad JSON": Failure(_post(b'{"model":'), openai.BadRequestError, 400),
    "no model": Failure(_post(b'{"messages":[]}'), openai.BadRequestError, 400),
    "wrong type": Failure(_call(MODEL, extra_body={"stream": "yes"}), openai.BadRequestError, 400),
    "unknown model": Failure(_call("nope"), openai.NotFoundError, 404, "model_not_found"),
    "unknown model retrieved": Failure(
        lambda client: client.models.retrieve("nope"), openai.NotFoundError, 404, "model_not_found"
    ),
    "unknown path": Failure(lambda client: client.fine_tuning.jobs.list(), openai.NotFoundError, 404),
    "too large": Failure(_call(MODEL, user="x" * 200_000), openai.APIStatusError, 413),
    "client's time-out": Failure(_call("stalls", timeout=0.2), openai.APITimeoutError, None),
    "provider's time-out": Failure(_call("stalls"), openai.InternalServerError, 504, "upstream_timeout"),
    "provider's rate limit": Failure(_call("limited"), openai.RateLimitError, 429, "rate_limit_exceeded"),
    "provider's failure": Failure(_call("broken"), openai.InternalServerError, 502),
    "provider refuses the gateway": Failure(
        _call("refusing"), openai.InternalServerError, 502, "upstream_credential_rejected"
    ),
    "provider unreachable": Failure(_call("unreachable"), openai.InternalServerError, 502, "upstream_connect_failed"),
    "stream, rate limit": Failure(_call("limited", stream=True), openai.RateLimitError, 429),
    "stream, failure": Failure(_call("broken", stream=True), openai.InternalServerError, 502),
    "stream, unknown model": Failure(_call("nope", stream=True), openai.NotFoundError, 404),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_raise_the_classes_of_the_sdk(name: str, client: OpenAI) -> None:
    failure = FAILURES[name]
    with pytest.raises(failure.error) as raised:
        failure.call(client)
    error = raised.value
    assert len(error.message) > 10
    assert "sk-upstream" not in str(error)
    if failure.status is not None:
        assert isinstance(error, openai.APIStatusError)
        assert error.status_code == failure.status
        assert error.request_id
        assert error.type
        assert error.response.headers["content-type"] == "application/json"
    if failure.code is not None:
        assert error.code == failure.code


def test_when_to_retry_reaches_the_sdk(client: OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        _call("limited")(client)
    assert raised.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("model", ["cut", "moody"])
def test_a_stream_that_breaks_raises_behind_what_was_good(model: str, client: OpenAI) -> None:
    seen = ""
    with pytest.raises(openai.APIError) as raised:  # noqa: PT012 - what came before the error is part of the case
        for chunk in client.chat.completions.create(model=model, messages=MESSAGES, stream=True):
            seen += chunk.choices[0].delta.content or ""
    assert seen == answers.WORDS[0]
    assert not isinstance(raised.value, openai.APIConnectionError)


# The asynchronous client.


def test_the_asynchronous_client(parts: Parts) -> None:
    async def run() -> None:
        async with AsyncOpenAI(base_url=parts.gateway.url, api_key=KEY, max_retries=0) as client:
            answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
            assert answer.choices[0].message.content == answers.TEXT
            stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
            assert _text([chunk async for chunk in stream]) == answers.TEXT
            assert (await client.completions.create(model=MODEL, prompt="hi")).choices[0].text == answers.TEXT
            vectors = await client.embeddings.create(model=MODEL, input="a")
            assert vectors.data[0].embedding == list(answers.VECTOR)
            assert MODEL in [model.id async for model in client.models.list()]
            with pytest.raises(openai.NotFoundError):
                await client.chat.completions.create(model="nope", messages=MESSAGES)
            with pytest.raises(openai.RateLimitError):
                await client.chat.completions.create(model="limited", messages=MESSAGES)
            with pytest.raises(openai.APITimeoutError):
                await client.chat.completions.create(model="stalls", messages=MESSAGES, timeout=0.2)
            with pytest.raises(openai.AuthenticationError):
                await client.with_options(api_key="sk-wrong").models.list()

    asyncio.run(run())


def test_many_calls_at_once(parts: Parts) -> None:
    async def run() -> list[str | None]:
        async with AsyncOpenAI(base_url=parts.gateway.url, api_key=KEY, max_retries=0) as client:
            calls = [client.chat.completions.create(model=MODEL, messages=MESSAGES) for _ in range(50)]
            return [answer.choices[0].message.content for answer in await asyncio.gather(*calls)]

    assert asyncio.run(run()) == [answers.TEXT] * 50


def test_a_cancelled_call_is_cancelled_at_the_provider(parts: Parts) -> None:
    async def run() -> None:
        async with AsyncOpenAI(base_url=parts.gateway.url, api_key=KEY, max_retries=0) as client:
            call = asyncio.create_task(client.chat.completions.create(model="stalls", messages=MESSAGES))
            await asyncio.to_thread(parts.upstream.wait_for, lambda: parts.upstream.requests)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            carrier = parts.upstream.requests[-1].connection
            await asyncio.to_thread(
                parts.upstream.wait_for,
                lambda: all(c.left_s is not None for c in parts.upstream.connections if c.number == carrier),
            )

    parts.upstream.reset()
    parts.upstream.always(_provide)
    asyncio.run(run())
