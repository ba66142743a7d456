"""A provider that fails in every way: the documented error, in time, and a healthy pool afterwards."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import msgspec
import pytest
import trustme
from fault_cases import BODY, CUTS, EVENTS, FAULTS, LENGTH, RESPONSE_BYTES, STREAM, WHOLE, Cut, Fault
from suite import UPSTREAM_KEY, build_config, check_error, render_call, render_chat, run_gateway

from gatewright.testing import answers
from gatewright.testing.client import Answer
from gatewright.testing.gateway import GatewayProcess, free_port
from gatewright.testing.steps import Close, Deaf, HalfClose, Pause, Reset, Send, Stall, Step
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

TIMEOUT_S = 0.4
IN_TIME_S = 2.0


class Parts(NamedTuple):
    """The gateway and every provider it knows."""

    gateway: GatewayProcess
    main: ScriptedUpstream
    backup: ScriptedUpstream
    proxy: ScriptedUpstream

    def call(self, request: bytes) -> Answer:
        """The answer to one request on a connection of its own, which must come in time."""
        with self.gateway.connect() as client:
            start_s = time.monotonic()
            answer = client.send(request).receive()
            assert time.monotonic() - start_s < IN_TIME_S
            return answer


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """One gateway for the whole suite, with short times and a provider for each way of not being reached."""
    directory = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    authority.issue_cert("gateway.test").private_key_and_cert_chain_pem.write_to_path(directory / "client.pem")
    asking = _server_context(authority, "127.0.0.1")
    authority.configure_trust(asking)
    asking.verify_mode = ssl.CERT_REQUIRED
    with ExitStack() as stack:
        main, backup, proxy = (stack.enter_context(ScriptedUpstream()) for _ in range(3))
        secure = stack.enter_context(ScriptedUpstream(tls=_server_context(authority, "127.0.0.1")))
        misnamed = stack.enter_context(ScriptedUpstream(tls=_server_context(authority, "other.test")))
        mutual = stack.enter_context(ScriptedUpstream(tls=asking))
        ca = {"ca": str(directory / "ca.pem")}
        client = {"certificate": str(directory / "client.pem"), "key": str(directory / "client.pem")}
        providers: dict[str, dict[str, Any]] = {
            "main": {"url": main.url},
            "backup": {"url": backup.url},
            "refused": {"url": f"http://127.0.0.1:{free_port()}/v1"},
            "unknown-host": {"url": "http://provider.invalid/v1"},
            "silent": {"url": f"http://127.0.0.1:{stack.enter_context(_full_backlog())}/v1"},
            "secure": {"url": secure.url, "tls": ca},
            "renamed": {"url": misnamed.url, "tls": {**ca, "server_name": "other.test"}},
            "untrusted": {"url": secure.url},
            "misnamed": {"url": misnamed.url, "tls": ca},
            "plain-for-tls": {"url": main.url.replace("http:", "https:")},
            "tls-for-plain": {"url": secure.url.replace("https:", "http:")},
            "mutual": {"url": mutual.url, "tls": {**ca, **client}},
            "mutual-without": {"url": mutual.url, "tls": ca},
            "proxied": {"url": "http://behind.invalid/v1", "proxy": f"http://127.0.0.1:{proxy.port}"},
            "proxy-refused": {"url": main.url, "proxy": f"http://127.0.0.1:{free_port()}"},
        }
        times = {"connect_s": TIMEOUT_S, "first_byte_s": TIMEOUT_S, "idle_s": TIMEOUT_S}
        config = build_config(
            {name: {"timeouts": times, **own} for name, own in providers.items()},
            {
                **{name: {"targets": [{"provider": name, "model": "scripted-1"}]} for name in providers},
                "either": {"targets": [{"provider": "main"}], "fallback": [{"provider": "backup"}]},
                "either-unreachable": {"targets": [{"provider": "refused"}], "fallback": [{"provider": "backup"}]},
                "once": {"targets": [{"provider": "main"}], "fallback": [{"provider": "backup"}], "attempts": 1},
                "hopeless": {"targets": [{"provider": "refused"}], "fallback": [{"provider": "silent"}]},
            },
            limits={"response_bytes": RESPONSE_BYTES},
        )
        gateway = stack.enter_context(run_gateway(config))
        yield Parts(gateway, main, backup, proxy)


@pytest.fixture(autouse=True)
def _healthy(parts: Parts) -> Iterator[None]:
    """After each fault the next request is served, and no connection to the provider is left behind."""
    for upstream in parts[1:]:
        upstream.reset()
    yield
    parts.main.reset()
    with parts.gateway.connect() as client:
        assert client.send(render_chat("main")).receive().status == 200
    assert parts.main.errors == []
    # The pool may keep what is idle and sound; each test leaves at most the connections it used at once.
    parts.main.wait_for(lambda: parts.main.open_connections <= 2)


def _server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return context


@contextmanager
def _full_backlog() -> Iterator[int]:
    """A port where the kernel takes no more connections: connecting neither succeeds nor fails."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


# Not reached at all.

CONNECT_FAILURES = {
    "refused": (502, "upstream_connect_failed"),
    "unknown-host": (502, "upstream_connect_failed"),
    "silent": (504, "upstream_timeout"),
    "untrusted": (502, "upstream_connect_failed"),
    "misnamed": (502, "upstream_connect_failed"),
    "plain-for-tls": (502, "upstream_connect_failed"),
    "proxy-refused": (502, "upstream_connect_failed"),
    "hopeless": (504, "upstream_timeout"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", CONNECT_FAILURES)
def test_a_provider_that_cannot_be_reached(model: str, stream: bool, parts: Parts) -> None:
    _close_idle(parts.main)
    parts.main.greet(*answers.reply(400), Close())
    answer = parts.call(render_chat(model, stream=stream))
    assert (answer.status, check_error(answer)["code"]) == CONNECT_FAILURES[model]


def test_the_message_of_a_connect_failure_says_which(parts: Parts) -> None:
    for model, words in (("unknown-host", "DNS"), ("untrusted", "certificate"), ("refused", "refused")):
        assert words in check_error(parts.call(render_chat(model)))["message"]


@pytest.mark.parametrize("model", ["secure", "renamed", "mutual"])
def test_tls_that_is_right(model: str, parts: Parts) -> None:
    for _ in range(2):
        assert parts.call(render_chat(model)).status == 200


def test_tls_where_the_gateway_speaks_plainly(parts: Parts) -> None:
    answer = parts.call(render_chat("tls-for-plain"))
    assert answer.status == 502
    assert check_error(answer)["code"] in ("upstream_reset", "upstream_bad_response")


def test_tls_without_the_certificate_that_is_asked_for(parts: Parts) -> None:
    answer = parts.call(render_chat("mutual-without"))
    assert answer.status == 502
    assert check_error(answer)["code"] in ("upstream_connect_failed", "upstream_reset", "upstream_bad_response")


def test_through_a_proxy(parts: Parts) -> None:
    parts.proxy.next(Send(b"HTTP/1.1 200 Connection established\r\n\r\n"))
    assert parts.call(render_chat("proxied")).status == 200
    connect, call = parts.proxy.requests
    assert (connect.method, connect.target) == ("CONNECT", "behind.invalid:80")
    assert UPSTREAM_KEY.encode() not in connect.raw
    assert call.header("authorization") == f"Bearer {UPSTREAM_KEY}"


@pytest.mark.parametrize(
    "steps",
    [
        answers.reply(403, b"no", headers=[]),
        answers.reply(407, b"who are you", headers=[("proxy-authenticate", "Basic")]),
        (Close(),),
        (Reset(),),
        (Send(b"garbage\r\n\r\n"), Close()),
        (Send(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000), Close()),
    ],
    ids=["403", "407", "close", "reset", "garbage", "endless head"],
)
def test_a_proxy_that_fails(steps: Sequence[Step], parts: Parts) -> None:
    # Tunnels that work are kept, so each proxy fault needs a pool without one.
    _close_idle(parts.proxy)
    parts.proxy.next(*steps)
    answer = parts.call(render_chat("proxied"))
    assert (answer.status, check_error(answer)["code"]) == (502, "upstream_connect_failed")


def test_a_proxy_that_stalls(parts: Parts) -> None:
    _close_idle(parts.proxy)
    parts.proxy.next(Stall())
    answer = parts.call(render_chat("proxied"))
    assert (answer.status, check_error(answer)["code"]) == (504, "upstream_timeout")
    parts.proxy.wait_for(lambda: parts.proxy.open_connections == 0)


def _close_idle(upstream: ScriptedUpstream) -> None:
    upstream.stop()
    upstream.start()


# Reached, and failing before the client has seen anything.

each_fault = pytest.mark.parametrize(
    ("fault", "stream"),
    [
        pytest.param(fault, stream, id=f"{fault.name}-{'stream' if stream else 'whole'}")
        for fault in FAULTS
        for stream in (False, True)
        if not (stream and fault.name == "a stream nobody asked for")
    ],
)


@each_fault
def test_a_fault_before_the_first_byte(fault: Fault, stream: bool, parts: Parts) -> None:
    parts.main.next(*fault.steps)
    answer = parts.call(render_chat("main", stream=stream))
    assert (answer.status, check_error(answer)["code"]) == (fault.status, fault.code)
    assert UPSTREAM_KEY.encode() not in answer.body
    # Once only: nobody knows what a provider did with a request that it read.
    assert len(parts.main.requests) == 1


@each_fault
def test_another_target_is_tried_when_that_may_help(fault: Fault, stream: bool, parts: Parts) -> None:
    parts.main.next(*fault.steps)
    answer = parts.call(render_chat("either", stream=stream))
    assert answer.status == (200 if fault.takes_other else fault.status)
    assert len(parts.backup.requests) == fault.takes_other
    assert len(parts.main.requests) == 1


def test_an_unreachable_target_is_passed_over(parts: Parts) -> None:
    assert parts.call(render_chat("either-unreachable")).status == 200
    assert len(parts.backup.requests) == 1


def test_attempts_are_limited(parts: Parts) -> None:
    parts.main.next(*answers.reply(503))
    assert parts.call(render_chat("once")).status == 503
    assert parts.backup.requests == []


def test_when_every_target_fails_the_last_failure_is_told(parts: Parts) -> None:
    parts.main.next(*answers.reply(503))
    parts.backup.next(*answers.reply(429, answers.error("slow down a little"), headers=[("retry-after", "7")]))
    answer = parts.call(render_chat("either"))
    assert (answer.status, answer.header("retry-after")) == (429, "7")


def test_when_to_try_again_is_passed_on(parts: Parts) -> None:
    headers = [("content-type", "application/json"), ("retry-after", "20"), ("x-ratelimit-remaining-requests", "0")]
    parts.main.next(*answers.reply(429, answers.error("slow down a little"), headers=headers))
    answer = parts.call(render_chat("main"))
    assert answer.header("retry-after") == "20"
    assert answer.header("x-ratelimit-remaining-requests") == "0"
    assert check_error(answer)["message"] == "slow down a little"


def test_headers_of_the_provider_stay_with_the_gateway(parts: Parts) -> None:
    secret = [("set-cookie", "a=b"), ("server", "x"), ("openai-organization", "org-1"), ("x-request-id", "theirs")]
    parts.main.next(*answers.reply(200, BODY, headers=[("content-type", "application/json"), *secret]))
    answer = parts.call(render_chat("main"))
    assert answer.header("x-request-id") != "theirs"
    assert not {name for name, _ in answer.headers} & {"set-cookie", "openai-organization"}


@pytest.mark.parametrize("whole", WHOLE, ids=[whole.name for whole in WHOLE])
def test_an_odd_answer_that_is_right(whole: Fault, parts: Parts) -> None:
    for _ in range(2):
        parts.main.next(*whole.steps)
        answer = parts.call(render_chat("main"))
        assert (answer.status, answer.json()["choices"][0]["message"]["content"]) == (200, answers.TEXT)
        if isinstance(whole.steps[-1], Close | Reset):
            parts.main.wait_for(lambda: parts.main.open_connections == 0)


def test_a_whole_answer_to_a_streaming_request_is_passed_on(parts: Parts) -> None:
    parts.main.next(*answers.reply(200, BODY))
    answer = parts.call(render_chat("main", stream=True))
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    assert answer.json()["model"] == "main"


# Failing after the client has seen something.


def _events(answer: Answer) -> list[bytes]:
    assert answer.body.endswith(b"\n\n")
    return [line.removeprefix(b"data: ") for line in answer.body.split(b"\n\n") if line.startswith(b"data: ")]


@pytest.mark.parametrize("model", ["main", "either"])
@pytest.mark.parametrize("cut", CUTS, ids=[cut.name for cut in CUTS])
def test_a_fault_within_a_stream_is_told_in_the_stream(cut: Cut, model: str, parts: Parts) -> None:
    parts.main.next(*cut.steps)
    answer = parts.call(render_chat(model, stream=True))
    assert answer.status == 200
    *good, last = _events(answer)
    assert len(good) == 3
    assert b"[DONE]" not in answer.body
    error = msgspec.json.decode(last)["error"]
    assert error["code"] in cut.codes
    assert len(error["message"]) > 1
    # Nothing that the client has seen may be started again elsewhere.
    assert (len(parts.main.requests), parts.backup.requests) == (1, [])


def test_a_stream_that_fails_with_its_first_event_is_an_error(parts: Parts) -> None:
    event = answers.sse(answers.error("the model is loading", code="loading"))
    parts.main.next(Send(STREAM + answers.chunk(event)), Send(answers.LAST_CHUNK))
    answer = parts.call(render_chat("main", stream=True))
    assert answer.status == 502
    assert "the model is loading" in check_error(answer)["message"]


def test_a_stream_without_events_is_an_error(parts: Parts) -> None:
    parts.main.next(Send(STREAM + answers.LAST_CHUNK))
    answer = parts.call(render_chat("main", stream=True))
    assert answer.status == 502
    assert check_error(answer)["code"] in ("upstream_cut", "upstream_bad_response")


def test_a_stream_cut_before_its_first_event_is_an_error(parts: Parts) -> None:
    parts.main.next(Send(STREAM), Pause(0.05), Reset())
    assert parts.call(render_chat("main", stream=True)).status == 502


def test_a_finished_stream_that_forgets_to_say_done_is_closed_well(parts: Parts) -> None:
    parts.main.next(*answers.stream(answers.chat_chunks(), done=False))
    answer = parts.call(render_chat("main", stream=True))
    assert _events(answer)[-1] == b"[DONE]"


def test_a_finished_stream_whose_connection_breaks_is_closed_well(parts: Parts) -> None:
    body = b"".join(answers.chunk(event) for event in [*EVENTS, answers.sse(b"[DONE]")])
    parts.main.next(Send(STREAM + body), Pause(0.05), Reset())
    answer = parts.call(render_chat("main", stream=True))
    assert _events(answer)[-1] == b"[DONE]"
    assert answer.body.count(b"error") == 0


def test_comments_and_odd_line_ends_in_a_stream_pass(parts: Parts) -> None:
    odd = [b": ping\n\n", EVENTS[0].replace(b"\n", b"\r\n"), b"event: x\nid: 1\n" + EVENTS[1], *EVENTS[2:]]
    parts.main.next(Send(STREAM), *(Send(answers.chunk(event)) for event in [*odd, answers.sse(b"[DONE]")]))
    parts.main.next(Send(answers.LAST_CHUNK))
    with parts.gateway.connect() as client:
        client.send(render_chat("main", stream=True)).receive_head()
        seen = client.receive_bytes(b"[DONE]")
    assert b": ping" in seen
    assert b"event: x" in seen


# The pool.


def test_a_connection_is_used_again_and_again(parts: Parts) -> None:
    for _ in range(20):
        assert parts.call(render_chat("main")).status == 200
    assert len({request.connection for request in parts.main.requests}) == 1


def test_a_connection_closed_between_requests_is_not_noticed(parts: Parts) -> None:
    for ending in (Close(), Reset()):
        for wait_s in (0.0, 0.005, 0.05):
            parts.main.next(Send(answers.render_head(200, [LENGTH]) + BODY), Pause(wait_s), ending)
            assert parts.call(render_chat("main")).status == 200
            parts.main.wait_for(lambda: parts.main.open_connections == 0)
            assert parts.call(render_chat("main")).status == 200


@pytest.mark.parametrize("idle_s", [0.0, 1.1], ids=["fresh", "stale"])
@pytest.mark.parametrize("connections", [1, 3])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_connections_closed_while_the_gateway_looks_away_are_not_noticed(
    idle_s: float, connections: int, stream: bool, parts: Parts
) -> None:
    _make_idle(parts, connections)
    (worker,) = parts.gateway.workers()
    time.sleep(idle_s)
    with parts.gateway.connect() as client:
        os.kill(worker.pid, signal.SIGSTOP)
        try:
            client.send(render_chat("main", stream=stream))
            _close_idle(parts.main)
        finally:
            os.kill(worker.pid, signal.SIGCONT)
        assert client.receive().status == 200
    # What was sent into a closed connection reached nobody: the answered request came once.
    assert len(parts.main.requests) == connections + 1


def _make_idle(parts: Parts, connections: int) -> None:
    """Leave that many connections in the gateway's pool, all used a moment ago."""
    _close_idle(parts.main)
    ready = threading.Event()
    with ExitStack() as stack:
        clients = [stack.enter_context(parts.gateway.connect()) for _ in range(connections)]
        for client in clients:
            parts.main.next(Pause(ready), *answers.reply(200, BODY))
            client.send(render_chat("main"))
        parts.main.wait_for(lambda: len(parts.main.requests) == connections)
        ready.set()
        for client in clients:
            assert client.receive().status == 200
    assert parts.main.open_connections == connections


@pytest.mark.parametrize("idle_s", [0.0, 1.1], ids=["fresh", "stale"])
@pytest.mark.parametrize("ending", [Close(), HalfClose(), Reset()], ids=["close", "half-close", "reset"])
def test_a_request_that_was_read_is_not_sent_again(ending: Step, idle_s: float, parts: Parts) -> None:
    _make_idle(parts, 1)
    time.sleep(idle_s)
    parts.main.next(ending)
    answer = parts.call(render_chat("main"))
    assert (answer.status, check_error(answer)["code"]) == (502, "upstream_reset")
    assert len(parts.main.requests) == 2
    assert len({request.connection for request in parts.main.requests}) == 1


def test_a_provider_that_does_not_read(parts: Parts) -> None:
    _close_idle(parts.main)
    parts.main.greet(Deaf(), Stall())
    answer = parts.call(render_call({"model": "main", "messages": [], "padding": "x" * 20_000_000}))
    assert (answer.status, check_error(answer)["code"]) == (504, "upstream_timeout")


def test_a_provider_that_answers_before_it_has_read_all(parts: Parts) -> None:
    parts.main.greet(*answers.reply(413, answers.error("too long", code="too_long")), Close())
    _close_idle(parts.main)
    answer = parts.call(render_call({"model": "main", "messages": [], "padding": "x" * 5_000_000}))
    assert answer.status in (413, 502)


def test_huge_answers_do_not_grow_the_gateway(parts: Parts) -> None:
    (before,) = parts.gateway.workers()
    for _ in range(3):
        for name in ("100 MB announced", "100 MB chunked", "100 MB until close", "100 MB in gzip"):
            fault = next(fault for fault in FAULTS if fault.name == name)
            parts.main.next(*fault.steps)
            assert parts.call(render_chat("main")).status == 502
    (after,) = parts.gateway.workers()
    assert after.resident_bytes - before.resident_bytes < 4 * RESPONSE_BYTES


def test_no_connection_is_left_behind(parts: Parts) -> None:
    _close_idle(parts.main)
    for fault in FAULTS[:20]:
        parts.main.next(*fault.steps)
        parts.call(render_chat("main"))
    parts.main.wait_for(lambda: parts.main.open_connections <= 1)
    assert parts.call(render_chat("main")).status == 200
    parts.main.wait_for(lambda: parts.main.open_connections == 1)


def test_what_happened_is_in_the_access_log(parts: Parts) -> None:
    parts.main.next(*answers.reply(500, answers.error("boom")))
    answer = parts.call(render_chat("main"))
    exchange = answer.header("x-request-id")
    log = parts.gateway.access_log
    parts.gateway.wait_for(lambda: any(line["id"] == exchange for line in log()))
    (line,) = [line for line in log() if line["id"] == exchange]
    assert (line["status"], line["kind"], line["source"]) == (502, "upstream_failed", "upstream")
    assert UPSTREAM_KEY not in parts.gateway.stdout()
