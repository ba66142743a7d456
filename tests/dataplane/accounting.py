"""What the suites of budgets and of the ledger share: a priced provider, long streams, and the ledger's own words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from sqlalchemy.exc import OperationalError
from suite import AUTH, build_config

from gatewright.control.exchanges import BookedExchange, Wanted, list_exchanges
from gatewright.store.database import open_database
from gatewright.testing import answers
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.steps import Pause, Send, Stall, Step
from gatewright.testing.upstream import ScriptedUpstream

INPUT_USD: Final = 1
OUTPUT_USD: Final = 10
"""What a million tokens of the model `up` cost."""
SLICE: Final = 512
"""Output tokens that a stream takes at a time."""
_BURST: Final = 32


def priced(
    upstream: ScriptedUpstream, models: Mapping[str, Any], policies: Iterable[Mapping[str, Any]], **more: Any
) -> dict[str, Any]:
    """A configuration whose provider `up` has prices for the models `up` and `small`, none for any other."""
    prices = {
        "openai_compatible/up": {"kind": "chat", "prices": {"input": str(INPUT_USD), "output": str(OUTPUT_USD)}},
        "openai_compatible/small": {"kind": "chat", "prices": {"input": "0.1", "output": "0.2"}},
        "openai_compatible/vectors": {"kind": "embedding", "prices": {"input": str(INPUT_USD)}},
    }
    providers = {"up": {"url": upstream.url, "timeouts": {"first_byte_s": 1.0, "idle_s": 1.0}}}
    return build_config(providers, models, policies=list(policies), catalogue=prices, **more)


def target(model: str = "up", provider: str = "up") -> dict[str, Any]:
    """A published model with one target."""
    return {"targets": [{"provider": provider, "model": model}]}


def cost_nano(input_tokens: int, output_tokens: int) -> int:
    """What so many tokens of `up` cost, in nano-dollars."""
    return (input_tokens * INPUT_USD + output_tokens * OUTPUT_USD) * 1_000


def long_stream(events: int, *, stall: bool = False, pause_s: float = 0.002) -> tuple[Step, ...]:
    """A chat stream of so many events, with a word of four bytes (one token) each, and the reported usage; with `stall`
    it never ends."""
    first, word, *rest = answers.chat_chunks("up", (" hey",), include_usage=True)
    head = answers.render_head(200, [*answers.STREAM_HEADERS, ("transfer-encoding", "chunked")])
    steps: list[Step] = [Send(head + answers.chunk(answers.sse(first)))]
    for begun in range(0, events, _BURST):
        steps += [Send(answers.chunk(answers.sse(word)) * min(_BURST, events - begun)), Pause(pause_s)]
    if stall:
        return (*steps, Stall())
    usage = {"prompt_tokens": 9, "completion_tokens": events, "total_tokens": 9 + events}
    rest[-1] = msgspec.json.encode({**msgspec.json.decode(rest[-1]), "usage": usage})
    closing = b"".join(answers.chunk(answers.sse(event)) for event in (*rest, b"[DONE]"))
    return (*steps, Send(closing + answers.LAST_CHUNK))


def find_booked(gateway: GatewayProcess, request_id: str, timeout_s: float = 10.0) -> BookedExchange:
    """The ledger's row of an exchange, once it is there. Raises TimeoutError; AssertionError when there are two."""
    rows: list[BookedExchange] = []

    def look() -> bool:
        rows[:] = booked(gateway, id=request_id)
        return bool(rows)

    gateway.wait_for(look, timeout_s)
    assert len(rows) == 1
    return rows[0]


def booked(gateway: GatewayProcess, limit: int = 50, **wanted: Any) -> list[BookedExchange]:
    """Rows of the ledger, the newest first; none while its tables are not made yet."""
    engine = open_database(None, gateway.state)
    try:
        return list_exchanges(engine, Wanted(**wanted), limit=limit)[0]
    except OperationalError:
        return []
    finally:
        engine.dispose()


def find_line(gateway: GatewayProcess, request_id: str) -> dict[str, Any]:
    """The access-log line of an exchange, once it is there. Raises TimeoutError."""
    lines: list[dict[str, Any]] = []

    def look() -> bool:
        lines[:] = [line for line in gateway.access_log() if line["id"] == request_id]
        return bool(lines)

    gateway.wait_for(look)
    assert len(lines) == 1
    return lines[0]


def with_id(call: bytes, request_id: str) -> bytes:
    """A rendered call, with its request id chosen."""
    return call.replace(AUTH, AUTH + f"X-Request-Id: {request_id}\r\n".encode(), 1)
