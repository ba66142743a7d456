"""What the SDKs offer beside plain calls: parsed answers, helpers, asynchronous clients, counts, embeddings, lists."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import anthropic
import ollama
import openai
import pytest
from clients import anthropic_messages, cohere_chat, google_generate, ollama_chat, openai_chat
from clients.told import QUESTION, TOOLS
from google import genai
from google.genai import types
from openai.lib.streaming.chat import ContentDeltaEvent, FunctionToolCallArgumentsDoneEvent
from plays.facts import COUNTS, PLAYS, WEATHER
from plays.stage import COUNT, PROVIDERS, UNTRANSLATED, published
from pydantic import BaseModel

from gatewright.testing import answers

pytestmark = [pytest.mark.sockets, pytest.mark.sdks]

USER: Final[Any] = [{"role": "user", "content": QUESTION}]
TRANSLATED: Final = [name for name in PROVIDERS if ("openai.chat", name) not in UNTRANSLATED]
RESPONDING: Final = [name for name in PROVIDERS if ("openai.responses", name) not in UNTRANSLATED]


class Weather(BaseModel):
    """What the play `json` tells."""

    city: str
    degrees: int


EXPECTED: Final = Weather(city="Zürich", degrees=21)


@pytest.mark.parametrize("provider", TRANSLATED)
def test_openai_parses_an_answer(provider: str, parts: Any) -> None:
    client = openai_chat.connect(parts.address())
    model = published(provider, "json")
    answer = client.chat.completions.parse(model=model, messages=USER, response_format=Weather)
    assert answer.choices[0].message.parsed == EXPECTED
    with client.chat.completions.stream(model=model, messages=USER, response_format=Weather) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == EXPECTED


@pytest.mark.parametrize("provider", RESPONDING)
def test_openai_parses_a_response(provider: str, parts: Any) -> None:
    client = openai_chat.connect(parts.address())
    model = published(provider, "json")
    assert client.responses.parse(model=model, input=QUESTION, text_format=Weather).output_parsed == EXPECTED
    with client.responses.stream(model=model, input=QUESTION, text_format=Weather) as stream:
        assert stream.until_done().get_final_response().output_parsed == EXPECTED


@pytest.mark.parametrize("provider", TRANSLATED)
def test_the_stream_helper_of_openai(provider: str, parts: Any) -> None:
    client = openai_chat.connect(parts.address())
    tools: Any = [{"type": "function", "function": tool} for tool in TOOLS]
    with client.chat.completions.stream(model=published(provider, "calls"), messages=USER, tools=tools) as stream:
        events = list(stream)
    assert "".join(event.delta for event in events if isinstance(event, ContentDeltaEvent)) == PLAYS["calls"].text
    done = [event for event in events if isinstance(event, FunctionToolCallArgumentsDoneEvent)]
    assert [(event.index, event.name) for event in done] == [(0, "get_weather"), (1, "get_time")]


@pytest.mark.parametrize("provider", TRANSLATED)
def test_a_stream_says_usage_only_when_asked(provider: str, parts: Any) -> None:
    client = openai_chat.connect(parts.address())
    chunks = list(client.chat.completions.create(model=published(provider, "text"), messages=USER, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


@pytest.mark.parametrize("provider", TRANSLATED)
def test_asynchronous_clients(provider: str, parts: Any) -> None:
    at, model, text = parts.address(), published(provider, "text"), PLAYS["text"].text

    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=f"{at.base}/v1", api_key=at.key, max_retries=0) as chat:
            answer = await chat.chat.completions.create(model=model, messages=USER)
            assert answer.choices[0].message.content == text
            assert (await chat.responses.create(model=model, input=QUESTION)).output_text == text
            async with chat.responses.stream(model=model, input=QUESTION) as events:
                assert (await events.get_final_response()).output_text == text
        async with anthropic.AsyncAnthropic(base_url=at.base, api_key=at.key, max_retries=0) as messages:
            async with messages.messages.stream(model=model, max_tokens=99, messages=USER) as stream:
                assert "".join([word async for word in stream.text_stream]) == text
        client = genai.Client(api_key=at.key, http_options=types.HttpOptions(base_url=at.base))
        async with client.aio as google:
            pieces = await google.models.generate_content_stream(model=model, contents=QUESTION)
            assert "".join([piece.text or "" async for piece in pieces]) == text
        client.close()
        local = ollama.AsyncClient(host=at.base, headers={"authorization": f"Bearer {at.key}"})
        lines = await local.chat(model=model, messages=USER, stream=True)
        assert "".join([line.message.content or "" async for line in lines]) == text
        await local.close()

    asyncio.run(run())


@pytest.mark.parametrize("provider", TRANSLATED)
def test_counts_of_tokens(provider: str, parts: Any) -> None:
    model = published(provider, "text")
    messages = anthropic_messages.connect(parts.address())
    google = google_generate.connect(parts.address())
    counts = (
        messages.messages.count_tokens(model=model, messages=USER).input_tokens,
        google.models.count_tokens(model=model, contents=QUESTION).total_tokens,
    )
    if provider in ("anthropic.messages", "google.generate_content"):
        assert counts == (COUNT, COUNT), "the provider is asked, whatever the client's API"
    else:
        assert all(len(QUESTION) / 8 < count < len(QUESTION) for count in counts if count), "an estimate"
        assert all(counts)


def test_thinking_is_asked_for(parts: Any) -> None:
    client = anthropic_messages.connect(parts.address())
    answer = client.messages.create(
        model=published("anthropic.messages", "thinks"),
        max_tokens=4096,
        messages=USER,
        thinking={"type": "enabled", "budget_tokens": 2048},
    )
    assert [block.type for block in answer.content] == ["thinking", "text"]
    assert parts.upstream.requests[-1].json()["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert answer.usage.cache_read_input_tokens == COUNTS.cached


def test_functions_are_called_by_google_itself(parts: Any) -> None:
    called: list[tuple[str, int]] = []

    def get_weather(city: str, days: int, units: dict[str, str]) -> str:
        """The weather of some days."""
        called.append((city, days))
        return "21 degrees"

    client = google_generate.connect(parts.address())
    for provider in TRANSLATED:
        called.clear()
        config = types.GenerateContentConfig(tools=[get_weather])
        answer = client.models.generate_content(model=published(provider, "call"), contents=QUESTION, config=config)
        assert answer.text == "It is 21 degrees at noon."
        assert called == [(WEATHER.arguments["city"], WEATHER.arguments["days"])]


def test_embeddings(parts: Any) -> None:
    model, vector = published("openai.chat", "text"), list(answers.VECTOR)
    google = google_generate.connect(parts.address()).models.embed_content(model=model, contents=["a", "b"])
    assert [embedding.values for embedding in google.embeddings or ()] == [vector] * 2
    local = ollama_chat.connect(parts.address()).embed(model=model, input=["a", "b"])
    assert [list(embedding) for embedding in local.embeddings] == [vector] * 2
    cohere = cohere_chat.connect(parts.address()).embed(
        model=model, texts=["a", "b"], input_type="search_document", embedding_types=["float"]
    )
    assert cohere.embeddings.float_ == [vector] * 2


def test_lists_of_models(parts: Any) -> None:
    at = parts.address()
    expected = {published(provider, "text") for provider in PROVIDERS}
    assert expected <= {model.id for model in openai_chat.connect(at).models.list()}
    assert expected <= {model.id for model in anthropic_messages.connect(at).models.list(limit=1000)}
    assert expected <= {
        (model.name or "").removeprefix("models/") for model in google_generate.connect(at).models.list()
    }
    assert expected <= {(model.model or "").removesuffix(":latest") for model in ollama_chat.connect(at).list().models}
    one = published("google.generate_content", "text")
    assert anthropic_messages.connect(at).models.retrieve(one).id == one
    assert google_generate.connect(at).models.get(model=one).name == f"models/{one}"
