"""The ledger beside the provider's own book: recorded exchanges through a real gateway, counted on both sides.

The upstream plays recordings and keeps a book of what each answer that it gave in full reports, read by a reader that
shares nothing with the gateway's (`vendor_usage`). Clients leave and the upstream fails at random, by a fixed seed. In
the end the ledger must hold each request once, and agree with the upstream's book to the token and with the catalogue
to the femto-dollar.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import quote

import pytest
from tests.books import USED, Entry, Prices, count_booked, read_entries, read_rows, usd_of, verify_ledger
from tests.truth.recordings import Recording, of
from tests.truth.vendor_usage import DIALECTS, Used, has_failed, is_sound, pieces_of, service_list, service_of, used_by

from gatewright.control.usage import UsageQuery, report_usage
from gatewright.store.database import open_database
from gatewright.testing import answers
from gatewright.testing.client import PeerClosed
from gatewright.testing.gateway import GatewayProcess, key_hash
from gatewright.testing.received import Received
from gatewright.testing.steps import Pause, Reset, Send, Stall, Step
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = [pytest.mark.truth, pytest.mark.sockets, pytest.mark.timeout(600)]

IS_LONG = bool(os.environ.get("SOAK"))
ROUNDS = 5 if IS_LONG else 1
SEED = 20
AT_ONCE = 4
WAIT_S = 60.0
QUIET_S = 0.1
PATIENCE_S = 2.0
"""How long a client waits for the begin of a stream before it leaves."""
KEYS = {"whole": "sk-books-whole", "torn": "sk-books-torn"}
"""By consumer: who asks for what ends well and is reported, and who for everything else."""
SPARE = "-spare"
HOSTS = {
    "alibaba": "qwen",
    "cerebras": "cerebras",
    "deepseek": "deepseek",
    "groq": "groq",
    "huggingface": "huggingface",
    "mistral": "mistral",
    "moonshotai": "moonshot",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "vllm": "vllm",
    "xai": "xai",
    "zai": "zai",
}
"""Recorded hosts of OpenAI's chat API that are provider types of their own."""
TYPES = {
    "anthropic": ("anthropic", "/v1"),
    "google": ("gemini", "/v1beta"),
    "bedrock": ("bedrock", ""),
    "cohere": ("cohere", "/v2"),
    "ollama": ("ollama", ""),
}
"""Provider type and the path of its `url`, by the family of the dialect."""
OPERATIONS = {
    "openai.chat": ("/chat/completions",),
    "openai.completions": ("/completions",),
    "openai.responses": ("/responses",),
    "openai.embeddings": ("/embeddings",),
    "anthropic.messages": ("/messages",),
    "google.generate_content": (":generateContent", ":streamGenerateContent"),
    "google.batch_embed_contents": (":batchEmbedContents",),
    "bedrock.converse": ("/converse", "/converse-stream"),
    "cohere.chat": ("/v2/chat",),
    "cohere.embed": ("/v2/embed",),
    "ollama.chat": ("/api/chat",),
}
"""What an upstream is called with for each dialect."""
CONTENT_TYPES = {"bedrock.converse": "application/vnd.amazon.eventstream", "ollama.chat": "application/x-ndjson"}
CLIENTS = (
    "openai.chat",
    "openai.responses",
    "anthropic.messages",
    "google.generate_content",
    "bedrock.converse",
    "cohere.chat",
    "ollama.chat",
)
TRANSLATED = ("openai.chat", *CLIENTS[2:])
"""Recordings that are asked for in other dialects, too. Responses are not: OpenAI's provider speaks chat as well."""
SPOKEN = {"openai.chat": ("openai.chat", "openai.responses"), "ollama.chat": ("ollama.chat", "openai.chat")}
"""What providers of these speak besides, so that nothing would be translated."""
UNSEEN = re.compile(
    r"search|fetch|mcp|computer|[cC]ode_?[eE]xecution|interpreter|compound|advisor|text_editor|shell|container|urlContext"
    r"|image|document|[fF]ile|inlineData|audio|video|cachedContent|previous_response_id|\"conversation\""
)
"""What makes a provider read more than the request shows: its own tools, media, and what it keeps."""
NEEDS_EVENTS = 8
"""Streams shorter than this are not cut: too little would be left on one of the sides."""


@dataclass
class Plan:
    """One request: what is asked, what the upstream plays, and what happens to it."""

    id: str
    recording: Recording
    client: str
    """The dialect it is asked in."""
    fault: str
    """`before` and `within`: the client leaves before the answer, or within it; `refused` (429 or 503): another target
    answers; `reset`: RST instead of an answer, which is told, since the upstream may have begun; `cut`: RST within a
    stream; or empty."""
    used: Used | None
    """What the recorded answer reports."""
    is_failure: bool
    """Whether it holds an error."""
    share: float = 0.0
    """How much of a stream comes when it is torn."""
    asked: threading.Event = field(default_factory=threading.Event)
    status: int = 0
    """What the client got; 0 when it left or was left."""
    has_begun: bool = False
    """Whether the client saw some of a stream before it left."""

    @property
    def is_identity(self) -> bool:
        return self.client == self.recording.dialect

    @property
    def is_torn(self) -> bool:
        return self.fault in ("before", "within", "cut")

    @property
    def consumer(self) -> str:
        is_answered = self.fault in ("", "refused") and self.recording.status == 200
        return "whole" if is_answered and self.used is not None and not self.is_failure else "torn"


def provider_of(recording: Recording) -> tuple[str, str, str]:
    """Name, type and URL path of the provider that stands for the recorded one."""
    family = recording.dialect.partition(".")[0]
    kind, root = TYPES.get(family, ("openai", "/v1"))
    if recording.dialect == "openai.chat":
        kind = HOSTS.get(recording.provider, kind)
    return f"{family}-{recording.provider}-{kind}".replace("_", "-"), kind, root


def model_of(recording: Recording) -> str:
    """The provider's name of the model that answered."""
    path = recording.url.partition("?")[0]
    for mark in ("/models/", "/model/"):
        if mark in path:
            return path.rpartition(mark)[2].partition(":")[0].partition("/")[0].replace("%3A", ":")
    named = (recording.request or {}).get("model") or (recording.answer or {}).get("model")
    return named if isinstance(named, str) and named else "unnamed"


def make_plans() -> list[Plan]:
    """Every recording in its own dialect, and many in another, with faults by the dice."""
    dice = random.Random(SEED)
    reported = {one.path: (used_by(one), has_failed(one)) for one in of(*DIALECTS) if is_sound(one)}
    found = [one for one in of(*DIALECTS) if one.path in reported]
    plans: list[Plan] = []
    for _ in range(ROUNDS):
        asked = [(one, one.dialect) for one in found]
        for one in found:
            if one.dialect in TRANSLATED and one.status == 200 and (one.text or dice.random() < 0.5):
                own = SPOKEN.get(one.dialect, (one.dialect,))
                asked.append((one, dice.choice([client for client in CLIENTS if client not in own])))
        dice.shuffle(asked)
        for recording, client in asked:
            name, fault, share = f"books-{len(plans):06}", _fault(recording, dice), 0.4 + dice.random() * 0.3
            used, is_failure = reported[recording.path]
            plans.append(Plan(name, recording, client, fault, used, is_failure, share))
    return plans


def _fault(recording: Recording, dice: random.Random) -> str:
    roll = dice.random()
    is_long = bool(recording.text) and len(pieces_of(recording)) >= NEEDS_EVENTS
    if recording.status != 200:
        return ""
    if roll < 0.10:
        return "within" if is_long and roll < 0.07 else "before"
    if roll < 0.20:
        return "cut" if is_long and roll < 0.15 else "refused" if roll < 0.175 else "reset"
    return ""


class Vendors:
    """All recorded providers as one upstream, with the book of what it answered in full."""

    def __init__(self, upstream: ScriptedUpstream, plans: list[Plan]) -> None:
        self._plans = {plan.id: plan for plan in plans}
        self.book: dict[tuple[str, str, str], Used | None] = {}
        """By exchange, provider and model."""
        self.doubled: list[str] = []
        self.surprises: list[str] = []
        upstream.always(self.play)

    def play(self, request: Received) -> tuple[Step, ...]:
        provider = request.path.split("/")[1]
        plan = self._plans[request.header("x-request-id") or ""]
        recording = plan.recording
        if not request.path.endswith(OPERATIONS[recording.dialect]):
            self.surprises.append(f"{recording.path}: {plan.client} came as {request.path}")
        fault = "" if provider.endswith(SPARE) else plan.fault
        plan.asked.set()
        if fault == "before":
            return (Stall(),)
        if fault == "refused":
            return answers.reply(
                429 if plan.id.endswith(("1", "3", "5", "7", "9")) else 503, answers.error("overloaded")
            )
        if fault == "reset":
            return (Reset(),)
        if fault:
            return self._torn(recording, plan.share, fault)
        if recording.status == 200:
            key = (plan.id, provider, model_of(recording))
            if key in self.book:
                self.doubled.append(plan.id)
            self.book[key] = plan.used
        return self._whole(recording)

    def _whole(self, recording: Recording) -> tuple[Step, ...]:
        if not recording.text:
            return answers.reply(recording.status, json.dumps(recording.answer).encode())
        return (self._head(recording), Send(answers.chunk(recording.text)), Send(answers.LAST_CHUNK))

    def _torn(self, recording: Recording, share: float, fault: str) -> tuple[Step, ...]:
        pieces = pieces_of(recording)
        some = pieces[: int(len(pieces) * share)]
        end: tuple[Step, ...] = (Stall(),) if fault == "within" else (Pause(0.05), Reset())
        return (self._head(recording), *(Send(answers.chunk(piece)) for piece in some), *end)

    def _head(self, recording: Recording) -> Send:
        kind = CONTENT_TYPES.get(recording.dialect, "text/event-stream")
        return Send(answers.render_head(recording.status, [("content-type", kind), ("transfer-encoding", "chunked")]))


# -- the client -------------------------------------------------------------------------------------------------------


def render(plan: Plan, published: str) -> bytes:
    """The request: as it was recorded in its own dialect, a plain one in others."""
    body, stream = _body(plan), bool(plan.recording.text)
    model = quote(published, safe="")
    path = {
        "openai.chat": "/v1/chat/completions",
        "openai.completions": "/v1/completions",
        "openai.responses": "/v1/responses",
        "openai.embeddings": "/v1/embeddings",
        "anthropic.messages": "/v1/messages",
        "google.generate_content": f"/v1beta/models/{model}:{'streamGenerateContent' if stream else 'generateContent'}",
        "google.batch_embed_contents": f"/v1beta/models/{model}:batchEmbedContents",
        "bedrock.converse": f"/model/{model}/converse{'-stream' if stream else ''}",
        "cohere.chat": "/v2/chat",
        "cohere.embed": "/v2/embed",
        "ollama.chat": "/api/chat",
    }[plan.client]
    if plan.client == "google.generate_content" and stream:
        path += "?alt=sse"
    if not plan.client.startswith(("google", "bedrock")):
        body = {**body, "model": published}
        if not plan.client.endswith(("embeddings", "embed")):
            body["stream"] = stream
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1",
        "Host: gateway.test",
        "Content-Type: application/json",
        f"Authorization: Bearer {KEYS[plan.consumer]}",
        f"X-Request-Id: {plan.id}",
        f"Content-Length: {len(content)}",
    )
    return "\r\n".join([*head, "", ""]).encode() + content


def _body(plan: Plan) -> dict[str, Any]:
    if plan.is_identity and plan.recording.request is not None:
        return dict(plan.recording.request)
    text = "Say what you know of the matter, in as few words as will do."
    messages = [{"role": "user", "content": text}]
    plain: dict[str, dict[str, Any]] = {
        "openai.completions": {"prompt": text},
        "openai.responses": {"input": text, "store": False},
        "openai.embeddings": {"input": [text]},
        "anthropic.messages": {"messages": messages, "max_tokens": 64},
        "google.generate_content": {"contents": [{"role": "user", "parts": [{"text": text}]}]},
        "google.batch_embed_contents": {"requests": [{"content": {"parts": [{"text": text}]}}]},
        "bedrock.converse": {"messages": [{"role": "user", "content": [{"text": text}]}]},
        "cohere.embed": {"texts": [text], "input_type": "search_query", "embedding_types": ["float"]},
    }
    return plain.get(plan.client, {"messages": messages})


def ask(gateway: GatewayProcess, plan: Plan, published: str) -> None:
    """Send a request, and behave as the plan says."""
    with gateway.connect(timeout_s=PATIENCE_S if plan.fault == "within" else 20.0) as client:
        client.send(render(plan, published))
        if plan.fault == "before":
            assert plan.asked.wait(20.0), plan.id
            client.reset()
            return
        try:
            if plan.fault == "within":
                plan.status = client.receive_head().status
                if plan.status != 200:
                    return
                client.receive_bytes(b"\r\n")
                plan.has_begun = True
                client.socket.settimeout(QUIET_S)
                client.receive_bytes()  # all that comes before it is quiet
            plan.status = client.receive().status
        except PeerClosed:
            assert plan.fault == "cut", plan.id
        except TimeoutError:
            assert plan.fault == "within", plan.id
            client.reset()


# -- the run ----------------------------------------------------------------------------------------------------------


class Run:
    """What both sides wrote down."""

    def __init__(self, gateway: GatewayProcess, plans: list[Plan], vendors: Vendors) -> None:
        self.plans, self.vendors = {plan.id: plan for plan in plans}, vendors
        self.gateway = gateway
        self.entries = read_entries(gateway.state)
        self.lines = gateway.access_log()

    def one(self, plan: Plan) -> Entry:
        (entry,) = self.entries[plan.id]
        return entry


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    plans = make_plans()
    with ScriptedUpstream() as upstream:
        vendors = Vendors(upstream, plans)
        config, published = configure(plans, upstream)
        with GatewayProcess(config, arguments=["--workers", "2"], environment={"VENDOR_KEY": "sk-vendor"}) as gateway:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for done in [pool.submit(ask, gateway, plan, published[plan.id]) for plan in plans]:
                    done.result()
            gateway.wait_for(lambda: count_booked(gateway.state) >= len(plans), WAIT_S)
            gateway.wait_for(lambda: len(gateway.access_log()) >= len(plans), WAIT_S)
            found = Run(gateway, plans, vendors)
            yield found
            assert not vendors.surprises
            assert "Traceback" not in gateway.stderr()
    tell(request, found)


def configure(plans: list[Plan], upstream: ScriptedUpstream) -> tuple[dict[str, Any], dict[str, str]]:
    """A provider for each recorded one and a spare of it, a published model for each of their models."""
    providers: dict[str, Any] = {}
    models: dict[str, Any] = {}
    names: dict[tuple[str, str], str] = {}
    published: dict[str, str] = {}
    for plan in plans:
        (provider, kind, root), model = provider_of(plan.recording), model_of(plan.recording)
        for name in (provider, provider + SPARE):
            url = f"http://{upstream.host}:{upstream.port}/{name}{root}"
            providers[name] = {"type": kind, "url": url, "key": "${env:VENDOR_KEY}"}
        name = names.setdefault((provider, model), f"m{len(names)}")
        published[plan.id] = name
        models[name] = {
            "targets": [{"provider": provider, "model": model}],
            "fallback": [{"provider": provider + SPARE, "model": model}],
            "fidelity": "permissive",
        }
    apps = {name: {"keys": [key_hash(key)]} for name, key in KEYS.items()}
    config = {
        "providers": providers,
        "models": models,
        "consumers": {"acme": {"teams": {"books": {"apps": apps}}}},
        "log": {"access": "json"},
    }
    return config, published


def test_each_request_is_in_the_ledger_once(run: Run) -> None:
    assert len(run.plans) >= 1_000
    assert run.entries.keys() == run.plans.keys()
    assert [name for name, entries in run.entries.items() if len(entries) != 1] == []
    assert run.vendors.doubled == []


def test_the_ledger_is_the_upstreams_book(run: Run) -> None:
    """To the token, by provider, model and kind: by plain SQL, and by the usage service."""
    wrong = []
    expected: Counter[tuple[str, str, str]] = Counter()
    for (name, provider, model), used in run.vendors.book.items():
        plan = run.plans[name]
        if plan.consumer != "whole":
            continue
        assert used is not None
        last = run.one(plan).attempts[-1]
        told = tuple(last[column] for column in USED)
        if (last["provider"], last["upstream_model"], told, last["is_estimated"]) != (provider, model, used, 0):
            wrong.append((plan.recording.path, plan.client, used, told, dict(last)))
        expected.update({(provider, model, kind): count for kind, count in zip(USED, used, strict=True)})
    assert wrong == [], "\n".join(map(str, wrong))
    sums = ", ".join(f"sum(a.{kind}) AS {kind}" for kind in USED)
    rows = read_rows(
        run.gateway.state,
        f"SELECT a.provider, a.upstream_model, {sums} FROM attempts a JOIN exchanges e USING (journal, number)"
        " WHERE e.consumer = ? GROUP BY a.provider, a.upstream_model",
        "acme/books/whole",
    )
    by_sql = {(row["provider"], row["upstream_model"], kind): row[kind] for row in rows for kind in USED}
    assert _without_zeros(by_sql) == _without_zeros(expected)
    engine = open_database(None, run.gateway.state)
    try:
        query = UsageQuery(by=("provider", "upstream_model"), consumer="acme/books/whole")
        report = report_usage(engine, query)
    finally:
        engine.dispose()
    reported = {
        (row.of["provider"], row.of["upstream_model"], kind): row.tokens.get(kind, 0)
        for row in report.rows
        for kind in USED
    }
    assert _without_zeros(reported) == _without_zeros(expected)
    assert report.total.estimated == 0
    assert report.total.exchanges == sum(plan.consumer == "whole" for plan in run.plans.values())


def _without_zeros(counts: Any) -> dict[Any, int]:
    return {key: int(count) for key, count in counts.items() if count}


def test_what_was_torn_is_estimated(run: Run) -> None:
    wrong = []
    for plan in run.plans.values():
        entry = run.one(plan)
        exchange = entry.exchange
        if plan.is_torn and exchange["kind"]:
            has_output = plan.fault == "cut" or plan.has_begun
            is_right = exchange["is_estimated"] and exchange["input_total"] > 0
            if not is_right or (has_output and exchange["output_total"] <= 0):
                wrong.append((plan.recording.path, plan.client, plan.fault, entry))
        elif plan.is_torn:  # torn before the client saw any of it, and answered by the spare
            assert plan.fault == "cut", entry
            assert len(entry.attempts) == 2, entry
        elif plan.consumer == "whole" and (exchange["is_estimated"] or exchange["kind"]):
            wrong.append((plan.recording.path, plan.client, plan.fault, entry))
    assert wrong == [], "\n".join(map(str, wrong))


def test_estimates_are_of_the_right_size(run: Run) -> None:
    """Of requests that show all that the provider read; vendors' own prompts for tools make them too low."""
    found = shares(run, "input", is_plain=True)
    assert len(found) >= 50
    assert 0.6 < quantile(found, 0.5) < 1.5
    assert quantile(found, 0.9) < 2.5


def test_failed_attempts_are_told(run: Run) -> None:
    for plan in run.plans.values():
        if plan.fault not in ("refused", "reset"):
            continue
        first, *others = run.one(plan).attempts
        assert (first["outcome"] != "ok", first["input_total"], first["output_total"]) == (True, 0, 0)
        spare = [first["provider"] + SPARE] if plan.fault == "refused" else []
        assert [other["provider"] for other in others] == spare


def test_costs_are_the_catalogues_to_the_femto_dollar(run: Run) -> None:
    prices = Prices(f"{datetime.now(UTC):%Y-%m-%d}")
    priced = 0
    for plan in run.plans.values():
        entry = run.one(plan)
        body = _body(plan)
        asked = service_list(body.get("service_tier") or body.get("serviceTier"))
        for attempt in entry.attempts:
            # What was torn was mostly torn before it said by which service it is given.
            service = asked if attempt["is_estimated"] else service_of(plan.recording) or asked
            expected = prices.cost_usd(attempt, service)
            has_used = any(attempt[kind] for kind in USED)
            if expected is None:
                assert usd_of(attempt) == 0, attempt
                assert attempt["is_unpriced"] or not has_used, attempt
            elif has_used:
                assert usd_of(attempt) == expected, attempt
                assert not attempt["is_unpriced"]
                priced += 1
            else:
                assert usd_of(attempt) in (0, expected), attempt
        assert entry.cost_usd == sum(map(usd_of, entry.attempts))
    assert priced > len(run.plans) // 2


def test_the_access_log_says_the_same(run: Run) -> None:
    assert len(run.lines) == len(run.plans)
    assert {line["id"] for line in run.lines} == run.plans.keys()
    for line in run.lines:
        entry = run.one(run.plans[line["id"]])
        exchange = entry.exchange
        assert line["status"] == exchange["status"], line
        assert line.get("kind", "") == exchange["kind"], line
        assert line.get("attempts", 0) == len(entry.attempts), line
        assert (line.get("input_tokens", 0), line.get("output_tokens", 0)) == (
            exchange["input_total"],
            exchange["output_total"],
        ), line
        assert line.get("cached_input_tokens", 0) == exchange["input_cached_read"]
        assert line.get("reasoning_tokens", 0) == exchange["output_reasoning"]
        nano = entry.cost_usd.quantize(Decimal("1e-9"), ROUND_HALF_UP)
        assert Decimal(repr(line.get("cost_usd", 0))).quantize(Decimal("1e-9")) == nano, line


def test_the_ledger_verifies(run: Run) -> None:
    report = verify_ledger(run.gateway)
    assert report.problems == []
    assert (report.kept, report.waiting) == (len(run.plans), 0)


def tell(request: pytest.FixtureRequest, run: Run) -> None:
    """The figures, for the page and for people."""
    plans = list(run.plans.values())
    used = [used for (name, *_), used in run.vendors.book.items() if used and run.plans[name].consumer == "whole"]
    faults = Counter(plan.fault or "none" for plan in plans)
    lines = [
        f"{len(plans)} exchanges, {sum(plan.is_identity for plan in plans)} of them in their own dialect,"
        f" {sum(bool(plan.recording.text) for plan in plans)} streamed; faults: {dict(faults)}",
        f"whole and reported: {len(used)} exchanges, "
        + ", ".join(
            f"{kind} {sum(column)}" for kind, column in zip(Used._fields, zip(*used, strict=True), strict=True)
        ),
        *_errors(run),
    ]
    reporter: Any = request.config.pluginmanager.get_plugin("terminalreporter")
    capture: Any = request.config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled():
        reporter.section("the ledger beside the providers' books")
        for line in lines:
            reporter.write_line(line)


def _errors(run: Run) -> Iterator[str]:
    for name, found in (
        ("input", shares(run, "input")),
        ("input, nothing unseen", shares(run, "input", is_plain=True)),
    ):
        told = [f"{quantile(found, q):.2f}" for q in (0.1, 0.5, 0.9)]
        yield f"estimated {name}: {len(found)} exchanges, lowest tenth {told[0]}, median {told[1]}, highest {told[2]}"
    every = [entry.exchange for plan in run.plans.values() if (entry := run.one(plan)).exchange["is_estimated"]]
    tokens = [sum(exchange[kind] for exchange in every) for kind in ("input_total", "output_total")]
    yield f"estimated in all: {len(every)} exchanges, input {tokens[0]}, output {tokens[1]}"


def shares(run: Run, kind: str, *, is_plain: bool = False) -> list[float]:
    """The estimates of what was torn, as shares of what the recordings say, lowest first; of requests that went out as
    they were recorded."""
    found = []
    for plan in run.plans.values():
        exchange = run.one(plan).exchange
        if not (plan.is_torn and plan.is_identity and plan.recording.request and exchange["is_estimated"]):
            continue
        said = getattr(plan.used, kind, 0)
        if said and not (is_plain and UNSEEN.search(json.dumps(plan.recording.request))):
            found.append(exchange[f"{kind}_total"] / said)
    return sorted(found)


def quantile(found: list[float], share: float) -> float:
    """What so much of a sorted list lies below."""
    return found[int(len(found) * share)]
