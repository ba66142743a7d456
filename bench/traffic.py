"""What is sent and what the mock upstreams answer: chat requests of a given size, one canned answer of about 1 KB."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
"""Where requests go, by the API that the load generator speaks."""
SIZES = {"1kb": 1_000, "100kb": 100_000, "1mb": 1_000_000}
PROSE = (
    "The gate was built where two roads met, and whoever held it could say which carts went through, at what toll, "
    "and in what order; the millwright who kept its wheel said it was only ever a matter of water and patience. "
)


def chat_body(size_bytes: int, model: str, *, stream: bool = False, api: str = "chat") -> bytes:
    """A request of exactly `size_bytes` bytes (never below what its frame needs): OpenAI's, or Anthropic's messages."""
    system = "You are a terse assistant. Answer in one paragraph."
    messages = [{"role": "system", "content": system}] if api == "chat" else []
    request: dict[str, object] = {
        "model": model,
        "temperature": 0.7,
        "top_p": 0.95,
        "max_tokens": 256,
        "stream": stream,
        "messages": [*messages, {"role": "user", "content": ""}],
    }
    if api == "messages":
        request["system"] = system
    frame = len(json.dumps(request))
    missing = max(0, size_bytes - frame)
    text = (PROSE * (missing // len(PROSE) + 1))[:missing]
    request["messages"][-1]["content"] = text  # type: ignore[index]
    return json.dumps(request).encode()


def canned_answer() -> str:
    """A chat completion as OpenAI answers it, about 1 KB, with usage. It holds no `'` and no `$`: nginx quotes it."""
    return json.dumps(
        {
            "id": "chatcmpl-bench0000000000000000000",
            "object": "chat.completion",
            "created": 1754000000,
            "model": "bench-model",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": (PROSE * 3)[:480], "refusal": None, "annotations": []},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 180,
                "completion_tokens": 96,
                "total_tokens": 276,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
            },
            "service_tier": "default",
            "system_fingerprint": "fp_bench0000",
        }
    )


def header_lines(headers: Sequence[tuple[str, str]]) -> str:
    """Headers one a line, as the wrk script reads them."""
    return "".join(f"{name}: {value}\n" for name, value in headers)


def raw_request(port: int, headers: Sequence[tuple[str, str]], body: bytes, *, api: str = "chat") -> bytes:
    """A whole HTTP/1.1 request, head and body."""
    lines = [f"POST {PATHS[api]} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def write(path: Path, content: bytes | str) -> Path:
    """Write a file and return its path."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
