"""What every data-plane suite says of its gateway: the configuration it starts with, and what must hold at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from gatewright.testing.client import Answer
from gatewright.testing.gateway import GatewayProcess, key_hash

KEY: Final = "sk-test-hostile"
UPSTREAM_KEY: Final = "sk-upstream"
AUTH: Final = f"Authorization: Bearer {KEY}\r\n".encode()
MESSAGES: Final = [{"role": "user", "content": "hi"}]


def build_config(providers: Mapping[str, Any], models: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A configuration with one consumer, whose key is `KEY`."""
    app = {"keys": [key_hash(KEY)]}
    return {
        "providers": {
            name: {"type": "openai_compatible", "key": "${env:UPSTREAM_KEY}", **own} for name, own in providers.items()
        },
        "models": models,
        "consumers": {"acme": {"teams": {"search": {"apps": {"indexer": app}}}}},
        "log": {"access": "json"},
        **more,
    }


@contextmanager
def run_gateway(config: Mapping[str, Any]) -> Iterator[GatewayProcess]:
    """A gateway for a suite. At the end the same workers run, nothing unexpected was printed, and it stops well."""
    with GatewayProcess(config, environment={"UPSTREAM_KEY": UPSTREAM_KEY}) as gateway:
        workers = [worker.pid for worker in gateway.workers()]
        assert workers
        yield gateway
        assert [worker.pid for worker in gateway.workers()] == workers, gateway.stderr()[-4000:]
        stderr = gateway.stderr()
        assert "Traceback" not in stderr, stderr[-4000:]
        assert "Exception" not in stderr, stderr[-4000:]
        assert gateway.stop() == 0


def render_call(body: Mapping[str, Any], path: str = "/v1/chat/completions", headers: bytes = b"") -> bytes:
    """A well-formed POST with the suite's key."""
    content = msgspec.json.encode(body)
    return (
        f"POST {path} HTTP/1.1\r\nHost: gateway.test\r\nContent-Type: application/json\r\n".encode()
        + AUTH
        + headers
        + b"Content-Length: %d\r\n\r\n" % len(content)
        + content
    )


def render_chat(model: str, **more: Any) -> bytes:
    """A well-formed chat request with the suite's key."""
    return render_call({"model": model, "messages": MESSAGES, **more})


def check_error(answer: Answer) -> dict[str, Any]:
    """The error of an answer, checked to be in OpenAI's shape and to say something."""
    assert answer.status >= 400
    assert answer.header("content-type") == "application/json"
    assert answer.header("x-request-id")
    document = answer.json()
    assert set(document) == {"error"}
    error: dict[str, Any] = document["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert 10 < len(error["message"]) < 2_000
    assert isinstance(error["type"], str)
    assert error["code"] is None or isinstance(error["code"], str)
    return error
