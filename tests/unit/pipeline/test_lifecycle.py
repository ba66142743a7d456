"""An exchange from its request to the head of its answer: who, which model, which filters, how many tries."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from gateways import Answer, HostConfig, World, document, filter_type

from gatewright.config.documents import Gateway
from gatewright.core.errors import KINDS, GatewayError, Kind, Retry
from gatewright.core.exchange import Exchange
from gatewright.core.reply import Reply
from gatewright.core.surface import Dialect
from gatewright.core.traits import Traits
from gatewright.core.usage import Usage
from gatewright.dialects.openai import CHAT, COMPLETIONS, EMBEDDINGS
from gatewright.dialects.openai.responses import RESPONSES
from gatewright.filters.budget import BUDGET
from gatewright.filters.rate_limit import RATE_LIMIT
from gatewright.pipeline.attempts import OpenStream
from gatewright.pipeline.build import build_snapshot
from gatewright.pipeline.filters import Filter
from gatewright.pipeline.lifecycle import open_exchange, settle
from gatewright.pipeline.provider import ProviderType, Upstream, build_upstream
from gatewright.pipeline.snapshot import Snapshot
from gatewright.testing.gateway import key_hash

BODY = b'{"model": "m", "messages": []}'
ACME: dict[str, Any] = {"acme": {"teams": {"t": {"apps": {"a": {"keys": [key_hash("sk-1")]}}}}}}


def opened(world: World, x: Exchange, dialect: Any = CHAT) -> Reply | OpenStream:
    return asyncio.run(open_exchange(x, dialect, world.ports, world.send))


def refusal(world: World, x: Exchange, dialect: Any = CHAT) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        opened(world, x, dialect)
    return refused.value


# -- who --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": b"Bearer sk-1"},
        {"authorization": b"bearer  sk-1 "},
        {"x_api_key": b"sk-1"},
        {"api_key": b"sk-1"},
        {"x_goog_api_key": b"sk-1"},
    ],
)
def test_a_key_names_its_consumer_wherever_it_is_sent(headers: dict[str, bytes]) -> None:
    world = World()
    x = world.exchange(world.snapshot(document(consumers=ACME)), BODY, **headers)
    opened(world, x)
    assert x.consumer.path == "acme/t/a"
    assert x.is_identified


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "No API key was sent"),
        ({"authorization": b"Bearer "}, "No API key was sent"),
        ({"authorization": b"Bearer sk-2"}, "not valid here"),
        ({"authorization": b"Basic c2s="}, "must read `Bearer`"),
        ({"authorization": b"Bearer sk-2", "x_api_key": b"sk-1"}, "not valid here"),
    ],
)
def test_without_a_valid_key_nothing_is_sent(headers: dict[str, bytes], says: str) -> None:
    world = World()
    error = refusal(world, world.exchange(world.snapshot(document(consumers=ACME)), BODY, **headers))
    assert error.kind is Kind.UNAUTHENTICATED
    assert says in error.message
    assert "sk-2" not in error.message
    assert world.sent == []


def test_where_anonymous_calls_are_allowed_any_key_or_none_will_do() -> None:
    world = World()
    snapshot = world.snapshot(document())
    for headers in ({}, {"authorization": b"Bearer whatever"}):
        x = world.exchange(snapshot, BODY, **headers)
        opened(world, x)
        assert x.consumer.path == "anonymous"


# -- which ------------------------------------------------------------------------------------------------------------


def test_an_unknown_model_is_told_shortened() -> None:
    world = World()
    x = world.exchange(world.snapshot(document()), b'{"model": "%b"}' % (b"n" * 500))
    error = refusal(world, x)
    assert (error.kind, error.param) == (Kind.MODEL_NOT_FOUND, "model")
    assert len(error.message) < 300
    assert x.published_model == "", "names clients make up are no labels"


def test_the_target_gets_its_own_name_and_the_client_the_published_one() -> None:
    world = World()
    x = world.exchange(
        world.snapshot(document()), BODY, traceparent=b"00-1", cookie=b"private", authorization=b"Bearer mine"
    )
    reply = opened(world, x)
    assert isinstance(reply, Reply)
    assert msgspec.json.decode(reply.body) == {"model": "m"}
    _, request = world.sent[0]
    head, _, body = request.partition(b"\r\n\r\n")
    assert msgspec.json.decode(body) == {"model": "a-model", "messages": []}
    assert b"content-length: %d\r\n" % len(body) in head + b"\r\n"
    assert b"x-request-id: req_1" in head
    assert b"traceparent: 00-1" in head
    assert b"private" not in head
    assert b"mine" not in head
    assert x.upstream_s == 0.5


def test_a_dialect_the_provider_does_not_speak_is_the_clients_affair() -> None:
    world = World()
    error = refusal(world, world.exchange(world.snapshot(document()), b'{"model": "m"}'), EMBEDDINGS)
    assert error.kind is Kind.UNSUPPORTED_FEATURE
    assert world.sent == []


# -- how often --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(Kind))
def test_only_what_another_target_may_mend_goes_to_another_target(kind: Kind) -> None:
    world = World(0.0)
    world.script = [GatewayError(kind, "no")]
    x = world.exchange(world.snapshot(document([("a", 1), ("b", 1)])), BODY)
    fails_over = kind in {
        Kind.UPSTREAM_CONNECT_FAILED,
        Kind.UPSTREAM_TIMEOUT,
        Kind.UPSTREAM_OVERLOADED,
        Kind.UPSTREAM_RATE_LIMITED,
        Kind.UPSTREAM_FAILED,
    }
    assert fails_over == (KINDS[kind].retry is Retry.OTHER_UPSTREAM)
    if fails_over:
        opened(world, x)
        assert [name for name, _ in world.sent] == ["a", "b"]
        assert x.target.provider == "b"
    else:
        assert refusal(world, x).kind is kind
        assert [name for name, _ in world.sent] == ["a"]
    assert x.attempts == len(world.sent)
    assert x.upstream_s == 0.5 * len(world.sent)


@pytest.mark.parametrize(
    ("status", "tries"), [(400, 1), (401, 1), (404, 1), (302, 1), (429, 2), (500, 2), (503, 2), (504, 2)]
)
def test_an_error_answer_is_judged_the_same_way(status: int, tries: int) -> None:
    world = World()
    world.script = [Answer(status, b"{}"), Answer()]
    x = world.exchange(world.snapshot(document(fallback=[("b", 1)])), BODY)
    if tries == 1:
        refusal(world, x)
    else:
        opened(world, x)
    assert len(world.sent) == tries


@pytest.mark.parametrize(("attempts", "order"), [(1, "b"), (2, "ba"), (4, "bacd"), (10, "bacde")])
def test_attempts_are_limited_and_each_target_is_tried_once(attempts: int, order: str) -> None:
    world = World(0.5)
    world.script = [GatewayError(Kind.UPSTREAM_FAILED, str(number)) for number in range(10)]
    rows = [("a", 1), ("b", 1), ("c", 1)]
    x = world.exchange(world.snapshot(document(rows, [("d", 1), ("e", 1)], model={"attempts": attempts})), BODY)
    error = refusal(world, x)
    assert "".join(name for name, _ in world.sent) == order
    assert error.message == str(len(order) - 1), "the last failure is the one that is told"
    assert x.attempts == len(order)


def test_a_cancelled_exchange_is_not_tried_again() -> None:
    world = World()
    world.script = [asyncio.CancelledError()]
    x = world.exchange(world.snapshot(document(fallback=[("b", 1)])), BODY)
    with pytest.raises(asyncio.CancelledError):
        opened(world, x)
    assert x.attempts == 1
    assert x.upstream_s == 0.5


# -- streams ----------------------------------------------------------------------------------------------------------

STREAM = b'{"model": "m", "stream": true}'


def test_a_stream_that_was_asked_for_is_opened() -> None:
    world = World()
    world.script = [Answer(200, None, retry_after=b"1")]
    x = world.exchange(world.snapshot(document()), STREAM)
    stream = opened(world, x)
    assert isinstance(stream, OpenStream)
    assert x.stream
    assert stream.headers == ((b"retry-after", b"1"),)
    assert msgspec.json.decode(world.sent[0][1].partition(b"\r\n\r\n")[2])["stream_options"] == {"include_usage": True}


def test_a_stream_nobody_asked_for_is_a_bad_answer_and_closed() -> None:
    world = World()
    answer = Answer(200, None)
    world.script = [answer]
    assert refusal(world, world.exchange(world.snapshot(document()), BODY)).kind is Kind.UPSTREAM_BAD_RESPONSE
    assert answer.aborted


def test_an_error_told_as_a_stream_is_closed_and_judged_by_its_status() -> None:
    world = World()
    answer = Answer(503, None)
    world.script = [answer]
    assert refusal(world, world.exchange(world.snapshot(document()), STREAM)).kind is Kind.UPSTREAM_OVERLOADED
    assert answer.aborted


# -- filters ----------------------------------------------------------------------------------------------------------


class Guard(Filter):
    """Notes when it is called; answers or refuses when its note says so."""

    calls: list[str] = []  # noqa: RUF012 - shared on purpose

    needs_task = False

    def __init__(self, config: Any, ports: Any) -> None:
        self.note = config.note

    async def on_request(self, x: Exchange) -> Reply | None:
        self.calls.append(f"request {self.note}")
        if self.note == "answer":
            return Reply(200, b"known")
        if self.note == "refuse":
            raise GatewayError(Kind.GUARDRAIL_BLOCKED, "no")
        return None

    def on_response(self, x: Exchange, body: bytes) -> bytes:
        self.calls.append(f"response {self.note}")
        return body + self.note.encode()

    def on_settle(self, x: Exchange) -> None:
        self.calls.append(f"settle {self.note}")


class Patient(Guard):
    needs_task = True


def guarded(world: World, kind: type[Filter], *notes: str) -> Exchange:
    Guard.calls.clear()
    policies = [{"filter": "probe", "config": {"note": note}} for note in notes]
    return world.exchange(world.snapshot(document(policies=policies), filter_type(kind)), BODY)


@pytest.mark.parametrize(("kind", "tasks"), [(Guard, 0), (Patient, 1)])
def test_hooks_run_in_order_and_as_a_task_only_where_one_is_needed(kind: type[Filter], tasks: int) -> None:
    world = World()
    x = guarded(world, kind, "one", "two")
    reply = opened(world, x)
    settle(x, world.ports)
    assert world.spawned == tasks
    assert Guard.calls == [
        "request one",
        "request two",
        "response two",
        "response one",
        "settle two",
        "settle one",
    ]
    assert isinstance(reply, Reply)
    assert reply.body.endswith(b"twoone")


@pytest.mark.parametrize("kind", [Guard, Patient])
def test_a_filter_that_answers_ends_the_request(kind: type[Filter]) -> None:
    world = World()
    x = guarded(world, kind, "answer", "two")
    assert opened(world, x) == Reply(200, b"known")
    assert Guard.calls == ["request answer"]
    assert world.sent == []
    assert x.attempts == 0


@pytest.mark.parametrize("kind", [Guard, Patient])
def test_a_filter_that_refuses_is_settled_like_all_others(kind: type[Filter]) -> None:
    world = World()
    x = guarded(world, kind, "one", "refuse", "three")
    assert refusal(world, x).kind is Kind.GUARDRAIL_BLOCKED
    settle(x, world.ports)
    assert Guard.calls == ["request one", "request refuse", "settle three", "settle refuse", "settle one"]


def test_hooks_run_once_however_many_attempts_follow() -> None:
    world = World()
    world.script = [GatewayError(Kind.UPSTREAM_FAILED, "no"), Answer()]
    Guard.calls.clear()
    given = document(fallback=[("b", 1)], policies=[{"filter": "probe", "config": {"note": "one"}}])
    opened(world, world.exchange(world.snapshot(given, filter_type(Guard)), BODY))
    assert len(world.sent) == 2
    assert Guard.calls == ["request one", "response one"]


def test_settling_an_exchange_that_came_nowhere_is_nothing() -> None:
    world = World()
    settle(world.exchange(world.snapshot(document()), BODY), world.ports)


# -- what it cost -----------------------------------------------------------------------------------------------------

PRICED = {
    "host/a-model": {
        "prices": {"input": "2", "output": "8"},
        "flex": {"input": "1", "output": "4"},
        "batch": {"input": "0.5", "output": "2"},
        "changes": [{"from_day": "2030-01-01", "prices": {"input": "20", "output": "80"}}],
    }
}
USED = b'{"model": "a-model", "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}}'


@pytest.mark.parametrize(
    ("catalogue", "body", "unix_s", "cost"),
    [
        (PRICED, BODY, 0.0, 280_000_000_000),
        (PRICED, b'{"model": "m", "messages": [], "service_tier": "flex"}', 0.0, 140_000_000_000),
        (PRICED, b'{"model": "m", "messages": [], "service_tier": "auto"}', 0.0, 280_000_000_000),
        # A batch is no service that a request can be answered by.
        (PRICED, b'{"model": "m", "messages": [], "service_tier": "batch"}', 0.0, 280_000_000_000),
        # Another vendor's word for the member: nobody read it.
        (PRICED, b'{"model": "m", "messages": [], "serviceTier": {"type": "flex"}}', 0.0, 280_000_000_000),
        (PRICED, b'{"model": "m", "messages": [], "": "flex"}', 0.0, 280_000_000_000),
        (PRICED, BODY, 1_900_000_000.0, 2_800_000_000_000),
        ({}, BODY, 0.0, None),
    ],
)
def test_an_exchange_is_priced_by_the_catalogue_of_the_day(
    catalogue: Any, body: bytes, unix_s: float, cost: int | None
) -> None:
    world = World()
    world.ports = msgspec.structs.replace(world.ports, wall=lambda: unix_s)
    world.script = [Answer(body=USED)]
    x = world.exchange(world.snapshot(document(catalogue=catalogue)), body)
    x.dialect = CHAT
    opened(world, x)
    settle(x, world.ports)
    assert x.cost_femto_usd == cost


@pytest.mark.parametrize(
    ("asked", "served", "cost"),
    [
        (None, "flex", 140_000_000_000),
        ("flex", "flex", 140_000_000_000),
        # A vendor without room for it falls back to its usual service, and charges that.
        ("flex", "default", 280_000_000_000),
        ("auto", "flex", 140_000_000_000),
        ("flex", "auto", 140_000_000_000),
        # A service without a list of its own is charged as the usual one.
        ("flex", "priority", 280_000_000_000),
    ],
)
def test_the_service_that_answered_is_charged(asked: str | None, served: str, cost: int) -> None:
    world = World()
    world.script = [Answer(body=b'{"service_tier": "%b", %b' % (served.encode(), USED[1:]))]
    body = b'{"model": "m", "messages": []%b}' % (b"" if asked is None else b',"service_tier":"%b"' % asked.encode())
    x = world.exchange(world.snapshot(document(catalogue=PRICED)), body)
    x.dialect = CHAT
    opened(world, x)
    settle(x, world.ports)
    assert x.cost_femto_usd == cost


def snapshot_of(world: World, spoken: str, config: dict[str, Any], unsupported: tuple[str, ...] = ()) -> Snapshot:
    """A gateway before hosts that speak one dialect, without some of its members."""

    def build_speaking(name: str, config: HostConfig) -> Upstream:
        traits = Traits(unsupported=frozenset(unsupported))
        paths = {spoken: "/{model}"}
        return build_upstream(name, config, url=config.url or "", paths=paths, credential=None, traits=traits)

    host: ProviderType[Any] = ProviderType("host", HostConfig, build_speaking, "A host.")
    gateway = msgspec.convert(config, Gateway)
    return build_snapshot(gateway, version=1, providers=[host], filters=[BUDGET, RATE_LIMIT], ports=world.ports)


@pytest.mark.parametrize(
    ("client", "spoken", "unsupported", "asked", "cost"),
    [
        (CHAT, "openai.chat", (), b'"service_tier": "flex"', 140_000_000_000),
        (CHAT, "openai.responses", (), b'"service_tier": "flex"', 140_000_000_000),
        (CHAT, "bedrock.converse", (), b'"service_tier": "flex"', 140_000_000_000),
        (CHAT, "bedrock.converse", (), b'"service_tier": "batch"', 280_000_000_000),
        # The member is left out of what is sent, or there is none: only the usual service can have answered.
        (CHAT, "openai.chat", ("service_tier",), b'"service_tier": "flex"', 280_000_000_000),
        (CHAT, "bedrock.converse", ("serviceTier",), b'"service_tier": "flex"', 280_000_000_000),
        (CHAT, "anthropic.messages", (), b'"service_tier": "flex"', 280_000_000_000),
        (CHAT, "cohere.chat", (), b'"service_tier": "flex"', 280_000_000_000),
        (COMPLETIONS, "openai.chat", (), b'"service_tier": "flex"', 280_000_000_000),
        (COMPLETIONS, "openai.chat", (), b'"": "flex"', 280_000_000_000),
    ],
)
def test_an_answer_that_names_no_service_is_charged_by_the_one_that_was_asked_for(
    client: Dialect, spoken: str, unsupported: tuple[str, ...], asked: bytes, cost: int
) -> None:
    world = World()
    snapshot = snapshot_of(world, spoken, document(catalogue=PRICED), unsupported=unsupported)
    x = world.exchange(
        snapshot, b'{"model": "m", "messages": [{"role": "user", "content": "a"}], "prompt": "a", %b}' % asked
    )
    x.dialect = client
    world.script = [GatewayError(Kind.UPSTREAM_CUT, "gone")]
    refusal(world, x, client)
    assert (b"flex" in world.sent[0][1]) == (cost == 140_000_000_000)
    x.usage, x.is_complete = Usage(input_total=100, output_total=10), True
    settle(x, world.ports)
    assert x.cost_femto_usd == cost


# -- what is answered later -------------------------------------------------------------------------------------------

SPEND: dict[str, Any] = {"filter": "budget", "name": "b", "config": {"usd": 1.0, "unpriced": "allow"}}
SOFT: dict[str, Any] = {"filter": "budget", "name": "b", "config": {"usd": 1.0, "soft": True}}
TOKENS: dict[str, Any] = {"filter": "rate_limit", "config": {"tokens": 1_000, "per": "minute"}}
OUTPUT: dict[str, Any] = {"filter": "rate_limit", "config": {"output_tokens": 1_000, "per": "minute"}}
REQUESTS: dict[str, Any] = {"filter": "rate_limit", "config": {"requests": 10, "per": "minute"}}
QUEUED = b'{"id":"resp_1","object":"response","status":"queued","background":true,"output":[],"usage":null}'


def ask_later(policy: dict[str, Any] | None, client: Dialect, spoken: str, asked: bytes) -> tuple[World, Exchange]:
    world = World(*[0.0] * 9)
    world.ports = msgspec.structs.replace(world.ports, wall=world.clock)
    config = document(catalogue=PRICED, policies=[] if policy is None else [policy])
    x = world.exchange(snapshot_of(world, spoken, config), b'{"model":"m","input":"a","messages":[],%b}' % asked)
    x.dialect = client
    world.script = [Answer(body=QUEUED)]
    return world, x


@pytest.mark.parametrize("policy", [SPEND, SOFT, TOKENS, OUTPUT])
@pytest.mark.parametrize(
    ("client", "spoken", "asked"),
    [
        (RESPONSES, "openai.responses", b'"background":true'),
        (RESPONSES, "openai.responses", b'"background":true,"stream":true'),
        (RESPONSES, "openai.responses", b'"background":1'),
        (CHAT, "openai.chat", b'"deferred":true'),
    ],
)
def test_no_token_limit_and_no_budget_is_evaded_by_an_answer_that_comes_later(
    policy: dict[str, Any], client: Dialect, spoken: str, asked: bytes
) -> None:
    world, x = ask_later(policy, client, spoken, asked)
    error = refusal(world, x, client)
    assert (error.kind, error.param) == (Kind.UNSUPPORTED_FEATURE, client.deferring_member)
    assert f"Send `{error.param}: false`" in error.message
    assert world.sent == []
    assert x.grant is None


@pytest.mark.parametrize(
    ("policy", "client", "spoken", "asked"),
    [
        (SPEND, RESPONSES, "openai.responses", b'"background":false'),
        (SPEND, RESPONSES, "openai.responses", b'"background":null'),
        (SPEND, RESPONSES, "openai.responses", b'"deferred":true'),
        (SPEND, COMPLETIONS, "openai.completions", b'"":true'),
        # Nothing that is known at the end alone is counted.
        (REQUESTS, RESPONSES, "openai.responses", b'"background":true'),
        (None, RESPONSES, "openai.responses", b'"background":true'),
    ],
)
def test_what_is_counted_in_time_goes_through(
    policy: dict[str, Any] | None, client: Dialect, spoken: str, asked: bytes
) -> None:
    world, x = ask_later(policy, client, spoken, asked)
    opened(world, x, client)
    assert len(world.sent) == 1


def test_a_translation_that_leaves_the_member_out_is_answered_at_once() -> None:
    world, x = ask_later(SPEND, CHAT, "openai.responses", b'"deferred":true')
    opened(world, x)
    assert b"deferred" not in world.sent[0][1]


def test_what_is_answered_later_has_no_known_cost() -> None:
    world, x = ask_later(None, RESPONSES, "openai.responses", b'"background":true')
    opened(world, x, RESPONSES)
    settle(x, world.ports)
    assert x.usage is not None
    assert (x.usage.estimated, x.usage.uncounted, x.cost_femto_usd) == (True, True, None)
