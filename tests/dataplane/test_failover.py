"""A stream that fails before anything of it reached the client is a failed attempt: another provider answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from suite import build_config, check_error, render_chat, run_gateway

from gatewright.testing import answers
from gatewright.testing.client import Answer
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.steps import Close, Pause, Reset, Send, Step
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
FAILURE = answers.sse(b'{"error":{"message":"The engine is out of memory.","type":"server_error","code":500}}')
CHUNK = answers.sse(answers.chat_chunks()[0])


def chunked(*events: bytes, ended: bool = True) -> Send:
    body = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)
    return Send(HEAD + body + (b"0\r\n\r\n" if ended else b""))


BROKEN: dict[str, tuple[Step, ...]] = {
    "an error as its first event": (chunked(FAILURE),),
    "an error, then the end of the connection": (chunked(FAILURE, ended=False), Close()),
    "an end before any event": (chunked(), Close()),
    "a reset before any event": (Send(HEAD), Reset()),
    "half an event": (chunked(CHUNK[:20], ended=False), Reset()),
}


class Parts(NamedTuple):
    gateway: GatewayProcess
    main: ScriptedUpstream
    backup: ScriptedUpstream

    def call(self, request: bytes) -> Answer:
        with self.gateway.connect() as client:
            return client.send(request).receive()


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    with ScriptedUpstream() as main, ScriptedUpstream() as backup:
        config = build_config(
            {"main": {"url": main.url}, "backup": {"url": backup.url}},
            {
                "either": {"targets": [{"provider": "main"}], "fallback": [{"provider": "backup"}]},
                "once": {"targets": [{"provider": "main"}], "fallback": [{"provider": "backup"}], "attempts": 1},
                "alone": {"targets": [{"provider": "main"}]},
            },
        )
        with run_gateway(config) as gateway:
            yield Parts(gateway, main, backup)


@pytest.fixture(autouse=True)
def _fresh(parts: Parts) -> None:
    parts.main.reset()
    parts.backup.reset()


@pytest.mark.parametrize("how", BROKEN)
def test_another_provider_answers(how: str, parts: Parts) -> None:
    parts.main.next(*BROKEN[how])
    answer = parts.call(render_chat("either", stream=True))
    assert answer.status == 200
    assert b"[DONE]" in answer.body
    assert b"error" not in answer.body
    assert (len(parts.main.requests), len(parts.backup.requests)) == (1, 1)


@pytest.mark.parametrize("model", ["once", "alone"])
@pytest.mark.parametrize("how", BROKEN)
def test_where_there_is_no_other_it_is_an_error_of_http(how: str, model: str, parts: Parts) -> None:
    parts.main.next(*BROKEN[how])
    answer = parts.call(render_chat(model, stream=True))
    assert answer.status == 502
    assert check_error(answer)["message"]
    assert parts.backup.requests == []


def test_what_has_begun_is_not_begun_again(parts: Parts) -> None:
    rest = b"%x\r\n%b\r\n0\r\n\r\n" % (len(FAILURE), FAILURE)
    parts.main.next(chunked(CHUNK, ended=False), Pause(0.2), Send(rest))
    answer = parts.call(render_chat("either", stream=True))
    assert answer.status == 200
    assert b"out of memory" in answer.body
    assert b"[DONE]" not in answer.body
    assert parts.backup.requests == []
