"""What translation alone costs: every client's dialect before every provider's, in this process, without a socket.

The providers' streams and the clients' requests are written by the dialects' own encoders from what the hub says, so a
dialect is measured as soon as it is registered. Of several tries the best counts: whatever else runs on the machine can
only add to it.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from bench.results import Recorder
from bench.traffic import PROSE
from gatewright.core.chat import ChatRequest, Message, Text, Tool, ToolCall, ToolResult
from gatewright.core.codec import ChatCodec, StreamContext
from gatewright.core.events import Delta, PartBegin, Start
from gatewright.core.loss import LossReport
from gatewright.core.surface import Dialect
from gatewright.core.traits import DEFAULT
from gatewright.dialects import DIALECTS
from gatewright.translate.hub import read_wish, translate
from gatewright.translate.wish import Wish

IN_PROCESS: Final = "in-process"
"""Stands where other figures have the name of a gateway."""
REQUEST_BYTES: Final = 100_000
CHUNKS: Final = 250
TRIES: Final = 10

_WITHOUT: Final = ("openai.completions",)
"""Knows no conversation."""

Costs = dict[str, dict[str, float]]
"""Client's dialect → provider's dialect → cost."""

_fields = msgspec.json.Decoder(dict[str, Raw])


_COMMAND: Final = "python -m bench --only translate"


def measure(recorder: Recorder) -> None:
    """Note what the slowest pair of dialects costs, with all others beside it."""
    for figure, pairs in zip(("translated_chunk", "translated_request"), costs(), strict=True):
        slowest = max(cost for row in pairs.values() for cost in row.values())
        shown = {client: {name: round(cost, 3) for name, cost in row.items()} for client, row in pairs.items()}
        recorder.add(IN_PROCESS, figure, slowest, command=_COMMAND, reproduce=_COMMAND, detail={"pairs": shown})


def costs() -> tuple[Costs, Costs]:
    """Microseconds of one streamed chunk, and milliseconds of a request of about 100 KB, of every pair."""
    speakers = {one.name: (one, one.chat) for one in DIALECTS if one.chat is not None and one.name not in _WITHOUT}
    chunks: Costs = {}
    requests: Costs = {}
    for name, (client, codec) in speakers.items():
        body = client_body(codec)
        chunks[name], requests[name] = {}, {}
        for other, (provider, upstream) in speakers.items():
            if other != name:
                chunks[name][other] = chunk_us(client, codec, provider, upstream)
                requests[name][other] = request_ms(client, body, provider)
    return chunks, requests


def _best_s(run: Callable[[], object], count: int) -> float:
    return min(timeit.repeat(run, number=count, repeat=TRIES)) / count


def _wish(client: Dialect, body: bytes) -> Wish:
    return read_wish(
        client, _fields.decode(body), "assistant", stream=True, response_id="bench", created=0, fidelity="warn"
    )


def chunk_us(client: Dialect, codec: ChatCodec, provider: Dialect, upstream: ChatCodec) -> float:
    """A chunk of one word, from the provider's bytes to the client's."""
    wish = _wish(client, client_body(codec, 1_000))
    context = StreamContext(request=conversation(1_000), response_id="bench", created=0, report=LossReport())
    encoder = upstream.stream_encoder(context)
    head = encoder.encode([Start(id="bench", model="bench-model"), PartBegin(0, 0, Text(text="The"))])
    chunk = encoder.encode([Delta(0, 0, " gate")])
    stream = translate(wish, provider, "bench-model", DEFAULT).open_stream()
    stream.feed(head)
    if b" gate" not in stream.feed(chunk):
        raise RuntimeError(f"{client.name} before {provider.name}: the chunk did not come through")
    return _best_s(lambda: stream.feed(chunk), CHUNKS) * 1e6


def request_ms(client: Dialect, body: bytes, provider: Dialect) -> float:
    """A request, from the client's bytes to the provider's."""

    def run() -> bytes:
        return translate(_wish(client, body), provider, "bench-model", DEFAULT).render_request()

    return _best_s(run, 2) * 1e3


def client_body(codec: ChatCodec, size_bytes: int = REQUEST_BYTES) -> bytes:
    """The conversation as a client would send it."""
    return msgspec.json.encode(codec.encode_request(conversation(size_bytes), DEFAULT, LossReport()))


def conversation(size_bytes: int) -> ChatRequest:
    """Twenty tools, and turns of a question, a call, its result and an answer, about `size_bytes` long."""
    schema = Raw(
        b'{"type":"object","properties":{"place":{"type":"string","description":"where"}},"required":["place"]}'
    )
    tools = tuple(Tool(name=f"look_up_{number}", description=PROSE[:80], parameters=schema) for number in range(20))
    messages = [Message(role="system", parts=(Text(text=PROSE),))]
    turn_bytes = 11 * len(PROSE) + 350
    for number in range(max(1, (size_bytes - 5_000) // turn_bytes)):
        call = ToolCall(id=f"call_{number}", name=f"look_up_{number % 20}", arguments='{"place":"the gate"}')
        messages += [
            Message(role="user", parts=(Text(text=PROSE * 3),)),
            Message(role="assistant", parts=(call,)),
            Message(role="user", parts=(ToolResult(call_id=call.id, name=call.name, content=(Text(text=PROSE * 4),)),)),
            Message(role="assistant", parts=(Text(text=PROSE * 4),)),
        ]
    messages.append(Message(role="user", parts=(Text(text=PROSE),)))
    return ChatRequest(model="assistant", messages=tuple(messages), tools=tools, max_output_tokens=256, stream=True)
