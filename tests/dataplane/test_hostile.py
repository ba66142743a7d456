"""Hostile and careless clients over raw sockets: the right answer, the right state of the connection, no harm done."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import msgspec
import pytest
from hostile_calls import CALLS
from hostile_cases import (
    AUTH,
    BODY,
    CHAT,
    GET,
    HOST,
    HTTP,
    LENGTH,
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MODEL,
    Case,
    chunked,
    get,
    json_post,
    post,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from suite import build_config, check_error, run_gateway

from gatewright.testing import answers
from gatewright.testing.client import Answer, PeerClosed, RawClient
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.steps import Pause
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = [pytest.mark.sockets, pytest.mark.usefixtures("_unharmed")]

HEADER_S = 0.5
BODY_IDLE_S = 0.5
KEEP_ALIVE_S = 1.0
ALL: tuple[Case, ...] = (*HTTP, *CALLS)


@pytest.fixture(scope="module")
def gateway(upstream: ScriptedUpstream) -> Iterator[GatewayProcess]:
    """One gateway for the whole suite, with small limits and short times."""
    config = build_config(
        {"scripted": {"url": upstream.url}},
        {MODEL: {"targets": [{"provider": "scripted", "model": "scripted-1"}]}},
        limits={"body_bytes": MAX_BODY_BYTES, "header_bytes": MAX_HEADER_BYTES, "header_count": MAX_HEADERS},
        timeouts={"header_s": HEADER_S, "body_idle_s": BODY_IDLE_S, "keep_alive_s": KEEP_ALIVE_S},
    )
    with run_gateway(config) as running:
        yield running


@pytest.fixture
def _unharmed(gateway: GatewayProcess, upstream: ScriptedUpstream) -> Iterator[None]:
    """After each case the gateway serves a new connection, and its upstream saw nothing but correct HTTP."""
    upstream.reset()
    yield
    with gateway.connect() as client:
        assert client.send(GET).receive("GET").status == 200
    assert upstream.errors == []


def _receive(client: RawClient, case: Case) -> Answer:
    answer = client.receive(case.method)
    assert answer.header("x-injected") is None
    if answer.status >= 400 and case.method != "HEAD":
        check_error(answer)
    return answer


def _still_serves(client: RawClient) -> bool:
    try:
        return client.send(GET).receive("GET").status == 200
    except PeerClosed as closed:
        if closed.partial:
            raise
        return False


@pytest.mark.parametrize("case", ALL, ids=[case.name for case in ALL])
def test_case(case: Case, gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        client.send(*case.sent, apart_s=0.02)
        for right in case.answers:
            answer = _receive(client, case)
            assert answer.status in right, answer
        if case.closed:
            assert answer.header("connection") == "close"
            assert client.is_closed()
        elif case.closed is None:
            is_last = answer.header("connection") == "close"
            assert _still_serves(client) is not is_last
        else:
            assert answer.header("connection") != "close"
            assert _still_serves(client)


def test_there_are_enough_cases() -> None:
    assert len(ALL) >= 150
    assert len({case.name for case in ALL}) == len(ALL)


# Splitting an answer through what it repeats.


@pytest.mark.parametrize(
    "value",
    [
        b"a%0d%0aX-Injected: 1",
        b"a\\r\\nX-Injected: 1",
        b"\xe5\x98\x8a\xe5\x98\x8dX-Injected: 1",
        b"a b",
        b'a"b',
        b"<script>alert(1)</script>",
        b"a\x7fb",
        b"\xff\xfe",
        b"a" * 129,
        b"a" * 10_000,
        b"",
    ],
)
def test_an_odd_request_id_is_replaced(value: bytes, gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        answer = client.send(get(b"/v1/models", b"X-Request-Id: " + value + b"\r\n")).receive("GET")
        if answer.status == 400:
            return
        assert answer.header("x-injected") is None
        assert re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", answer.header("x-request-id") or "")


def test_a_good_request_id_is_returned_with_errors_too(gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        for target, status in ((b"/v1/models", 200), (b"/v1/nope", 404)):
            answer = client.send(get(target, b"X-Request-Id: my-id_1.2:3\r\n")).receive("GET")
            assert (answer.status, answer.header("x-request-id")) == (status, "my-id_1.2:3")


@pytest.mark.parametrize("header", [b"X-Request-Id: a\rX-Injected: 1\r\n", b"X-Request-Id: a\nX-Injected: 1\r\n"])
def test_a_request_id_cannot_carry_a_line_end(header: bytes, gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        answer = client.send(get(b"/v1/models", header)).receive("GET")
        assert answer.status == 400
        assert answer.header("x-injected") is None
        assert client.is_closed()


# Requests that never end.

WHOLE = post(LENGTH + b"X-Request-Id: cut\r\n")
WHOLE_CHUNKED = post(b"Transfer-Encoding: chunked\r\n", chunked(BODY, 20))


@pytest.mark.parametrize("request_bytes", [WHOLE, WHOLE_CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("leave", ["half_close", "close", "reset"])
def test_a_client_that_leaves_at_any_byte(
    leave: str, request_bytes: bytes, gateway: GatewayProcess, upstream: ScriptedUpstream
) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect()) for _ in request_bytes]
        for count, client in enumerate(clients):
            client.send(request_bytes[:count])
            getattr(client, leave)()
        if leave == "half_close":
            assert {answer.status for client in clients for answer in _collect(client)} <= {400, 408}
    assert upstream.requests == []


@pytest.mark.parametrize("request_bytes", [WHOLE, WHOLE_CHUNKED], ids=["length", "chunked"])
def test_a_client_that_stalls_at_any_byte_is_told_and_closed(
    request_bytes: bytes, gateway: GatewayProcess, upstream: ScriptedUpstream
) -> None:
    start_s = time.monotonic()
    with ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect()) for _ in request_bytes]
        for count, client in enumerate(clients):
            client.send(request_bytes[:count])
        for count, client in enumerate(clients):
            if count == 0:
                continue
            answer = client.receive()
            assert answer.status == 408, count
            assert check_error(answer)["code"] == "request_timeout"
            assert client.is_closed()
        assert time.monotonic() - start_s < 5
        # Nothing was sent here, so nothing is answered.
        assert clients[0].is_closed(5)
    assert upstream.requests == []


def test_a_head_that_drips_has_one_time_limit(gateway: GatewayProcess) -> None:
    start_s = time.monotonic()
    with gateway.connect() as client:
        client.send(CHAT + HOST + AUTH)
        client.send(*[b"X-Drip: 1\r\n"] * 20, apart_s=HEADER_S / 10)
        assert client.receive().status == 408
        assert client.is_closed()
        assert time.monotonic() - start_s < 20 * HEADER_S / 10 + 1


def test_a_request_that_comes_byte_by_byte_is_served(gateway: GatewayProcess) -> None:
    for request in (WHOLE, WHOLE_CHUNKED):
        with gateway.connect() as client:
            client.send(*(request[at : at + 1] for at in range(len(request))))
            assert client.receive().status == 200
            assert _still_serves(client)


def test_an_idle_connection_is_closed_silently(gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        assert client.send(GET).receive("GET").status == 200
        start_s = time.monotonic()
        assert client.is_closed(3 * KEEP_ALIVE_S)
        assert time.monotonic() - start_s > KEEP_ALIVE_S / 2


def test_slow_clients_do_not_delay_others(gateway: GatewayProcess) -> None:
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(gateway.connect()).send(CHAT + HOST)
        start_s = time.monotonic()
        with gateway.connect() as client:
            for _ in range(20):
                assert client.send(GET).receive("GET").status == 200
        assert time.monotonic() - start_s < 1


# Pipelining.


def _numbered(number: int) -> bytes:
    return get(b"/v1/models", b"X-Request-Id: r-%d\r\n" % number)


@pytest.mark.parametrize("count", [2, 10, 100, 2000])
def test_pipelined_requests_are_answered_in_order(count: int, gateway: GatewayProcess) -> None:
    with gateway.connect() as client, ThreadPoolExecutor(1) as sender:
        sent = sender.submit(client.send, b"".join(map(_numbered, range(count))))
        for number in range(count):
            answer = client.receive("GET")
            assert (answer.status, answer.header("x-request-id")) == (200, f"r-{number}")
        sent.result()
        assert _still_serves(client)


@pytest.mark.parametrize("count", [2, 100])
@pytest.mark.parametrize(
    "bad",
    [
        b"GET /v1/models HTTP/1.1\r\n\r\n",
        post(LENGTH + LENGTH),
        post(b"Transfer-Encoding: chunked\r\n", b"x\r\n"),
        b"\0",
        b"GET /v1/models HTTP/1.1\nHost: a\n\n",
    ],
    ids=["no host", "two lengths", "bad chunk", "NUL", "bare LF"],
)
def test_what_comes_before_a_bad_request_is_answered_first(bad: bytes, count: int, gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        client.send(b"".join(map(_numbered, range(count))) + bad + b"".join(map(_numbered, range(count))))
        for number in range(count):
            assert client.receive("GET").header("x-request-id") == f"r-{number}"
        answer = client.receive()
        assert (answer.status, answer.header("connection")) == (400, "close")
        check_error(answer)
        assert client.is_closed()


def test_a_slow_answer_holds_back_those_behind_it(gateway: GatewayProcess, upstream: ScriptedUpstream) -> None:
    upstream.next(Pause(0.2), *answers.reply(200, answers.chat_completion(text="first")))
    upstream.next(*answers.reply(200, answers.chat_completion(text="second")))
    with gateway.connect() as client:
        client.send(post() + post() + GET)
        texts = [client.receive().json()["choices"][0]["message"]["content"] for _ in range(2)]
        assert texts == ["first", "second"]
        assert client.receive("GET").json()["object"] == "list"
    assert len(upstream.requests) == 2


def test_a_client_that_pipelines_and_leaves_costs_one_call(gateway: GatewayProcess, upstream: ScriptedUpstream) -> None:
    upstream.always([Pause(60.0)])
    with gateway.connect() as client:
        client.send(post() * 50)
        upstream.wait_for(lambda: upstream.requests)
    upstream.wait_for(lambda: upstream.connections and upstream.open_connections == 0)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("body", [b"", b"a" * 100_000], ids=["small", "large"])
def test_errors_leave_the_connection_usable_again_and_again(body: bytes, gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        for _ in range(50):
            assert client.send(json_post(body)).receive().status == 400
            assert client.send(post()).receive().status == 200


# Expectations.


def test_an_expectation_is_met_before_the_body_is_sent(gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        client.send(post(LENGTH + b"Expect: 100-continue\r\n", b""))
        assert client.receive_bytes(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert client.send(BODY).receive().status == 200


def test_a_hopeless_expectation_gets_its_final_answer_at_once(gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        answer = client.send(post(b"Content-Length: 99999999\r\nExpect: 100-continue\r\n", b"")).receive()
        assert (answer.status, answer.interim) == (413, ())


# Members sent twice: what is checked must be what is sent on.


@pytest.mark.parametrize(
    "members",
    [
        b'"model":"m","model":"m"',
        b'"model":"nope","model":"m"',
        b'"model":"m","model":"nope"',
        b'"model":"m","\\u006dodel":"other"',
        b'"\\u006dodel":"other","model":"m"',
        b'"model":"m","mode\\u006c":"other"',
        b'"model":"m","model":5',
        b'"model":"m","Model":"other"',
    ],
)
def test_of_a_member_sent_twice_only_the_checked_one_is_sent_on(
    members: bytes, gateway: GatewayProcess, upstream: ScriptedUpstream
) -> None:
    with gateway.connect() as client:
        answer = client.send(json_post(b"{" + members + b',"messages":[]}')).receive()
        assert answer.status in (200, 400, 404)
        assert _still_serves(client)
    for request in upstream.requests:
        pairs = re.findall(rb'"([^"]*)":', request.body)
        names = [msgspec.json.decode(b'"' + name + b'"') for name in pairs]
        assert names.count("model") == 1
        assert request.json()["model"] == "scripted-1"
    assert len(upstream.requests) == (answer.status == 200)


@pytest.mark.parametrize("spelling", [b"0.70", b"1e999999", b"-0.0", b"1E+2", b"9" * 5_000, b"1.0000000000000000001"])
def test_a_number_keeps_its_spelling(spelling: bytes, gateway: GatewayProcess, upstream: ScriptedUpstream) -> None:
    with gateway.connect() as client:
        body = b'{"model":"m","messages":[],"temperature":' + spelling + b"}"
        assert client.send(json_post(body)).receive().status == 200
    (request,) = upstream.requests
    assert b'"temperature":' + spelling + b"}" in request.body


# Random mutations of good requests.

PARTS = [GET, WHOLE, WHOLE_CHUNKED, json_post(BODY.replace(b'"m"', b'"m","stream":true'))]
ODD = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b"0",
    b"\xff",
    b"chunked",
    b"Content-Length: 5\r\n",
    b"{",
    b'"',
]


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 12)))
        data[at:end] = draw(st.sampled_from([*ODD, b"", bytes(data[at:end]) * 2]) | st.binary(max_size=4))
    return bytes(data)


@settings(
    max_examples=200,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=_mutated(), cut=st.integers(0, 400))
def test_mutated_requests_get_http_or_a_closed_connection(data: bytes, cut: int, gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        client.send(data[:cut], data[cut:])
        client.half_close()
        for answer in _collect(client):
            assert answer.status in (200, 400, 401, 404, 405, 408, 413, 431), answer


@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    body=st.binary(max_size=60)
    | st.builds(
        lambda at, piece: BODY[:at] + piece + BODY[at:], st.integers(0, len(BODY)), st.sampled_from(ODD) | st.binary()
    )
)
def test_mutated_bodies_leave_the_connection_usable(body: bytes, gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        answer = client.send(json_post(body)).receive()
        assert answer.status in (200, 400, 404)
        assert _still_serves(client)


def _collect(client: RawClient) -> list[Answer]:
    """All answers until the connection ends."""
    found: list[Answer] = []
    try:
        while True:
            found.append(client.receive("GET"))
    except PeerClosed as closed:
        if closed.partial:
            raise
        return found
