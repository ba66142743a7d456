"""Budgets and limits, seen from a client, from the provider and from the ledger: refused before, ended within, given
back after, and kept over every death of a process."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from accounting import SLICE, cost_nano, find_booked, find_line, long_stream, priced, target, with_id
from client_dialects import ANTHROPIC, CLIENTS, OPENAI, Client
from suite import UPSTREAM_KEY, render_call, render_chat, run_gateway

from gatewright.config.documents import Selector
from gatewright.control.actor import Actor
from gatewright.control.budgets import BudgetPolicy, Budgets
from gatewright.store.database import migrate, open_database
from gatewright.store.shared import lacks_spending
from gatewright.testing import answers
from gatewright.testing.client import Answer, RawClient
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.steps import Pause, Reset, Stall
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

ENVIRONMENT = {"UPSTREAM_KEY": UPSTREAM_KEY}
OPENAI_DIALECTS = ("openai.chat", "openai.responses")
STATUSES = {"bedrock.converse": 400}
"""What AWS's clients know for a quota (`ServiceQuotaExceededException`); 429 would have them retry."""
MANY = SLICE + 64
"""Events of a stream that the budgets here do not pay to its end; then the provider waits, so a test that sees an end
sees the gateway's."""


def budget(name: str, usd: float, *, on: str = "", **config: Any) -> dict[str, Any]:
    """A budget of one model, by default the one that has its name."""
    return {
        "filter": "budget",
        "name": name,
        "on": {"models": [on or name]},
        "config": {"usd": usd, "per": "month", **config},
    }


def limit(model: str, **config: Any) -> dict[str, Any]:
    """A rate limit of one model."""
    return {"filter": "rate_limit", "on": {"models": [model]}, "config": config}


class Parts(NamedTuple):
    """A gateway, and the provider behind it."""

    gateway: GatewayProcess
    upstream: ScriptedUpstream


MID = {client.dialect: f"mid-{index}" for index, client in enumerate(CLIENTS)}
"""A model for each client, with a budget of one and a half slices."""
CONCURRENT = ("success", "stream", "error", "left", "left-early", "cut", "timeout", "budget")


@pytest.fixture(scope="module")
def parts() -> Iterator[Parts]:
    policies = [
        budget("dry", 0.000001),
        budget("dry-vectors", 0.000001),
        *(budget(model, 0.008) for model in MID.values()),
        budget("fails-over", 0.000001, when_dry="cheap"),
        budget("fails-over-to-a-pattern", 0.000001, when_dry="small"),
        budget("soft", 0.000001, soft=True),
        budget("unpriced", 1.0),
        budget("unpriced-allowed", 1.0, unpriced="allow"),
        budget("exact", 0.000139, per="total"),
        budget("several-budget", 0.000001, on="several"),
        limit("several", requests=10, tokens=1_000_000, per="day"),
        limit("several-open", requests=10, tokens=4_100, per="day"),
        *(limit(f"one-{name}", concurrent=1) for name in CONCURRENT),
        budget("one-budget-b", 0.008, on="one-budget"),
        limit("gone-fast", output_tokens=100_000, per="hour"),
    ]
    models: dict[str, Any] = {
        **{policy["on"]["models"][0]: target() for policy in policies},
        "dry-vectors": target("vectors"),
        "unpriced": target("nobody-knows"),
        "unpriced-allowed": target("nobody-knows"),
        "cheap": target("small"),
        "free": target(),
        "large-*": target(),
        "smal*": {"targets": [{"provider": "up"}]},
    }
    policies.append(limit("large-5*", requests=2, per="day"))
    with ScriptedUpstream() as upstream, run_gateway(priced(upstream, models, policies)) as gateway:
        yield Parts(gateway, upstream)


@pytest.fixture(autouse=True)
def _healthy(request: pytest.FixtureRequest) -> None:
    if "parts" in request.fixturenames:
        request.getfixturevalue("parts").upstream.reset()


def call(gateway: GatewayProcess, content: bytes) -> Answer:
    """One exchange on a connection of its own."""
    with gateway.connect(timeout_s=10.0) as client:
        return client.send(content).receive()


# -- dry before -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.dialect)
def test_dry_budget_refuses_in_the_dialect_of_the_caller(parts: Parts, client: Client, stream: bool) -> None:
    gateway, upstream = parts
    request_id = f"dry-{client.dialect}-{stream}"
    answer = call(gateway, with_id(client.render("dry", stream=stream), request_id))
    seen = client.read(answer, stream=stream)
    assert seen.status == STATUSES.get(client.dialect, 429)
    assert seen.error is not None
    assert "The budget `dry` of $" in seen.error
    if client.dialect in OPENAI_DIALECTS:
        # OpenAI's clients, and many who wrote their own, tell "wait a little" from "pay" by these two.
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert upstream.requests == []
    line = find_line(gateway, request_id)
    assert (line["status"], line["kind"], line["attempts"]) == (seen.status, "quota_exceeded", 0)


def test_dry_budget_refuses_embeddings(parts: Parts) -> None:
    gateway, upstream = parts
    answer = call(gateway, render_call({"model": "dry-vectors", "input": "words " * 40}, "/v1/embeddings"))
    assert answer.status == 429
    assert answer.json()["error"]["code"] == "insufficient_quota"
    assert upstream.requests == []


def test_budget_is_spent_to_the_last_answer_it_can_pay(parts: Parts) -> None:
    """Each answer costs 9 + 5 x 10 micro-dollars; what it holds until then is more, and is given back."""
    gateway, upstream = parts
    used = [call(gateway, render_chat("exact", max_tokens=5)).status for _ in range(4)]
    assert used == [200, 200, 429, 429]
    assert len(upstream.requests) == 2


# -- dry within -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.dialect)
def test_stream_ends_where_the_budget_ends(parts: Parts, client: Client) -> None:
    gateway, upstream = parts
    upstream.always(long_stream(MANY, stall=True))
    model, request_id = MID[client.dialect], f"mid-{client.dialect}"
    body = client.body(model, "hi", True)
    if client is ANTHROPIC:
        body["max_tokens"] = 100_000
    answer = call(gateway, with_id(render_call(body, client.path(model, True)), request_id))
    seen = client.read(answer, stream=True)
    words = seen.text.count("hey")
    assert seen.error is not None
    assert f"budget `{model}`" in seen.error
    assert not seen.is_finished
    assert SLICE - 1 <= words <= MANY, "the first slice is paid, the second is not"
    upstream.wait_for(lambda: not any(connection.is_open for connection in upstream.connections))
    row = find_booked(gateway, request_id)
    assert (row.status, row.kind, row.is_estimated) == (200, "quota_exceeded", True)
    assert words <= row.tokens["output_total"] <= words + 2
    spent = cost_nano(row.tokens["input_total"], row.tokens["output_total"])
    assert float(row.cost_usd) == pytest.approx(spent / 1e9)
    # What it used is settled, no more: a small whole answer still fits into the rest.
    upstream.reset()
    small = {"max_tokens": 5} if client is OPENAI else None
    if small:
        assert call(gateway, render_chat(model, **small)).status == 200


# -- other ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.dialect)
def test_another_model_answers_for_a_dry_budget(parts: Parts, client: Client, stream: bool) -> None:
    gateway, upstream = parts
    request_id = f"cheap-{client.dialect}-{stream}"
    seen = client.read(call(gateway, with_id(client.render("fails-over", stream=stream), request_id)), stream=stream)
    assert (seen.status, seen.text, seen.error) == (200, answers.TEXT, None)
    assert [request.json()["model"] for request in upstream.requests] == ["small"]
    row = find_booked(gateway, request_id)
    assert (row.model, row.attempts[0].upstream_model) == ("cheap", "small")
    assert float(row.cost_usd) == pytest.approx((9 * 0.1 + 5 * 0.2) / 1e6)


def test_a_model_under_a_published_pattern_answers_for_a_dry_budget(parts: Parts) -> None:
    gateway, upstream = parts
    assert call(gateway, render_chat("fails-over-to-a-pattern")).status == 200
    assert [request.json()["model"] for request in upstream.requests] == ["small"]


def test_limit_of_some_names_under_a_published_pattern(parts: Parts) -> None:
    gateway, _ = parts
    called = ["large-5", "large-4", "large-5-mini", "large-4", "large-5", "large-4", "large-50"]
    assert [call(gateway, render_chat(name)).status for name in called] == [200, 200, 200, 200, 429, 200, 429]


def test_soft_budget_never_refuses(parts: Parts) -> None:
    gateway, upstream = parts
    upstream.next(*long_stream(3 * SLICE))
    answer = call(gateway, render_chat("soft", stream=True))
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert call(gateway, render_chat("soft")).status == 200


@pytest.mark.parametrize(("model", "status"), [("unpriced", 403), ("unpriced-allowed", 200)])
def test_unpriced_model_under_a_budget(parts: Parts, model: str, status: int) -> None:
    gateway, upstream = parts
    answer = call(gateway, render_chat(model))
    assert answer.status == status
    assert len(upstream.requests) == (status == 200)
    if status == 403:
        assert "no known price" in answer.json()["error"]["message"]


def test_refused_request_takes_nothing_of_the_other_limits(parts: Parts) -> None:
    gateway, _ = parts
    for _ in range(3):
        assert call(gateway, render_chat("several")).status == 429
    first = call(gateway, render_chat("several-open", max_tokens=5))
    assert first.header("x-ratelimit-remaining-requests") == "9"
    for _ in range(3):
        refused = call(gateway, render_chat("several-open", max_tokens=4_096))
        assert refused.status == 429
        assert refused.header("x-ratelimit-limit-tokens") == "4100"
        assert refused.header("retry-after")
    assert call(gateway, render_chat("several-open", max_tokens=5)).header("x-ratelimit-remaining-requests") == "8"


# -- one at a time ----------------------------------------------------------------------------------------------------


def _leave(client: RawClient, upstream: ScriptedUpstream) -> None:
    upstream.wait_for(lambda: upstream.requests)
    client.reset()


def _occupy(parts: Parts, case: str) -> None:
    """Have the only place taken, in one of the ways in which it becomes free again."""
    gateway, upstream = parts
    model = f"one-{case}"
    with gateway.connect() as client:
        match case:
            case "success":
                assert client.send(render_chat(model)).receive().status == 200
            case "stream":
                assert client.send(render_chat(model, stream=True)).receive().status == 200
            case "error":
                upstream.next(*answers.reply(400, answers.error("no", "invalid_request_error")))
                assert client.send(render_chat(model)).receive().status == 400
            case "left":
                upstream.next(*long_stream(8, stall=True))
                client.send(render_chat(model, stream=True)).receive_bytes(b"hey")
                _leave(client, upstream)
            case "left-early":
                upstream.next(Stall())
                client.send(render_chat(model))
                _leave(client, upstream)
            case "cut":
                upstream.next(*long_stream(8)[:-1], Reset())
                assert b'"error"' in client.send(render_chat(model, stream=True)).receive().body
            case "timeout":
                upstream.next(Stall())
                assert client.send(render_chat(model)).receive().status == 504
            case "budget":
                upstream.next(*long_stream(MANY, stall=True))
                assert b"budget" in client.send(render_chat(model, stream=True)).receive().body


@pytest.mark.parametrize("case", CONCURRENT)
def test_place_is_free_again(parts: Parts, case: str) -> None:
    gateway, upstream = parts
    _occupy(parts, case)
    upstream.reset()
    gateway.wait_for(lambda: call(gateway, render_chat(f"one-{case}", max_tokens=5)).status == 200)


def test_second_is_refused_while_the_first_runs(parts: Parts) -> None:
    gateway, upstream = parts
    go = threading.Event()
    steps = long_stream(8)
    upstream.next(*steps[:2], Pause(go), *steps[2:])
    with gateway.connect() as first:
        first.send(render_chat("one-success", stream=True)).receive_bytes(b"hey")
        refused = call(gateway, render_chat("one-success"))
        assert refused.status == 429
        assert "1 requests at the same time" in refused.json()["error"]["message"]
        assert refused.header("retry-after")
        go.set()
        assert first.receive_bytes(b"0\r\n\r\n").endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert call(gateway, render_chat("one-success")).status == 200


# -- over restarts ----------------------------------------------------------------------------------------------------

ANSWER_USD = 0.000059
"""What a healthy answer costs: 9 input tokens and 5 output tokens."""


def _kill_workers(gateway: GatewayProcess) -> None:
    pids = {worker.pid for worker in gateway.workers()}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    gateway.wait_for(lambda: gateway.workers() and pids.isdisjoint({worker.pid for worker in gateway.workers()}), 20)
    gateway.wait_for(lambda: gateway.admin("/readyz")[0] == 200)


def _status(gateway: GatewayProcess, model: str) -> int:
    return call(gateway, render_chat(model, max_tokens=5)).status


def test_spending_outlives_every_process(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream:
        config = priced(upstream, {"b": target()}, [budget("b", 4.2 * ANSWER_USD, per="total")])
        with GatewayProcess(config, environment=ENVIRONMENT, directory=tmp_path) as gateway:
            assert _status(gateway, "b") == 200
            _kill_workers(gateway)
            assert _status(gateway, "b") == 200
            gateway.kill()
            gateway.start()
            assert _status(gateway, "b") == 200
            assert gateway.stop() == 0
            gateway.start()
            assert [_status(gateway, "b") for _ in range(2)] == [429, 429], (
                "three answers are paid; a fourth is too much"
            )
        assert len(upstream.requests) == 3


def test_what_was_lost_is_raised_to_the_ledger_and_what_is_new_begins_at_nothing(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream:
        config = priced(upstream, {"b": target()}, [budget("b", 3.2 * ANSWER_USD, per="total")])
        with GatewayProcess(config, environment=ENVIRONMENT, directory=tmp_path) as gateway:
            for name in ("one", "two"):
                assert call(gateway, with_id(render_chat("b", max_tokens=5), name)).status == 200
                assert find_booked(gateway, name)
            assert gateway.stop() == 0
            counters = gateway.state / "counters"
            counters.unlink()
            gateway.start()
            gateway.wait_for(lambda: not lacks_spending(counters), 20)
            assert _status(gateway, "b") == 429
            assert gateway.stop() == 0
            assert "Traceback" not in gateway.stderr()
            gateway.config["policies"] = [budget("renamed", 3.2 * ANSWER_USD, on="b", per="total")]
            gateway.start()
            assert _status(gateway, "b") == 200


def test_reservation_of_a_killed_worker_is_not_spent(tmp_path: Path) -> None:
    """It holds its share until it expires; what was paid before stays, and a budget with room serves on."""
    with ScriptedUpstream() as upstream:
        config = priced(upstream, {"b": target()}, [budget("b", 0.011, per="total")])
        with GatewayProcess(config, environment=ENVIRONMENT, directory=tmp_path) as gateway:
            upstream.next(*long_stream(8, stall=True))
            with gateway.connect() as client:
                client.send(render_chat("b", stream=True)).receive_bytes(b"hey")
                _kill_workers(gateway)
            assert _status(gateway, "b") == 200
            assert call(gateway, render_chat("b", max_tokens=1_000)).status == 429, "the dead one's slice is held still"


# -- alerts -----------------------------------------------------------------------------------------------------------


class Hook:
    """A webhook's server: keeps what is posted; the first attempt of each alert fails."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.failed = 0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if not hook.failed:
                    hook.failed += 1
                    self.send_error(503)
                    return
                hook.received.append(msgspec.json.decode(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"


@pytest.fixture
def hook() -> Iterator[Hook]:
    running = Hook()
    thread = threading.Thread(target=running.server.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


def _has_heard(hook: Hook, count: int) -> bool:
    return len(hook.received) >= count


def _used(gateway: GatewayProcess, name: str) -> float:
    """What a budget has used, says its metric."""
    metrics = gateway.admin("/metrics")[1].decode()
    found = re.search(rf'^gatewright_budget_used_usd{{budget="{name}",.*}} (\S+)$', metrics, re.MULTILINE)
    return 0.0 if found is None else float(found[1])


def test_alerts_are_told_once(tmp_path: Path, hook: Hook) -> None:
    with ScriptedUpstream() as upstream:
        policy = budget("b", 2.2 * ANSWER_USD, per="total", soft=True, alerts=[50, 100], webhook="${env:HOOK}")
        config = priced(upstream, {"b": target()}, [policy])
        environment = {**ENVIRONMENT, "HOOK": hook.url}
        with GatewayProcess(config, environment=environment, directory=tmp_path) as gateway:
            gateway.wait_for(lambda: (gateway.state / "gatewright.db").exists())
            for told in (0, 1, 2, 2):
                assert _status(gateway, "b") == 200
                gateway.wait_for(partial(_has_heard, hook, told), 10)
            gateway.wait_for(lambda: _used(gateway, "b") == pytest.approx(4 * ANSWER_USD))
            assert [(alert["threshold_percent"], alert["used_usd"]) for alert in hook.received] == [
                (50, "0.000118000"),
                (100, "0.000177000"),
            ]
            assert hook.received[0]["budget"] == "b"
            assert hook.received[0]["group"] == "acme/search/indexer"
            assert hook.received[0]["limit_usd"] == "0.000129800"
            assert gateway.stderr().count("a budget has reached") == 2
            assert hook.url not in gateway.stderr()
            gateway.stop()
            gateway.start()
            assert _status(gateway, "b") == 200
            gateway.wait_for(lambda: _used(gateway, "b") == pytest.approx(5 * ANSWER_USD))
            assert len(hook.received) == 2
            assert "a budget has reached" not in gateway.stderr()


# -- kept by the admin API --------------------------------------------------------------------------------------------

SERVED_S = 2.0
"""A look at the database, and the workers' own time."""


def _keep_budget(gateway: GatewayProcess, name: str, usd: float) -> None:
    """What the admin API does on `PUT /admin/v1/budgets/NAME`."""
    engine = open_database(None, gateway.state)
    try:
        migrate(engine)
        budgets = Budgets(engine, validate=lambda policy, active: (), now=lambda: 0.0)
        policy = BudgetPolicy(name=name, on=Selector(models=["m"]), config={"usd": usd, "per": "total"})
        if any(kept.policy.name == name for kept in budgets.list()):
            budgets.replace(ACTOR, policy)
        else:
            budgets.create(ACTOR, policy)
    finally:
        engine.dispose()


ACTOR = Actor("tests", "admin", "127.0.0.1")


def test_managed_budgets_are_served_and_outlive_the_database(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream:
        config = priced(upstream, {"m": target()}, [])
        with GatewayProcess(config, environment=ENVIRONMENT, directory=tmp_path) as gateway:
            assert _status(gateway, "m") == 200
            _keep_budget(gateway, "kept", 0.000001)
            gateway.wait_for(lambda: _status(gateway, "m") == 429, SERVED_S)
            _keep_budget(gateway, "kept", 1.0)
            gateway.wait_for(lambda: _status(gateway, "m") == 200, SERVED_S)
            _keep_budget(gateway, "kept", 0.000001)
            gateway.wait_for(lambda: _status(gateway, "m") == 429, SERVED_S)
            assert gateway.stop() == 0
            for left in gateway.state.glob("gatewright.db*"):
                left.unlink()
            (gateway.state / "gatewright.db").mkdir()  # so that nobody can open one
            gateway.start()
            refused = call(gateway, render_chat("m"))
            assert refused.status == 429
            assert "budget `kept`" in refused.json()["error"]["message"]


def test_alerts_tell_what_is_spent_and_not_what_is_reserved(tmp_path: Path, hook: Hook) -> None:
    alerts = {"per": "total", "alerts": [50, 100], "webhook": "${env:HOOK}"}
    with ScriptedUpstream() as upstream:
        policies = [budget("held", 0.0053, **alerts), budget("refusing", 10.2 * ANSWER_USD, **alerts)]
        config = priced(upstream, {"held": target(), "refusing": target()}, policies)
        environment = {**ENVIRONMENT, "HOOK": hook.url}
        with (
            GatewayProcess(config, environment=environment, directory=tmp_path) as gateway,
            gateway.connect() as client,
        ):
            gateway.wait_for(lambda: (gateway.state / "gatewright.db").exists())
            upstream.next(*long_stream(8, stall=True))
            client.send(render_chat("held", stream=True)).receive_bytes(b"hey")
            assert _status(gateway, "held") == 200
            assert call(gateway, render_chat("held", max_tokens=1_000)).status == 429
            gateway.wait_for(lambda: _used(gateway, "held") == pytest.approx(ANSWER_USD))
            assert [_status(gateway, "refusing") for _ in range(10)] == [200] * 9 + [429]
            gateway.wait_for(partial(_has_heard, hook, 2), 10)
            assert sorted((alert["budget"], alert["threshold_percent"]) for alert in hook.received) == [
                ("refusing", 50),
                ("refusing", 100),
            ]
