"""What exchanges come to in the ledger: every attempt, every way to end, and the same numbers in log and metrics."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
import vendors
from accounting import booked, cost_nano, find_booked, find_line, long_stream, priced, target, with_id
from client_dialects import ANTHROPIC, CLIENTS, GOOGLE, OPENAI, RESPONSES
from suite import MESSAGES, UPSTREAM_KEY, render_call, render_chat, run_gateway

from gatewright.pipeline.estimates import WHOLE_SLICE
from gatewright.testing import answers
from gatewright.testing.client import Answer
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.received import Received
from gatewright.testing.steps import Reset, Send, Stall, Step
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

MIXED = 200
LIMITS = (("x-ratelimit-limit-requests", "7"), ("x-ratelimit-remaining-requests", "6"), ("x-other", "1"))
"""What a provider says of its own limits."""


class Parts(NamedTuple):
    """A gateway, and the provider behind it."""

    gateway: GatewayProcess
    upstream: ScriptedUpstream


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    policies = [
        {"filter": "budget", "name": "all", "on": {"models": ["paid"]}, "config": {"usd": 5.0, "per": "total"}},
        {
            "filter": "rate_limit",
            "on": {"models": ["limited"]},
            "config": {"requests": 100, "tokens": 50_000, "per": "hour"},
        },
    ]
    with ScriptedUpstream() as upstream:
        root = upstream.url.removesuffix("/v1")
        two = {"targets": [{"provider": "claude", "model": "claude-up"}], "fallback": target()["targets"]}
        same = {"targets": target("first")["targets"], "fallback": target("up")["targets"]}
        models = {
            "m": target(),
            "paid": target(),
            "limited": target(),
            "vectors": target("vectors"),
            "two": {**two, "attempts": 2},
            "same": {**same, "attempts": 2},
        }
        config = priced(upstream, models, policies)
        config["providers"]["claude"] = {"type": "anthropic", "url": f"{root}/claude/v1", "key": "${env:UPSTREAM_KEY}"}
        config["catalogue"]["anthropic/claude-up"] = {"kind": "chat", "prices": {"input": "2", "output": "20"}}
        config["catalogue"]["openai_compatible/first"] = {"kind": "chat", "prices": {"input": "2", "output": "20"}}
        with run_gateway(config) as gateway:
            yield Parts(gateway, upstream)


@pytest.fixture(autouse=True)
def _healthy(parts: Parts) -> None:
    parts.upstream.reset()


def call(gateway: GatewayProcess, content: bytes) -> Answer:
    """One exchange on a connection of its own."""
    with gateway.connect(timeout_s=10.0) as client:
        return client.send(content).receive()


# -- attempts ---------------------------------------------------------------------------------------------------------


def test_loser_that_reported_usage_is_charged(parts: Parts) -> None:
    """It said that it had read the prompt and broke off: that is on the provider's bill, whoever answered then."""
    gateway, upstream = parts
    begun = vendors.ANTHROPIC.head() + answers.chunk(vendors.ANTHROPIC.events[0])
    upstream.next(Send(begun), Reset())
    assert call(gateway, with_id(render_chat("two", stream=True), "loser")).body.endswith(b"data: [DONE]\n\n")
    row = find_booked(gateway, "loser")
    tried = [(attempt.provider, attempt.outcome, attempt.tokens) for attempt in row.attempts]
    assert tried == [
        ("claude", "upstream_cut", {"input_total": 9, "output_total": 1}),
        ("up", "ok", {"input_total": 9, "output_total": 5}),
    ]
    assert row.tokens == {"input_total": 18, "output_total": 6}
    assert Decimal(row.cost_usd) == Decimal(2 * 9 + 20 * 1 + 9 + 50) / 1_000_000
    line = find_line(gateway, "loser")
    assert (line["input_tokens"], line["output_tokens"], line["attempts"]) == (18, 6, 2)
    assert line["cost_usd"] == pytest.approx(float(row.cost_usd))


def test_every_attempt_is_booked(parts: Parts) -> None:
    gateway, upstream = parts
    upstream.next(*answers.reply(503, answers.error("busy")))
    assert call(gateway, with_id(render_chat("same"), "retried")).status == 200
    row = find_booked(gateway, "retried")
    outcomes = [(attempt.upstream_model, attempt.outcome, attempt.tokens) for attempt in row.attempts]
    assert outcomes == [
        ("first", "upstream_overloaded", {}),
        ("up", "ok", {"input_total": 9, "output_total": 5}),
    ]
    assert not row.is_estimated


# -- cut off ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.dialect)
def test_client_that_leaves_a_stream_is_charged_for_what_came(parts: Parts, client: Any) -> None:
    gateway, upstream = parts
    upstream.next(*long_stream(60, stall=True))
    request_id = f"left-{client.dialect}"
    with gateway.connect() as connection:
        call_bytes = with_id(client.render("paid", "what is up with the words", stream=True), request_id)
        seen = connection.send(call_bytes).receive_bytes(b"hey")
        while seen.count(b"hey") < 60:
            seen += connection.receive_bytes(b"hey")
        connection.reset()
    row = find_booked(gateway, request_id)
    assert (row.kind, row.is_estimated) == ("disconnected", True)
    assert 55 <= row.tokens["output_total"] <= 75
    assert row.tokens["input_total"] > 3
    spent = cost_nano(row.tokens["input_total"], row.tokens["output_total"])
    assert Decimal(row.cost_usd) == Decimal(spent) / 10**9
    assert find_line(gateway, request_id)["output_tokens"] == row.tokens["output_total"]


ENDS: dict[str, tuple[tuple[Step, ...], str, bool, bool]] = {
    "no answer": ((Stall(),), "upstream_timeout", False, False),
    "broken off": ((*long_stream(40)[:-1], Reset()), "upstream_cut", True, True),
    "silent": (long_stream(40, stall=True), "upstream_timeout", True, True),
    "not usage": (answers.stream(answers.chat_chunks("up")), "", True, True),
    "refused": (answers.reply(400, answers.error("no", "invalid_request_error")), "upstream_rejected", False, False),
}
"""What the provider does, the kind of the exchange, and whether it used something, by the gateway's own count."""


@pytest.mark.parametrize("name", ENDS)
def test_ways_to_end(parts: Parts, name: str) -> None:
    gateway, upstream = parts
    steps, kind, has_used, is_estimated = ENDS[name]
    upstream.next(*steps)
    request_id = "end-" + name.replace(" ", "-")
    call(gateway, with_id(render_chat("paid", stream=True), request_id))
    row = find_booked(gateway, request_id)
    assert (row.kind, bool(row.tokens), row.is_estimated) == (kind, has_used, is_estimated)


def test_client_that_leaves_before_the_answer_is_charged_for_its_question(parts: Parts) -> None:
    gateway, upstream = parts
    upstream.next(Stall())
    with gateway.connect() as client:
        client.send(with_id(render_chat("paid"), "left-early"))
        upstream.wait_for(lambda: upstream.requests)
        client.reset()
    row = find_booked(gateway, "left-early")
    assert (row.kind, row.is_estimated) == ("disconnected", True)
    assert set(row.tokens) == {"input_total"}


def test_what_a_drain_cuts_is_booked() -> None:
    """An exchange that outlasts `drain_s` is on the provider's bill as well."""
    with ScriptedUpstream() as upstream:
        budget = {"filter": "budget", "name": "all", "config": {"usd": 5.0, "per": "total"}}
        config = priced(upstream, {"paid": target()}, [budget], timeouts={"drain_s": 0.3})
        running = GatewayProcess(config, environment={"UPSTREAM_KEY": UPSTREAM_KEY})
        with running as gateway, gateway.connect() as streamed, gateway.connect() as whole:
            upstream.next(*long_stream(60, stall=True))
            seen = streamed.send(with_id(render_chat("paid", stream=True), "cut-stream")).receive_bytes(b"hey")
            while seen.count(b"hey") < 60:
                seen += streamed.receive_bytes(b"hey")
            upstream.next(Stall())
            whole.send(with_id(render_chat("paid"), "cut-whole"))
            upstream.wait_for(lambda: len(upstream.requests) == 2)
            assert gateway.stop() == 0
            assert "Traceback" not in gateway.stderr()
            assert find_booked(gateway, "cut-stream").tokens["output_total"] == 60
            assert set(find_booked(gateway, "cut-whole").tokens) == {"input_total"}
            assert find_line(gateway, "cut-stream")["output_tokens"] == 60


# -- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", [OPENAI, RESPONSES, ANTHROPIC, GOOGLE], ids=lambda client: client.dialect)
def test_headers_of_limits_are_ours_where_there_are_some(parts: Parts, client: Any, stream: bool) -> None:
    gateway, upstream = parts
    upstream.always(_with_limits)
    free = call(gateway, client.render("m", stream=stream))
    assert (free.header("x-ratelimit-limit-requests"), free.header("x-ratelimit-remaining-requests")) == ("7", "6")
    limited = call(gateway, client.render("limited", stream=stream))
    assert limited.header("x-ratelimit-limit-requests") == "100"
    assert limited.header("x-ratelimit-limit-tokens") == "50000"
    # Of a whole answer it is known what it used.
    least = 0 if stream else 50_000 - WHOLE_SLICE // 10
    assert least < int(limited.header("x-ratelimit-remaining-tokens") or 0) < 50_000
    assert limited.header("x-ratelimit-reset-requests") == "1h0m0s"


def _with_limits(request: Received) -> tuple[Step, ...]:
    if b'"stream":true' not in request.body:
        return answers.reply(
            200, answers.chat_completion("up"), headers=[("content-type", "application/json"), *LIMITS]
        )
    head = answers.render_head(200, [*answers.STREAM_HEADERS, *LIMITS, ("transfer-encoding", "chunked")])
    events = [*map(answers.sse, answers.chat_chunks("up", include_usage=True)), answers.sse(b"[DONE]")]
    return (Send(head + b"".join(map(answers.chunk, events)) + answers.LAST_CHUNK),)


# -- the same everywhere ----------------------------------------------------------------------------------------------

_SAMPLE = re.compile(r"^(gatewright_\w+_total)\{([^}]*)\} (\S+)$", re.MULTILINE)


def _sums(gateway: GatewayProcess) -> dict[str, float]:
    """Tokens by kind, and cost, over all labels."""
    sums: dict[str, float] = {"input": 0, "output": 0, "cost": 0, "attempts": 0}
    for name, labels, value in _SAMPLE.findall(gateway.admin("/metrics")[1].decode()):
        if name == "gatewright_tokens_total":
            kind = labels.partition('kind="')[2].partition('"')[0]
            sums[kind] = sums.get(kind, 0) + float(value)
        elif name == "gatewright_cost_usd_total":
            sums["cost"] += float(value)
        elif name == "gatewright_attempts_total":
            sums["attempts"] += float(value)
    return sums


def _mixed(number: int) -> tuple[bytes, tuple[Step, ...] | None, bool]:
    """Call, script and whether the client leaves it, of one of the mixed exchanges."""
    stream = number % 2 == 0
    match number % 10:
        case 0:
            return render_chat("paid", stream=True), long_stream(20, stall=True), True
        case 1:
            return render_call({"model": "vectors", "input": "words"}, "/v1/embeddings"), None, False
        case 2:
            return ANTHROPIC.render("paid", stream=stream), None, False
        case 3:
            return GOOGLE.render("m", stream=stream), None, False
        case 4:
            return RESPONSES.render("paid", stream=stream), None, False
        case 5:
            return render_chat("same"), answers.reply(500, answers.error("oops")), False
        case 6:
            return render_chat("m", stream=True), (*long_stream(10)[:-1], Reset()), False
        case 7:
            return render_chat("m"), answers.reply(400, answers.error("no", "invalid_request_error")), False
        case 8:
            return render_chat("m", stream=True, messages=[*MESSAGES, *MESSAGES]), None, False
    return render_chat("m"), None, False


def test_ledger_log_and_metrics_agree(parts: Parts) -> None:
    gateway, upstream = parts
    # What earlier tests asked for may still be on its way to the ledger, the log and the metrics, to all three alike.
    call(gateway, with_id(render_chat("m"), "marker"))
    gateway.wait_for(lambda: any(row.id == "marker" for row in booked(gateway, limit=500)))
    gateway.wait_for(lambda: any(line["id"] == "marker" for line in gateway.access_log()))
    gateway.wait_for(
        lambda: len(booked(gateway, limit=500)) == sum(1 for line in gateway.access_log() if line["attempts"])
    )
    before = _settled_sums(gateway)
    for number in range(MIXED):
        content, script, leaves = _mixed(number)
        if script is not None:
            upstream.next(*script)
        content = with_id(content, f"mixed-{number}")
        with gateway.connect() as client:
            client.send(content)
            if leaves:
                client.receive_bytes(b"hey")
                client.reset()
            else:
                client.receive()

    def rows() -> dict[str, Any]:
        return {row.id: row for row in booked(gateway, limit=1_000) if row.id.startswith("mixed-")}

    gateway.wait_for(lambda: len(rows()) == MIXED, 15.0)

    def logged() -> dict[str, Any]:
        return {line["id"]: line for line in gateway.access_log() if line["id"].startswith("mixed-")}

    # Workers send their lines five times a second; the ledger may be quicker.
    gateway.wait_for(lambda: len(logged()) == MIXED)
    lines, found = logged(), rows()
    assert lines.keys() == found.keys()
    total: dict[str, Decimal] = {"input": Decimal(), "output": Decimal(), "cost": Decimal(), "attempts": Decimal()}
    for request_id, row in found.items():
        line = lines[request_id]
        told = (line.get("input_tokens", 0), line.get("output_tokens", 0), line["attempts"], line["status"])
        tokens = row.tokens
        assert told == (tokens.get("input_total", 0), tokens.get("output_total", 0), len(row.attempts), row.status)
        assert line.get("kind", "") == row.kind
        assert line.get("cost_usd", 0.0) == pytest.approx(float(row.cost_usd), abs=1e-9)
        total["input"] += tokens.get("input_total", 0)
        total["output"] += tokens.get("output_total", 0)
        total["attempts"] += len(row.attempts)
        total["cost"] += Decimal(row.cost_usd)
    after = _settled_sums(gateway)
    for name, amount in total.items():
        assert after[name] - before[name] == pytest.approx(float(amount), abs=1e-9), name
    kinds = {row.kind for row in found.values()}
    assert kinds == {"", "disconnected", "upstream_cut", "upstream_rejected"}


def _settled_sums(gateway: GatewayProcess) -> dict[str, float]:
    """The sums once nothing is on its way any more."""
    last = _sums(gateway)

    def is_still() -> bool:
        nonlocal last
        now = _sums(gateway)
        same, last = now == last, now
        expected = sum(line["attempts"] for line in gateway.access_log())
        return same and now["attempts"] == expected

    gateway.wait_for(is_still)
    return last
