"""The OpenAI Node SDK works against the gateway unchanged: calls, streams, and its own error classes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gatewright.testing import answers
from gatewright.testing.gateway import GatewayProcess, free_port, key_hash
from gatewright.testing.received import Received
from gatewright.testing.steps import Reset, Send, Stall, Step
from gatewright.testing.upstream import ScriptedUpstream

HERE = Path(__file__).parent
KEY = "gw-node-test"

pytestmark = [pytest.mark.node, pytest.mark.sockets]


def answer(request: Received) -> tuple[Step, ...]:
    """A provider that is healthy but for the models whose names say otherwise."""
    model = request.json()["model"]
    if model == "stalls":
        return (Stall(),)
    if model == "limited":
        limited = answers.error("Rate limit reached for this key.", "requests", "rate_limit_exceeded")
        return answers.reply(429, limited, headers=[("content-type", "application/json"), ("retry-after", "7")])
    if model == "broken":
        return answers.reply(500, answers.error("The server had an error."))
    if model == "cut":
        first = answers.chunk(answers.sse(answers.chat_chunks(model)[1]))
        head = answers.render_head(200, [*answers.STREAM_HEADERS, ("transfer-encoding", "chunked")])
        return Send(head + first), Reset()
    return answers.as_openai(request)


@pytest.fixture(scope="module")
def results() -> Iterator[dict[str, dict[str, Any]]]:
    """What every case of `openai.mjs` gave."""
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules/openai").is_dir():
        pytest.skip("THE NODE SDK IS NOT TESTED: install what apt.txt names, then run `make test`")
    with ScriptedUpstream() as upstream:
        upstream.always(answer)
        provider = {"type": "openai_compatible", "url": upstream.url, "timeouts": {"first_byte_s": 1.5}}
        nowhere = {"type": "openai_compatible", "url": f"http://127.0.0.1:{free_port()}/v1"}
        names = ("stalls", "limited", "broken", "cut")
        config = {
            "providers": {"scripted": provider, "nowhere": nowhere},
            "models": {
                "assistant": {"targets": [{"provider": "scripted", "model": "scripted-1"}]},
                "unreachable": {"targets": [{"provider": "nowhere", "model": "x"}]},
                **{name: {"targets": [{"provider": "scripted", "model": name}]} for name in names},
            },
            "consumers": {"acme": {"teams": {"search": {"apps": {"indexer": {"keys": [key_hash(KEY)]}}}}}},
            "limits": {"body_bytes": 100_000},
        }
        with GatewayProcess(config) as gateway:
            done = subprocess.run(
                [node, str(HERE / "openai.mjs"), gateway.url, KEY],
                capture_output=True,
                text=True,
                timeout=90,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            yield msgspec.json.decode(done.stdout)


def test_chat(results: dict[str, dict[str, Any]]) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    assert results["chat"] == {"ok": {"text": answers.TEXT, "model": "assistant", "usage": usage}}
    assert results["chat_stream"] == {"ok": {"text": answers.TEXT, "models": ["assistant"], "usage": usage}}


def test_the_usage_event_is_hidden_from_a_client_that_did_not_ask(results: dict[str, dict[str, Any]]) -> None:
    assert results["chat_stream_without_usage"] == {"ok": {"chunks": len(answers.WORDS) + 2, "empty": 0}}


def test_completion_and_embeddings(results: dict[str, dict[str, Any]]) -> None:
    assert results["completion"] == {"ok": {"text": answers.TEXT}}
    assert results["embeddings"] == {"ok": {"count": 2, "vector": list(answers.VECTOR)}}


def test_model_list(results: dict[str, dict[str, Any]]) -> None:
    listed = results["models"]["ok"]
    assert {"assistant", "limited", "broken"} <= set(listed["names"])
    assert listed["one"] == "assistant"


def test_request_id(results: dict[str, dict[str, Any]]) -> None:
    assert results["request_id"]["ok"]["id"]


@pytest.mark.parametrize(
    ("case", "error", "status"),
    [
        ("bad_key", "AuthenticationError", 401),
        ("bad_json", "BadRequestError", 400),
        ("unknown_model", "NotFoundError", 404),
        ("too_large", "APIError", 413),
        ("client_timeout", "APIConnectionTimeoutError", None),
        ("upstream_timeout", "InternalServerError", 504),
        ("upstream_429", "RateLimitError", 429),
        ("upstream_500", "InternalServerError", 502),
        ("unreachable", "InternalServerError", 502),
        ("cut_stream", "APIError", None),
    ],
)
def test_failures_raise_the_classes_of_the_sdk(
    case: str, error: str, status: int | None, results: dict[str, dict[str, Any]]
) -> None:
    result = results[case]
    assert (result.get("error"), result.get("status")) == (error, status), result
    assert len(result["message"]) > 10
