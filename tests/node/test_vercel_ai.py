"""The Vercel AI SDK for Node works against the gateway unchanged, by each of the APIs it speaks."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from gatewright.testing import answers
from gatewright.testing.gateway import GatewayProcess, key_hash
from gatewright.testing.received import Received
from gatewright.testing.steps import Step
from gatewright.testing.upstream import ScriptedUpstream

HERE: Final = Path(__file__).parent
KEY: Final = "gw-node-test"
CLIENTS: Final = ("chat", "responses", "anthropic", "google")

pytestmark = [pytest.mark.node, pytest.mark.sockets]


def answer(request: Received) -> tuple[Step, ...]:
    """A provider whose model `caller` wants a tool first, and whose model `limited` has no time."""
    body = request.json()
    if body["model"] == "limited":
        return answers.reply(429, answers.error("Rate limit reached.", "requests", "rate_limit_exceeded"))
    if body["model"] == "caller":
        results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
        if results:
            return answers.reply(200, answers.chat_completion(text=f"It is {results[0]}."))
        call = {
            "id": "call_1",
            "type": "function",
            "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
        }
        document = msgspec.json.decode(answers.chat_completion())
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        document["choices"] = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
        return answers.reply(200, msgspec.json.encode(document))
    return answers.as_openai(request)


@pytest.fixture(scope="module")
def results() -> Iterator[dict[str, dict[str, Any]]]:
    """What every case of `vercel.mjs` gave."""
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules/ai").is_dir():
        pytest.skip("THE VERCEL AI SDK IS NOT TESTED: install what apt.txt names, then run `make test`")
    with ScriptedUpstream() as upstream:
        upstream.always(answer)
        config = {
            "providers": {"scripted": {"type": "openai_compatible", "url": upstream.url}},
            "models": {
                name: {"targets": [{"provider": "scripted"}], "attempts": 1}
                for name in ("assistant", "caller", "limited")
            },
            "consumers": {"acme": {"teams": {"search": {"apps": {"indexer": {"keys": [key_hash(KEY)]}}}}}},
        }
        with GatewayProcess(config) as gateway:
            done = subprocess.run(
                [node, str(HERE / "vercel.mjs"), gateway.url.removesuffix("/v1"), KEY],
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            yield msgspec.json.decode(done.stdout)


@pytest.mark.parametrize("case", ["text", "stream"])
@pytest.mark.parametrize("client", CLIENTS)
def test_text(client: str, case: str, results: dict[str, dict[str, Any]]) -> None:
    expected = {"text": answers.TEXT, "finish": "stop", "output": answers.COMPLETION_TOKENS}
    assert results[f"{client} {case}"] == {"ok": expected}


@pytest.mark.parametrize("client", CLIENTS)
def test_an_agent_that_calls_a_tool(client: str, results: dict[str, dict[str, Any]]) -> None:
    told = results[f"{client} tool"]
    assert "ok" in told, told
    assert told["ok"]["steps"] == 2
    assert "21 degrees in Paris" in told["ok"]["text"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_rate_limit(client: str, results: dict[str, dict[str, Any]]) -> None:
    told = results[f"{client} limited"]
    assert (told.get("error"), told.get("status")) == ("AI_APICallError", 429), told
    assert "Rate limit reached" in told["message"]
